"""Events that callers publish, and reading those of one namespace back, relayed or not."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from ordinaut.access.caller import Authority, Caller
from ordinaut.declaration import publishing
from ordinaut.declaration.publishing import NewEvent
from ordinaut.errors import Invalid
from ordinaut.events import stream
from ordinaut.events.envelope import Event
from ordinaut.store import events
from ordinaut.store.pool import Connection, Pool
from ordinaut.store.queries import SQL
from ordinaut_operator.relay import relay

ADA = Caller(Authority.KUBERNETES, "system:serviceaccount:mail:ada")
OWN = "/ordinaut/namespaces/default/callers/system:serviceaccount:mail:ada"


@pytest.fixture
async def client(valkey: str) -> AsyncIterator[Redis]:
    async with stream.connect(valkey) as connected:
        yield connected


async def publish(pool: Pool, *new: NewEvent, namespace: str = "default") -> list[str]:
    async with pool.connection() as connection, connection.transaction():
        return await publishing.publish(connection, namespace=namespace, events=new, by=ADA)


async def listed(pool: Pool, *, limit: int = 99, namespace: str = "default", **chosen: Any) -> list[dict[str, Any]]:
    async with pool.connection() as connection:
        return await events.list_(connection, namespace=namespace, limit=limit, **chosen)


def happened(namespace: str, *types: str) -> list[dict[str, Any]]:
    """Return the events of one transaction."""
    return [Event(type_, namespace, "t", run="r").compact() for type_ in types]


async def append(pool: Pool, *rows: list[dict[str, Any]]) -> None:
    async with pool.connection() as connection:
        for one in rows:
            await events.append(connection, one)


async def test_a_published_event_is_listed_and_sent_as_the_same_cloudevent(pool: Pool, client: Redis) -> None:
    ids = await publish(
        pool,
        NewEvent("mail.received", {"from": "bob"}, subject="inbox/7"),
        NewEvent("mail.read", None, source="https://mail.example/ada"),
    )

    newest, oldest = await listed(pool)
    assert [oldest["id"], newest["id"]] == ids
    assert oldest.pop("time").endswith("Z")
    assert oldest == {
        "specversion": "1.0",
        "id": ids[0],
        "source": OWN,
        "type": "mail.received",
        "subject": "inbox/7",
        "namespace": "default",
        "publisher": "system:serviceaccount:mail:ada",
        "datacontenttype": "application/json",
        "data": {"from": "bob"},
    }
    assert newest["source"] == "https://mail.example/ada"
    assert "data" not in newest
    assert "subject" not in newest

    await relay(pool, client, max_length=1000)

    entries: Any = await client.xrange(stream.STREAM)
    assert [fields[b"type"] for _, fields in entries] == [b"mail.received", b"mail.read"]
    assert [fields[b"subject"] for _, fields in entries] == [b"inbox/7", b""]
    assert [stream.orjson.loads(fields[b"event"])["id"] for _, fields in entries] == ids


async def test_what_was_relayed_is_listed_in_the_same_place(pool: Pool, client: Redis) -> None:
    await append(pool, happened("default", "run.created"), happened("default", "run.succeeded", "task.skipped"))
    before = await listed(pool)
    await relay(pool, client, max_length=1000)
    await append(pool, happened("default", "task.deleted"))

    newest, *after = await listed(pool)

    assert newest["type"] == "io.ordinaut.task.deleted"
    assert after == before
    assert [event["type"].removeprefix("io.ordinaut.") for event in before] == [
        "task.skipped",
        "run.succeeded",
        "run.created",
    ]


async def test_each_namespace_sees_its_own_events_also_where_a_row_holds_several(pool: Pool, client: Redis) -> None:
    mixed = happened("a", "run.created", "run.failed") + happened("b", "run.created") + happened("a", "run.parked")
    await append(pool, mixed, happened("b", "run.succeeded"))
    for relayed in (False, True):
        if relayed:
            await relay(pool, client, max_length=1000)
        assert [event["type"] for event in await listed(pool, namespace="a")] == [
            "io.ordinaut.run.parked",
            "io.ordinaut.run.failed",
            "io.ordinaut.run.created",
        ]
        assert [event["data"]["namespace"] for event in await listed(pool, namespace="b")] == ["b", "b"]
        assert await listed(pool, namespace="c") == []


async def test_events_are_listed_by_type(pool: Pool, client: Redis) -> None:
    await append(pool, happened("default", "run.created", "run.failed"), happened("default", "run.created"))
    await publish(pool, NewEvent("mail.received", 1))
    await relay(pool, client, max_length=1000)
    await publish(pool, NewEvent("mail.received", 2))

    assert [event["data"] for event in await listed(pool, type_="mail.received")] == [2, 1]
    assert len(await listed(pool, type_="io.ordinaut.run.created")) == 2
    assert await listed(pool, type_="mail") == []


async def test_pages_follow_each_other_without_gaps(pool: Pool, client: Redis) -> None:
    for n in range(7):
        await append(pool, happened("default", *(f"run.x{n}{m}" for m in range(n % 3 + 1))))
        if n == 3:
            await relay(pool, client, max_length=1000)
    whole = await listed(pool)

    paged: list[dict[str, Any]] = []
    while page := await listed(pool, limit=2, before=paged[-1]["id"] if paged else None):
        paged += page

    assert paged == whole
    assert len({event["id"] for event in whole}) == 13


@pytest.mark.parametrize("before", ["", "7", "7-", "-1-0", "x-0", "7-0-1", "07-0", "7-0 ", f"{2**63}-0", "٧-0"])
async def test_a_place_that_no_event_has_is_refused(pool: Pool, before: str) -> None:
    with pytest.raises(Invalid, match="not the id of an event"):
        await listed(pool, before=before)


LONG = "x" * 257


@pytest.mark.parametrize(
    ("event", "field", "why"),
    [
        (NewEvent("run.succeeded", {}), "type", "told by Ordinaut only"),
        (NewEvent("task", {}), "type", "told by Ordinaut only"),
        (NewEvent("step.x", {}), "type", "told by Ordinaut only"),
        (NewEvent("ordinaut.x", {}), "type", "told by Ordinaut only"),
        (NewEvent("io.ordinaut.run.succeeded", {}), "type", "told by Ordinaut only"),
        (NewEvent("Mail.Received", {}), "type", "lower-case words"),
        (NewEvent("mail..received", {}), "type", "lower-case words"),
        (NewEvent("mail.received\n", {}), "type", "lower-case words"),
        (NewEvent("", {}), "type", "lower-case words"),
        (NewEvent("m" * 129, {}), "type", "longer than 128"),
        (NewEvent("mail", {}, subject=LONG), "subject", "longer than 256"),
        (NewEvent("mail", {}, subject="a b"), "subject", "printable ASCII"),
        (NewEvent("mail", {}, subject="a\x1b[31m"), "subject", "printable ASCII"),
        (NewEvent("mail", {}, source="a\n"), "source", "printable ASCII"),
        (NewEvent("mail", {}, source=""), "source", "printable ASCII"),
        (NewEvent("mail", {}, source="/ordinaut/namespaces/other"), "source", "Ordinaut's own"),
        (NewEvent("mail", {"a": "\0"}), "data.a", "NUL"),
        (NewEvent("mail", {"a": ["\ud800"]}), "data.a[0]", "surrogate"),
        (NewEvent("mail", "x" * 65536), "data", "65538 bytes"),
    ],
)
async def test_an_event_that_cannot_be_published_is_refused(pool: Pool, event: NewEvent, field: str, why: str) -> None:
    with pytest.raises(Invalid, match=why) as caught:
        await publish(pool, event)
    assert [error.field for error in caught.value.errors] == [field]
    with pytest.raises(Invalid) as caught:
        await publish(pool, NewEvent("mail", {}), event)
    assert caught.value.errors[0].field == f"[1].{field}"
    assert await listed(pool) == []


@pytest.mark.parametrize("type_", ["mail", "runner.started", "tasks.x", "mail.received-again_2", "m" * 128])
async def test_types_of_callers_own_are_accepted(pool: Pool, type_: str) -> None:
    assert len(await publish(pool, NewEvent(type_, "x" * (65536 - 2)))) == 1


async def test_an_event_of_an_undone_transaction_was_never_there(pool: Pool) -> None:
    async with pool.connection() as connection, connection.transaction(force_rollback=True):
        await publishing.publish(connection, namespace="default", events=[NewEvent("mail", 1)], by=ADA)
    assert await listed(pool) == []


async def fill(connection: Connection, *, rows: int) -> None:
    """Write a log in which 50 namespaces take turns, and one more wrote once, long ago."""
    await connection.execute(
        "INSERT INTO event_log (created_at, id, events, about) SELECT now(), n,"
        " json_build_array(json_build_object('ns', space, 'type', 't', 'task', 't')), ARRAY[space, space || '/t']"
        " FROM (SELECT n, CASE n WHEN 1 THEN 'rare' ELSE 'n' || n %% 50 END AS space FROM generate_series(1, %s) n) s",
        [rows],
    )
    await connection.execute("ANALYZE event_log")


@pytest.mark.parametrize(
    ("namespace", "since"), [("n7", 19_000), ("rare", -1), ("nobody", -1)], ids=["busy", "rare", "nobody"]
)
async def test_listing_looks_at_few_rows_however_many_there_are(pool: Pool, namespace: str, since: int) -> None:
    async with pool.connection() as connection:
        await fill(connection, rows=20_000)
        params = {"namespace": namespace, "type": None, "about": namespace, "limit": 3, "since": since}
        place = {"before_id": 20_001, "before_place": 0}
        explained = await connection.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {SQL['list_events']}", params | place, prepare=False
        )
        row = await explained.fetchone()
    assert row is not None
    assert looked_at(row[0][0]["Plan"]) <= 1000


def looked_at(plan: dict[str, Any]) -> float:
    """Return how many rows of tables a plan has looked at."""
    rows = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) if "Relation Name" in plan else 0
    return float(rows + sum(looked_at(part) for part in plan.get("Plans", ())))


async def test_who_has_no_recent_event_finds_the_old_ones(pool: Pool) -> None:
    async with pool.connection() as connection:
        await fill(connection, rows=12_000)
    assert [event["id"] for event in await listed(pool, namespace="rare")] == ["1-0"]
    assert len(await listed(pool, namespace="n7", limit=230)) == 230
    assert len(await listed(pool, namespace="n7", limit=250)) == 240

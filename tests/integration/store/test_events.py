"""Events that callers publish, and reading those of one namespace back, relayed or not."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from ordinaut.access.caller import Authority, Caller
from ordinaut.declaration import publishing
from ordinaut.errors import Invalid
from ordinaut.events import stream
from ordinaut.events.connection import connect
from ordinaut.events.envelope import Event, NewEvent, compact_type
from ordinaut.store import event_lists, events
from ordinaut.store.event_lists import Wanted
from ordinaut.store.listen import listen
from ordinaut.store.pool import Connection, Pool
from ordinaut.store.queries import SQL
from tests.relaying import relay

ADA = Caller(Authority.KUBERNETES, "system:serviceaccount:mail:ada")
OWN = "/ordinaut/namespaces/default/callers/system:serviceaccount:mail:ada"


@pytest.fixture
async def client(valkey: str) -> AsyncIterator[Redis]:
    async with connect(valkey) as connected:
        yield connected


async def publish(pool: Pool, *new: NewEvent, namespace: str = "default") -> list[str]:
    async with pool.connection() as connection, connection.transaction():
        return await publishing.publish(connection, namespace=namespace, events=new, by=ADA)


async def listed(
    pool: Pool, *, limit: int = 99, namespace: str = "default", type_: str | None = None, before: str | None = None
) -> list[dict[str, Any]]:
    wanted = Wanted(namespace, topics=frozenset([compact_type(type_)] if type_ else []))
    async with pool.connection() as connection:
        found = await event_lists.list_(connection, wanted, limit=limit, before=before)
    return [one.event for one in found.events]


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
    with pytest.raises(Invalid, match="not the place of an event"):
        await listed(pool, before=before)


async def test_an_event_that_cannot_be_published_is_refused_and_none_of_those_beside_it_is_there(pool: Pool) -> None:
    wrong = NewEvent("run.succeeded", "\0")
    with pytest.raises(Invalid) as caught:
        await publish(pool, wrong)
    assert [error.field for error in caught.value.errors] == ["type", "data"]
    with pytest.raises(Invalid) as caught:
        await publish(pool, NewEvent("mail", {}), wrong)
    assert [error.field for error in caught.value.errors] == ["[1].type", "[1].data"]
    assert await listed(pool) == []


async def test_an_event_keeps_what_its_publisher_gave_it(pool: Pool) -> None:
    run = "019ab0d2-7c1e-7cc3-98c4-dc0c0c07398f"
    given = NewEvent(
        "com.example.BlobCreated",
        subject="a b",
        source="/mycontext",
        id="A234",
        time="2018-04-05T17:31:00+02:00",
        contenttype="image/png",
        schema="https://schemas.example/png",
        base64="iVBORw==",
        more={"tenant": "x", "flag": True, "count": 5, "ordinautrun": run},
    )
    (place,) = await publish(pool, given)
    assert await listed(pool) == [
        {
            "specversion": "1.0",
            "id": "A234",
            "source": "/mycontext",
            "type": "com.example.BlobCreated",
            "time": "2018-04-05T17:31:00+02:00",
            "subject": "a b",
            "namespace": "default",
            "publisher": ADA.user,
            "datacontenttype": "image/png",
            "dataschema": "https://schemas.example/png",
            "data_base64": "iVBORw==",
            "tenant": "x",
            "flag": True,
            "count": 5,
            "ordinautrun": run,
        }
    ]
    assert place != "A234"


async def test_what_publishes_for_others_may_name_a_source_of_ordinauts_own(pool: Pool) -> None:
    async with pool.connection() as connection, connection.transaction():
        events_ = [NewEvent("mail", id="1"), NewEvent("mail", source="/theirs")]
        await publishing.publish(connection, namespace="default", events=events_, by=ADA, source="/ordinaut/inbox")
    assert [event["source"] for event in await listed(pool)] == ["/theirs", "/ordinaut/inbox"]


async def test_publishing_wakes_the_dispatcher_once_it_is_committed(pool: Pool, database: str) -> None:
    heard: asyncio.Queue[Any] = asyncio.Queue()
    connected = asyncio.Event()

    def hear(_channel: Any, payload: str | None) -> None:
        connected.set() if payload is None else heard.put_nowait(payload)

    listening = asyncio.create_task(listen(database, ["ordinaut_events"], hear, application="test"))
    try:
        await asyncio.wait_for(connected.wait(), 10)
        async with pool.connection() as connection, connection.transaction(force_rollback=True):
            await publishing.publish(connection, namespace="default", events=[NewEvent("undone")], by=ADA)
        await publish(pool, NewEvent("mail"), NewEvent("mail"))
        assert await asyncio.wait_for(heard.get(), 10) == ""
        assert heard.empty()
    finally:
        listening.cancel()


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

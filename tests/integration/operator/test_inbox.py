"""The inbox: whoever may append to it publishes; each entry becomes an event once, or is told what is wrong with it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import psycopg
import pytest
import redis
from redis.asyncio import Redis

from ordinaut.declaration import publishing
from ordinaut.events import inbox
from ordinaut.events.connection import connect
from ordinaut.events.envelope import NewEvent, expand
from ordinaut.events.inbox import GROUP, INBOX, REJECTED, ClosedError
from ordinaut.probes import Readiness
from ordinaut.store.pool import Connection, Pool
from ordinaut_operator.events.inbox import Inbox

MAIL = {"namespace": "default", "type": "mail.received", "data": '{"from": "bob"}'}
WHOLE = {"specversion": "1.0", "id": "7", "source": "https://mail.example", "type": "mail.received"}


@pytest.fixture
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    """The Valkey of the tests; where a test asks for `any_redis`, the oldest Redis as well."""
    wanted = "any_redis" if "any_redis" in request.fixturenames else "valkey"
    async with connect(request.getfixturevalue(wanted)) as connected:
        await inbox.open_(connected)
        yield connected


def reader(pool: Pool, client: Redis, name: str = "me") -> Inbox:
    return Inbox(pool, client, reader=name, readiness=Readiness())


async def add(client: Redis, fields: Mapping[Any, Any], id_: str = "*") -> str:
    return str((await client.xadd(INBOX, dict(fields), id=id_)).decode())


async def published(pool: Pool, namespace: str = "default") -> list[dict[str, Any]]:
    """Return the events of a namespace, oldest first."""
    async with pool.connection() as connection:
        rows = await (await connection.execute("SELECT id, created_at, events FROM outbox ORDER BY id")).fetchall()
    return [event for row in rows for event in expand(*row) if event["namespace"] == namespace]


async def rejected(client: Redis) -> list[dict[str, str]]:
    found: Any = await client.xrange(REJECTED)
    return [{key.decode(): value.decode(errors="replace") for key, value in fields.items()} for _, fields in found]


async def left(client: Redis) -> tuple[int, int]:
    """Return how many entries are in the inbox, and how many of them somebody has read."""
    pending: Any = await client.xpending(INBOX, GROUP)
    return int(await client.xlen(INBOX)), int(pending["pending"])


async def test_entries_become_events_and_are_gone(any_redis: str, pool: Pool, client: Redis) -> None:
    first = await add(client, MAIL)
    second = await add(client, MAIL | {"subject": "inbox/7", "time": "2026-11-23T06:31:07Z", "ordinautrun": RUN})
    last = await reader(pool, client).sweep()

    assert last == second
    assert await left(client) == (0, 0)
    assert await rejected(client) == []
    one, other = await published(pool)
    assert one == {
        "specversion": "1.0",
        "id": first,
        "source": "/ordinaut/inbox",
        "type": "mail.received",
        "time": one["time"],
        "namespace": "default",
        "publisher": "ordinaut:inbox",
        "datacontenttype": "application/json",
        "data": {"from": "bob"},
    }
    assert (other["id"], other["subject"], other["time"], other["ordinautrun"]) == (
        second,
        "inbox/7",
        "2026-11-23T06:31:07Z",
        RUN,
    )


RUN = "019ab0d2-7c1e-7cc3-98c4-dc0c0c07398f"


async def test_ids_and_sources_of_publishers_are_kept(pool: Pool, client: Redis) -> None:
    await add(client, MAIL | {"id": "a", "source": "https://mail.example"})
    await add(client, MAIL | {"id": "b"})
    entry = await add(client, MAIL | {"source": "https://mail.example"})
    await add(client, {"namespace": "default", "event": json.dumps(WHOLE | {"data": 1, "traceparent": "00-1-2-3"})})

    await reader(pool, client).sweep()

    found = {event["id"]: event for event in await published(pool)}
    assert {id_: event["source"] for id_, event in found.items()} == {
        "a": "https://mail.example",
        "b": "/ordinaut/namespaces/default/callers/ordinaut:inbox",
        entry: "https://mail.example",
        "7": "https://mail.example",
    }
    assert (found["7"]["data"], found["7"]["traceparent"]) == (1, "00-1-2-3")


async def test_events_of_many_namespaces_keep_their_order_in_each(pool: Pool, client: Redis) -> None:
    for number in range(30):
        named = {"id": str(number)} if number % 4 == 0 else {}
        await add(client, MAIL | named | {"namespace": f"team-{number % 3}", "data": str(number)})

    await reader(pool, client).sweep()

    for team in range(3):
        assert [event["data"] for event in await published(pool, f"team-{team}")] == list(range(team, 30, 3))


async def test_what_is_no_event_is_kept_with_the_reason(pool: Pool, client: Redis) -> None:
    strange: list[dict[Any, Any]] = [
        {"namespace": "default"},
        MAIL | {"data": "1" * 300_000},
        {b"namespace": b"default", b"type": b"\xff"},
        MAIL | {"data": r'"\u0000"'},
        {"namespace": "default"} | {f"field{number}": "x" for number in range(300)},
    ]
    good, bad = [await add(client, MAIL)], []
    for fields in strange:
        bad.append(await add(client, fields))
        good.append(await add(client, MAIL))

    await reader(pool, client).sweep()

    assert [event["id"] for event in await published(pool)] == good
    assert await left(client) == (0, 0)
    told = await rejected(client)
    assert [one.pop("entry") for one in told] == bad
    assert all(one.pop("reason") for one in told)
    assert told[0] == strange[0]
    assert told[1].keys() == strange[1].keys()
    assert all(sum(map(len, one.values())) <= inbox.MAX_ENTRY and len(one) <= 100 for one in told)


async def test_fields_of_an_entry_can_not_hide_the_reason(pool: Pool, client: Redis) -> None:
    entry = await add(client, {"reason": "none", "entry": "another"})

    await reader(pool, client).sweep()

    (told,) = await rejected(client)
    assert (told["entry"], "namespace: Required value" in told["reason"]) == (entry, True)


async def test_an_event_that_only_the_database_refuses_holds_up_no_other(
    pool: Pool, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = publishing.publish

    async def refusing(connection: Connection, *, events: Sequence[NewEvent], **more: Any) -> list[str]:
        if any(one.subject == "bad" for one in events):
            await connection.execute("SELECT 'no json'::json")
        return await publish(connection, events=events, **more)

    monkeypatch.setattr(publishing, "publish", refusing)
    good = [await add(client, MAIL) for _ in range(2)]
    bad = await add(client, MAIL | {"subject": "bad"})
    good.append(await add(client, MAIL))

    await reader(pool, client).sweep()

    assert [event["id"] for event in await published(pool)] == good
    assert [(told["entry"], "json" in told["reason"]) for told in await rejected(client)] == [(bad, True)]
    assert await left(client) == (0, 0)


async def test_readers_share_the_work(pool: Pool, client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordinaut_operator.events.inbox.BATCH", 7)
    ids = [await add(client, MAIL) for _ in range(100)]

    await asyncio.gather(*(reader(pool, client, name).sweep() for name in ("a", "b", "c")))

    assert sorted(event["id"] for event in await published(pool)) == sorted(ids)
    assert await left(client) == (0, 0)


async def test_what_a_dead_reader_has_read_another_one_publishes(
    any_redis: str, pool: Pool, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [await add(client, MAIL) for _ in range(5)]
    taken = await inbox.take(client, reader="dead", limit=3)
    assert [entry.id for entry in taken.entries] == ids[:3]
    await client.xdel(INBOX, ids[1])
    await reader(pool, client).sweep()
    assert [event["id"] for event in await published(pool)] == ids[3:]
    assert (await left(client))[0] == 2

    monkeypatch.setattr(inbox, "SILENT", 0)
    await reader(pool, client).sweep()

    assert {event["id"] for event in await published(pool)} == {*ids} - {ids[1]}
    assert await left(client) == (0, 0)


async def test_what_could_not_be_published_is_tried_again_at_once(
    any_redis: str, pool: Pool, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [await add(client, MAIL) for _ in range(3)]
    one = reader(pool, client)

    async def away(*_: Any, **__: Any) -> list[str]:
        raise psycopg.OperationalError("the database is away")

    with monkeypatch.context() as failing:
        failing.setattr(publishing, "publish", away)
        with pytest.raises(psycopg.OperationalError):
            await one.sweep()
    assert await left(client) == (3, 3)
    await reader(pool, client, "other").sweep()
    assert await published(pool) == []

    await one.sweep()

    assert [event["id"] for event in await published(pool)] == ids
    assert await left(client) == (0, 0)


async def test_what_is_published_and_not_settled_is_not_published_again(
    pool: Pool, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [await add(client, MAIL) for _ in range(3)]
    one = reader(pool, client)

    async def cut(client: Redis, ids: Any) -> None:
        raise redis.ConnectionError("cut off")

    with monkeypatch.context() as failing:
        failing.setattr(inbox, "settle", cut)
        with pytest.raises(redis.ConnectionError):
            await one.sweep()
    await one.sweep()

    assert [event["id"] for event in await published(pool)] == ids
    assert await left(client) == (0, 0)


async def test_after_a_crash_an_event_has_the_same_source_and_id(
    pool: Pool, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(client, MAIL)

    async def cut(client: Redis, ids: Any) -> None:
        raise redis.ConnectionError("the operator dies here")

    with monkeypatch.context() as failing:
        failing.setattr(inbox, "settle", cut)
        with pytest.raises(redis.ConnectionError):
            await reader(pool, client, "dead").sweep()
    monkeypatch.setattr(inbox, "SILENT", 0)
    await reader(pool, client).sweep()

    one, again = await published(pool)
    assert (one["source"], one["id"]) == (again["source"], again["id"])


@pytest.mark.parametrize("loss", ["deleted", "group-destroyed", "flushed"])
async def test_an_inbox_that_is_gone_is_opened_again(any_redis: str, pool: Pool, client: Redis, loss: str) -> None:
    if loss == "deleted":
        await client.delete(INBOX)
    elif loss == "flushed":
        await client.flushall()
    else:
        await client.xgroup_destroy(INBOX, GROUP)
    entry = await add(client, MAIL)
    one = reader(pool, client)
    with pytest.raises(ClosedError):
        await one.sweep()

    async with following(one):
        async with asyncio.timeout(30):
            while not await published(pool):
                await asyncio.sleep(0.02)
    assert [event["id"] for event in await published(pool)] == [entry]


class following:  # noqa: N801 - used like a function
    """Run a reader for a while."""

    def __init__(self, one: Inbox) -> None:
        self._one = one

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._one.run())

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled() and (error := self._task.exception()) is not None:
            raise error


async def test_a_reader_goes_on_by_itself_and_says_what_it_waits_for(pool: Pool, client: Redis) -> None:
    readiness = Readiness()
    await client.delete(INBOX)
    await client.set(INBOX, "something else")
    async with following(Inbox(pool, client, reader="me", readiness=readiness)), asyncio.timeout(30):
        while "inbox" not in readiness.reasons:
            await asyncio.sleep(0.02)
        assert "holds something else than a stream" in readiness.reasons["inbox"]
        await client.delete(INBOX)
        entry = await add(client, MAIL)
        while not await published(pool):
            await asyncio.sleep(0.02)
        while not readiness.ready:
            await asyncio.sleep(0.02)
    assert [event["id"] for event in await published(pool)] == [entry]


async def test_a_full_server_does_not_keep_entries_from_being_published(pool: Pool, client: Redis) -> None:
    good, bad = await add(client, MAIL), await add(client, {"hello": "world"})
    one = reader(pool, client)
    try:
        await client.config_set("maxmemory", "1")
        with pytest.raises(redis.RedisError, match="maxmemory"):
            await one.sweep()
    finally:
        await client.config_set("maxmemory", "0")
    assert [event["id"] for event in await published(pool)] == [good]
    assert await left(client) == (1, 1)

    await one.sweep()

    assert [told["entry"] for told in await rejected(client)] == [bad]
    assert [event["id"] for event in await published(pool)] == [good]


async def test_large_entries_are_read_in_parts(pool: Pool, client: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "READ_AT_ONCE", 100_000)
    for _ in range(25):
        await add(client, MAIL | {"data": '"' + "x" * 30_000 + '"'})

    taken = await inbox.take(client, reader="me", limit=200)

    assert len(taken.entries) == 10
    assert taken.waiting == 25


async def test_readers_that_are_gone_are_forgotten_unless_they_have_something(
    any_redis: str, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(client, MAIL)
    await inbox.take(client, reader="busy", limit=1)
    await inbox.take(client, reader="idle", limit=1)
    await inbox.forget_readers(client)
    known: Any = await client.xinfo_consumers(INBOX, GROUP)
    assert {one["name"] for one in known} >= {b"busy"}

    monkeypatch.setattr(inbox, "FORGOTTEN", -1)
    await inbox.forget_readers(client)

    known = await client.xinfo_consumers(INBOX, GROUP)
    assert [one["name"] for one in known] == [b"busy"]

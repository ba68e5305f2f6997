"""The relay: every event reaches the stream in order and at least once, whatever becomes of Redis."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import redis
from redis.asyncio import Redis

from ordinaut import metrics
from ordinaut.events import stream
from ordinaut.events.connection import connect
from ordinaut.store import events
from ordinaut.store import log as eventlog
from ordinaut.store.log import Progress
from ordinaut.store.pool import Connection, Pool
from ordinaut_operator.events import relay as relaying
from ordinaut_operator.events.relay import Relay, Start, start
from tests.declaring import cancel, declare, run_now, task
from tests.relaying import take_in

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
RUNS = [f"00000000-0000-7000-8000-00000000000{n}" for n in range(3)]
MAX = 100_000


@pytest.fixture
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    """The Valkey of the tests; where a test asks for `any_redis`, the oldest Redis as well."""
    wanted = "any_redis" if "any_redis" in request.fixturenames else "valkey"
    async with connect(request.getfixturevalue(wanted)) as connected:
        yield connected


@pytest.fixture
def relay(pool: Pool, client: Redis) -> Relay:
    return Relay(pool, client, max_length=MAX)


async def append(pool: Pool, *transactions: list[dict[str, Any]]) -> None:
    """Write events to the log, each list in a transaction of its own."""
    for written in transactions:
        async with pool.connection() as connection:
            await events.append(connection, written)
    await take_in(pool)


def happened(run: str, type_: str, **data: Any) -> dict[str, Any]:
    return {"type": type_, "ns": "default", "task": "t", "run": run, "data": data}


def numbered(*numbers: int) -> list[dict[str, Any]]:
    return [happened(RUNS[0], "x", n=n) for n in numbers]


async def entries(client: Redis) -> list[dict[str, Any]]:
    """Return the fields of all entries of the stream, the event parsed."""
    found = []
    kept: Any = await client.xrange(stream.STREAM)
    for _, fields in kept:
        entry = {key.decode(): value.decode() for key, value in fields.items()}
        found.append({**entry, "event": orjson.loads(entry["event"])})
    return found


async def numbers(client: Redis) -> list[int]:
    """Return what :func:`numbered` gave the events of the stream."""
    return [entry["event"]["data"]["n"] for entry in await entries(client)]


async def progress(pool: Pool) -> Progress:
    async with pool.connection() as connection:
        return await eventlog.progress(connection, "stream")


def refills() -> float:
    return next(one.value for one in metrics.STREAM_REFILLS.collect()[0].samples if one.name.endswith("_total"))


async def test_large_rows_are_appended_some_at_a_time_in_one_sweep(
    pool: Pool, client: Redis, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append(pool, numbered(1, 2), numbered(3), numbered(4))
    monkeypatch.setattr(eventlog, "SIZE", 1)

    assert await relay.sweep() == 4

    assert await numbers(client) == [1, 2, 3, 4]


async def test_events_become_cloudevents_in_their_order(pool: Pool, client: Redis, relay: Relay) -> None:
    await declare(pool, task("t", LOG))
    run_id = await run_now(pool, namespace="default", name="t")
    await cancel(pool, namespace="default", run_id=run_id)
    await take_in(pool)

    assert await relay.sweep() == 3

    found = await entries(client)
    assert [entry["type"] for entry in found] == [
        "io.ordinaut.task.applied",
        "io.ordinaut.run.created",
        "io.ordinaut.run.cancelled",
    ]
    cancelled = found[-1]
    assert cancelled.keys() == {"id", "type", "subject", "position", "event"}
    assert cancelled["subject"] == f"tasks/t/runs/{run_id}"
    assert {key: cancelled[key] for key in ("id", "type", "subject")} == {
        key: cancelled["event"][key] for key in ("id", "type", "subject")
    }
    assert cancelled["event"]["specversion"] == "1.0"
    assert cancelled["event"]["source"] == "/ordinaut/namespaces/default"
    assert cancelled["event"]["data"] == {
        "namespace": "default",
        "task": "t",
        "run": str(run_id),
        "phase": "Cancelled",
        "reason": "Requested",
    }


async def test_the_events_of_each_run_keep_their_order_over_many_batches(
    any_redis: str, pool: Pool, client: Redis, relay: Relay
) -> None:
    await append(pool, *([happened(run, "step.succeeded", n=n) for run in RUNS] for n in range(30)))

    assert await relay.sweep() == 90

    found = [entry["event"]["data"] for entry in await entries(client)]
    for run in RUNS:
        assert [data["n"] for data in found if data["run"] == run] == list(range(30))
    assert not (await progress(pool)).is_behind


async def test_entries_tell_where_their_events_stand_in_the_log(pool: Pool, client: Redis, relay: Relay) -> None:
    await append(pool, numbered(1), numbered(2, 3))
    async with pool.connection() as connection:
        rows = await eventlog.after(connection, 0, limit=9)

    await relay.sweep()

    first, second = rows
    expected = [(first, 0), (second, 0), (second, 1)]
    found = await entries(client)
    assert [entry["id"] for entry in found] == [f"{row.id}-{place}" for row, place in expected]
    assert [entry["position"] for entry in found] == [f"{row.position}-{place}" for row, place in expected]


async def test_what_is_more_urgent_goes_before_each_batch(
    pool: Pool, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "FEWEST", 1)
    monkeypatch.setattr(relaying, "MOST", 1)
    await append(pool, numbered(0), numbered(1))
    sent: list[int] = []

    async def when() -> None:
        sent.append(len(await entries(client)))

    assert await Relay(pool, client, max_length=1000, when=when).sweep() == 2
    assert sent == [0, 1, 2]


async def test_many_relays_at_once_append_each_event_once(
    any_redis: str, pool: Pool, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "FEWEST", 2)
    monkeypatch.setattr(relaying, "MOST", 2)
    relays = [Relay(pool, client, max_length=MAX) for _ in range(4)]
    sent = []

    for first in range(0, 120, 40):
        await append(pool, *(numbered(n) for n in range(first, first + 40)))
        sent += await asyncio.gather(*(one.sweep() for one in relays))
    sent.append(await relays[0].sweep())

    assert sum(sent) == 120
    assert await numbers(client) == list(range(120))


async def test_a_row_of_many_events_is_appended_in_several_commands(
    pool: Pool, client: Redis, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "AT_ONCE", 7)
    await append(pool, numbered(*range(40)), numbered(*range(40, 50)))

    assert await relay.sweep() == 50

    assert await numbers(client) == list(range(50))


class CutError(redis.ConnectionError):
    """The connection breaks."""


async def cut(monkeypatch: pytest.MonkeyPatch, relay: Relay, *, after: int) -> None:
    """Have the connection break in a sweep after so many commands of 3 events."""
    append_, done = stream._append, 0

    async def breaking(client: Redis, entries: bytes, **more: Any) -> str:
        nonlocal done
        if entries:
            done += 1
            if done > after:
                raise CutError("cut off")
        return await append_(client, entries, **more)

    with monkeypatch.context() as broken:
        broken.setattr(stream, "AT_ONCE", 3)
        broken.setattr(stream, "_append", breaking)
        with pytest.raises(CutError):
            await relay.sweep()


async def test_what_was_appended_before_a_failure_is_not_appended_again(
    any_redis: str, pool: Pool, client: Redis, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append(pool, numbered(*range(10)), numbered(*range(10, 20)))
    await cut(monkeypatch, relay, after=2)
    assert await numbers(client) == list(range(6))
    assert (await progress(pool)).is_behind

    assert await Relay(pool, client, max_length=MAX).sweep() == 14

    assert await numbers(client) == list(range(20))


async def test_what_was_appended_and_not_noted_is_not_appended_again(
    pool: Pool, client: Redis, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append(pool, numbered(0), numbered(1, 2))

    async def forget(connection: Connection, reader: str, position: int) -> None:
        raise CutError("the operator dies here")

    with monkeypatch.context() as dying:
        dying.setattr(eventlog, "move_cursor", forget)
        with pytest.raises(CutError):
            await relay.sweep()
    before = refills()

    assert await relay.sweep() == 0

    assert await numbers(client) == [0, 1, 2]
    assert not (await progress(pool)).is_behind
    assert refills() == before


@pytest.mark.parametrize("loss", ["flushed", "deleted", "cut-back"])
async def test_what_redis_lost_is_appended_again_while_nothing_happens(
    any_redis: str, pool: Pool, client: Redis, relay: Relay, loss: str
) -> None:
    await append(pool, *(numbered(2 * n, 2 * n + 1) for n in range(10)))
    await relay.sweep()
    before = refills()
    assert await relay.sweep() == 0
    if loss == "flushed":
        await client.flushall()
    elif loss == "deleted":
        await client.delete(stream.STREAM)
    else:  # as a replica that had not got everything when its primary was lost; from the middle of a row on
        ids: Any = await client.xrange(stream.STREAM)
        await client.xdel(stream.STREAM, *(id_ for id_, _ in ids[-5:]))

    assert await relay.sweep() == (5 if loss == "cut-back" else 20)

    assert await numbers(client) == list(range(20))
    assert refills() == before + 1
    assert await relay.sweep() == 0


async def test_half_a_row_at_the_end_is_completed(pool: Pool, client: Redis, relay: Relay) -> None:
    await append(pool, numbered(*range(5)))
    await relay.sweep()
    ids: Any = await client.xrange(stream.STREAM)
    await client.xdel(stream.STREAM, ids[-1][0])

    assert await relay.sweep() == 1

    assert await numbers(client) == list(range(5))


async def test_only_as_much_is_appended_again_as_the_stream_holds(
    pool: Pool, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventlog, "REACH", 3)
    relay = Relay(pool, client, max_length=20)
    await append(pool, *(numbered(2 * n, 2 * n + 1) for n in range(50)))
    assert await relay.sweep() == 100
    await append(pool, numbered(100))
    await client.flushall()

    sent = await relay.sweep()

    assert 20 <= sent <= 26
    assert await numbers(client) == list(range(101 - sent, 101))


async def test_what_was_never_in_the_stream_is_appended_however_much_it_is(
    pool: Pool, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eventlog, "REACH", 3)
    relay = Relay(pool, client, max_length=20)
    await append(pool, numbered(0))
    await relay.sweep()
    await client.flushall()
    await append(pool, *(numbered(n) for n in range(1, 60)))

    assert await relay.sweep() == 59

    assert (await numbers(client))[-1] == 59


async def test_a_stream_of_another_database_is_told_everything(pool: Pool, client: Redis, relay: Relay) -> None:
    await append(pool, numbered(0), numbered(1))
    await client.xadd(stream.STREAM, {"id": "999-0", "type": "x", "subject": "", "position": "999-0", "event": "{}"})

    assert await relay.sweep() == 2
    assert await relay.sweep() == 0
    assert len(await entries(client)) == 3


@pytest.mark.parametrize("strange", [{"position": "mine"}, {"hello": "world"}, {"position": ""}])
async def test_what_others_append_by_mistake_does_no_harm(
    pool: Pool, client: Redis, relay: Relay, strange: dict[str, str]
) -> None:
    fields: Any = strange
    await client.xadd(stream.STREAM, fields)
    await append(pool, numbered(0))
    assert await relay.sweep() == 1
    await client.xadd(stream.STREAM, fields)
    await append(pool, numbered(1))
    await relay.sweep()

    found: Any = await client.xrange(stream.STREAM)
    ours = [orjson.loads(entry[b"event"])["data"]["n"] for _, entry in found if b"event" in entry]
    assert list(dict.fromkeys(ours)) == [0, 1]
    assert await relay.sweep() == 0


async def test_a_full_server_leaves_events_in_the_log(any_redis: str, pool: Pool, client: Redis, relay: Relay) -> None:
    await append(pool, [happened(RUNS[0], "x")], [happened(RUNS[0], "y")])
    try:
        await client.config_set("maxmemory", "1")
        with pytest.raises(redis.RedisError, match="maxmemory"):
            await relay.sweep()
        assert (await progress(pool)).is_behind
    finally:
        await client.config_set("maxmemory", "0")

    assert await relay.sweep() == 2

    assert [entry["type"] for entry in await entries(client)] == ["io.ordinaut.x", "io.ordinaut.y"]


async def test_a_server_that_is_away_leaves_events_in_the_log(pool: Pool) -> None:
    await append(pool, numbered(0))
    async with connect("redis://127.0.0.1:1/0") as nobody:
        with pytest.raises(redis.ConnectionError):
            await Relay(pool, nobody, max_length=MAX).sweep()

    assert (await progress(pool)).is_behind


async def test_a_server_that_is_away_is_noticed_while_nothing_happens(pool: Pool) -> None:
    async with connect("redis://127.0.0.1:1/0") as nobody:
        with pytest.raises(redis.ConnectionError):
            await Relay(pool, nobody, max_length=MAX).sweep()


async def test_the_stream_does_not_grow_for_ever_and_the_newest_stay(pool: Pool, client: Redis) -> None:
    await append(pool, numbered(*range(5000)))

    await Relay(pool, client, max_length=1000).sweep()

    kept = await numbers(client)
    # Whole nodes of some 100 entries are dropped at a time.
    assert 1000 <= len(kept) < 1200
    assert kept == list(range(5000 - len(kept), 5000))


async def test_an_empty_log_writes_nothing(client: Redis, relay: Relay) -> None:
    assert await relay.sweep() == 0
    assert await client.exists(stream.STREAM) == 0


async def test_without_redis_nothing_waits_in_the_log(pool: Pool) -> None:
    await append(pool, numbered(0))

    assert await Relay(pool, None, max_length=MAX).sweep() == 0

    assert not (await progress(pool)).is_behind


async def test_whoever_is_told_of_news_appends_them(pool: Pool, client: Redis, relay: Relay) -> None:
    await relay.sweep()
    following = asyncio.create_task(relay.follow())
    await append(pool, numbered(0))
    relay.wake()

    async with asyncio.timeout(30):
        while not await entries(client):
            await asyncio.sleep(0.02)
    following.cancel()
    await asyncio.wait({following})


@pytest.mark.parametrize(
    ("head", "relayed", "expected"),
    [
        pytest.param(None, Progress(0, 5), Start(0, None), id="nothing-yet"),
        pytest.param((5, 0), Progress(5, 9), Start(4, (5, 0)), id="in-step"),
        pytest.param((7, 1), Progress(5, 9), Start(6, (7, 1)), id="not-noted"),
        pytest.param(None, Progress(5, 9), Start(0, None, lost=True), id="empty"),
        pytest.param((3, 0), Progress(5, 9), Start(2, (3, 0), lost=True), id="behind"),
        pytest.param((12, 0), Progress(5, 9), Start(0, None, lost=True), id="ahead-of-the-log"),
        pytest.param((12, 0), Progress(0, 9), Start(0, None), id="ahead-of-a-new-log"),
    ],
)
def test_where_the_relay_goes_on(head: stream.Place | None, relayed: Progress, expected: Start) -> None:
    assert start(head, relayed) == expected

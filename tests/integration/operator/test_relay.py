"""The relay: every event reaches the stream in order and at least once, whatever becomes of Redis."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import orjson
import pytest
import redis
from redis.asyncio import Redis

from ordinaut.events import stream
from ordinaut.store import events
from ordinaut.store.pool import Pool
from ordinaut_operator import relay as relaying
from ordinaut_operator.relay import relay
from tests.declaring import cancel, declare, run_now, task

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
RUNS = [f"00000000-0000-7000-8000-00000000000{n}" for n in range(3)]


@pytest.fixture
async def client(valkey: str) -> AsyncIterator[Redis]:
    async with stream.connect(valkey) as connected:
        yield connected


async def append(pool: Pool, *transactions: list[dict[str, Any]]) -> None:
    """Write events, each list in a transaction of its own."""
    for written in transactions:
        async with pool.connection() as connection:
            await events.append(connection, written)


def happened(run: str, type_: str, **data: Any) -> dict[str, Any]:
    return {"type": type_, "ns": "default", "task": "t", "run": run, "data": data}


async def entries(client: Redis) -> list[dict[str, Any]]:
    """Return the fields of all entries of the stream, the event parsed."""
    found = []
    kept: Any = await client.xrange(stream.STREAM)
    for _, fields in kept:
        entry = {key.decode(): value.decode() for key, value in fields.items()}
        found.append({**entry, "event": orjson.loads(entry["event"])})
    return found


async def waiting(pool: Pool) -> int:
    async with pool.connection() as connection:
        return (await events.figures(connection)).rows


async def logged(pool: Pool) -> list[tuple[int, list[dict[str, Any]]]]:
    """Return the rows of the event log, oldest first."""
    async with pool.connection() as connection:
        return list(await (await connection.execute("SELECT id, events FROM event_log ORDER BY id")).fetchall())


async def test_what_is_more_urgent_goes_before_each_batch(
    pool: Pool, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordinaut_operator.relay.BATCH", 1)
    await declare(pool, task("a", LOG))
    await declare(pool, task("b", LOG))
    sent: list[int] = []

    async def when() -> None:
        sent.append(len(await entries(client)))

    assert await relay(pool, client, max_length=1000, when=when) == 2
    assert sent == [0, 1, 2]


async def test_events_become_cloudevents_in_their_order(pool: Pool, client: Redis) -> None:
    await declare(pool, task("t", LOG))
    run_id = await run_now(pool, namespace="default", name="t")
    await cancel(pool, namespace="default", run_id=run_id)

    assert await relay(pool, client, max_length=1000) == 3

    found = await entries(client)
    assert [entry["type"] for entry in found] == [
        "io.ordinaut.task.applied",
        "io.ordinaut.run.created",
        "io.ordinaut.run.cancelled",
    ]
    cancelled = found[-1]
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
    pool: Pool, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "BATCH", 3)
    await append(pool, *([happened(run, "step.succeeded", n=n) for run in RUNS] for n in range(10)))

    assert await relay(pool, client, max_length=1000) == 30

    found = [entry["event"]["data"] for entry in await entries(client)]
    for run in RUNS:
        assert [data["n"] for data in found if data["run"] == run] == list(range(10))
    assert await waiting(pool) == 0


async def test_what_was_relayed_is_kept_in_the_log(pool: Pool, client: Redis) -> None:
    written = [[happened(RUNS[0], "run.created")], [happened(RUNS[0], "run.succeeded"), happened(RUNS[1], "x")]]
    await append(pool, *written)

    await relay(pool, client, max_length=1000)

    rows = await logged(pool)
    assert [row for _, row in rows] == written
    assert [entry["id"] for entry in await entries(client)] == [f"{rows[0][0]}-0", f"{rows[1][0]}-0", f"{rows[1][0]}-1"]


async def test_many_relays_at_once_publish_each_event_once(
    pool: Pool, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relaying, "BATCH", 2)
    await append(pool, *([happened(RUNS[0], "x", n=n)] for n in range(40)))

    sent = await asyncio.gather(*(relay(pool, client, max_length=1000) for _ in range(4)))
    sent.append(await relay(pool, client, max_length=1000))

    assert sum(sent) == 40
    assert [entry["event"]["data"]["n"] for entry in await entries(client)] == list(range(40))


async def test_a_failure_in_between_loses_nothing_and_repeats_under_the_same_ids(
    pool: Pool, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await append(pool, *([happened(RUNS[0], "x", n=n)] for n in range(10)))
    publish = stream.publish

    async def cut_off(client: Redis, published: Sequence[Mapping[str, Any]], *, max_length: int) -> None:
        await publish(client, published[:6], max_length=max_length)
        raise redis.ConnectionError("cut off")

    with monkeypatch.context() as broken:
        broken.setattr(stream, "publish", cut_off)
        with pytest.raises(redis.ConnectionError):
            await relay(pool, client, max_length=1000)
    assert await waiting(pool) == 10
    assert await logged(pool) == []

    assert await relay(pool, client, max_length=1000) == 10

    found = await entries(client)
    first_seen = list(dict.fromkeys(entry["id"] for entry in found))
    by_id = {entry["id"]: entry["event"]["data"]["n"] for entry in found}
    assert [by_id[id_] for id_ in first_seen] == list(range(10))
    assert sorted(Counter(entry["id"] for entry in found).values()) == [1] * 4 + [2] * 6


async def test_a_full_server_leaves_events_in_the_outbox(pool: Pool, client: Redis) -> None:
    await append(pool, [happened(RUNS[0], "x")], [happened(RUNS[0], "y")])
    try:
        await client.config_set("maxmemory", "1")
        with pytest.raises(redis.RedisError, match="maxmemory"):
            await relay(pool, client, max_length=1000)
        assert await waiting(pool) == 2
    finally:
        await client.config_set("maxmemory", "0")

    assert await relay(pool, client, max_length=1000) == 2

    assert [entry["type"] for entry in await entries(client)] == ["io.ordinaut.x", "io.ordinaut.y"]


async def test_a_server_that_is_away_leaves_events_in_the_outbox(pool: Pool) -> None:
    await append(pool, [happened(RUNS[0], "x")])
    async with stream.connect("redis://127.0.0.1:1/0") as nobody:
        with pytest.raises(redis.ConnectionError):
            await relay(pool, nobody, max_length=1000)

    assert await waiting(pool) == 1


async def test_the_stream_does_not_grow_for_ever_and_the_newest_stay(pool: Pool, client: Redis) -> None:
    await append(pool, [happened(RUNS[0], "x", n=n) for n in range(5000)])

    await relay(pool, client, max_length=1000)

    kept = [entry["event"]["data"]["n"] for entry in await entries(client)]
    # Whole nodes of some 100 entries are dropped at a time.
    assert 1000 <= len(kept) < 1200
    assert kept == list(range(5000 - len(kept), 5000))


async def test_an_empty_outbox_writes_nothing(pool: Pool, client: Redis) -> None:
    assert await relay(pool, client, max_length=1000) == 0
    assert await client.exists(stream.STREAM) == 0

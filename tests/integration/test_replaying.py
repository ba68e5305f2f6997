"""Events told once more: the stream gets all since a time, in order, and the relay goes on behind them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ordinaut.events import stream
from ordinaut.events.connection import connect
from ordinaut.store import events
from ordinaut.store.pool import Pool
from ordinaut_cli import replaying
from ordinaut_operator.events.relay import Relay
from tests.relaying import take_in

pytestmark = pytest.mark.integration


async def append(pool: Pool, *numbers: int) -> None:
    """Write an event for each number to the log, in a transaction of its own."""
    for number in numbers:
        async with pool.connection() as connection:
            await events.append(
                connection, [{"type": "x", "ns": "default", "task": "t", "run": "r", "data": {"n": number}}]
            )
    await take_in(pool)


async def test_what_is_told_again_is_not_told_a_third_time(pool: Pool, valkey: str) -> None:
    await append(pool, 0, 1)
    async with pool.connection() as connection:
        # What release 0.1 has logged, and what is too old.
        await connection.execute("UPDATE event_log SET position = NULL")
        await append(pool, 2)
        await connection.execute(
            "UPDATE event_log SET created_at = created_at - interval '2 h' WHERE position IS NOT NULL"
        )
        since = datetime.now(UTC) - timedelta(hours=1)
        await append(pool, *range(3, 50))
        async with connect(valkey) as client:
            relay = Relay(pool, client, max_length=1000)
            assert await relay.sweep() == 48
            await append(pool, 50)

            told, skipped = await replaying.replay(connection, client, since=since, restored=False, max_length=1000)

            assert (told, skipped) == (50, 0)
            assert await relay.sweep() == 0
            kept: Any = await client.xrange(stream.STREAM)
            ids = [fields[b"id"] for _, fields in kept]
            assert len(ids) == 98
            assert ids[-48:-1] == ids[1:48]
            await append(pool, 51)
            assert await relay.sweep() == 1


async def test_after_a_restore_ids_and_positions_go_on_far_behind_all_that_was_known(pool: Pool, valkey: str) -> None:
    await append(pool, 0)
    async with connect(valkey) as client, pool.connection() as connection:
        await client.xadd(
            stream.STREAM, {"id": "500-0", "type": "x", "subject": "", "position": "400-0", "event": "{}"}
        )
        since = datetime.now(UTC) - timedelta(hours=1)

        assert await replaying.replay(connection, client, since=since, restored=True, max_length=1000) == (1, 1_000_000)

        await append(pool, 1)
        assert await Relay(pool, client, max_length=1000).sweep() == 1
        kept: Any = await client.xrange(stream.STREAM)
        newest = kept[-1][1]
        assert int(newest[b"id"].split(b"-")[0]) > 1_000_500
        assert int(newest[b"position"].split(b"-")[0]) > 1_000_000

"""
The relay: from the outbox to the Redis stream, in order, at least once.

Every replica may run it; an advisory lock lets one work at a time, so that the events of a run stay in their order.
While Redis is away the rows stay in the outbox, nothing else waits, and the lag is a metric. An installation without
Redis has no stream: the rows go where the API reads them, and nowhere else.
"""

from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from ordinaut import metrics
from ordinaut.events import stream
from ordinaut.events.envelope import expand
from ordinaut.store import events
from ordinaut.store.pool import Pool

BATCH = 32
"""Outbox rows moved at once; a busy worker's row holds a thousand events, so more would take too much memory."""


async def _at_once() -> None:
    """Let nobody go first."""


async def relay(
    pool: Pool, redis: Redis | None, *, max_length: int, when: Callable[[], Awaitable[object]] = _at_once
) -> int:
    """
    Move everything that waits in the outbox to the stream, if there is one; return how many events that were.

    ``when`` is awaited before each batch: what is more urgent goes first.

    Raises:
        redis.RedisError: the stream can't be written now; what was not confirmed stays in the outbox.
    """
    total = 0
    while True:
        await when()
        rows, sent = await _relay_batch(pool, redis, max_length=max_length)
        total += sent
        if rows < BATCH:
            return total


async def _relay_batch(pool: Pool, redis: Redis | None, *, max_length: int) -> tuple[int, int]:
    async with pool.connection() as connection, connection.transaction():
        if not await events.lock_relay(connection):
            return 0, 0
        rows = await events.unsent(connection, limit=BATCH)
        if not rows:
            return 0, 0
        if redis is not None:
            expanded = [event for row in rows for event in expand(row.id, row.created_at, row.events)]
            await stream.publish(redis, expanded, max_length=max_length)
        await events.mark_sent(connection, rows)
    moved = sum(len(row.events) for row in rows)
    metrics.EVENTS_RELAYED.inc(moved)
    return len(rows), moved

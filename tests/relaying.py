"""What operators do with events, done by a test itself: from the outbox to the log, and from there to the stream."""

from typing import Any

from redis.asyncio import Redis

from ordinaut.store import log as eventlog
from ordinaut.store.pool import Connection, Pool
from ordinaut_operator.events.relay import Relay


async def in_outbox(connection: Connection) -> list[dict[str, Any]]:
    """Return the events that nobody has moved to the log yet, oldest first."""
    rows = await (await connection.execute("SELECT events FROM outbox ORDER BY id")).fetchall()
    return [event for row in rows for event in row[0]]


async def take_in(pool: Pool) -> None:
    """Move what is in the outbox to the log, as the dispatcher does."""
    async with pool.connection() as connection, connection.transaction():
        assert await eventlog.lock(connection, eventlog.MOVER)
        await eventlog.take_in(connection, limit=10_000)


async def relay(pool: Pool, redis: Redis | None, *, max_length: int = 100_000) -> int:
    """Move it on to the stream, too; returns how many events that were."""
    await take_in(pool)
    return await Relay(pool, redis, max_length=max_length).sweep()

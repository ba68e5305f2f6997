"""
Filling the Redis stream again from the database: what `ordinaut replay-events` does after Redis or PostgreSQL was lost.

It takes the relay's place for the time that it needs, so that what is written meanwhile comes after what is replayed,
in order. Events keep their ids: a reader that has had one knows it again.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from redis.asyncio import Redis

from ordinaut.events import stream
from ordinaut.events.envelope import expand, place_of
from ordinaut.store import events
from ordinaut.store.pool import Connection

BATCH = 32
"""Rows read at once, as the relay does: one may hold a thousand events."""

RELAY_PAUSE = 0.05
"""Seconds between tries to take the relay's place; it works for milliseconds at a time."""


async def replay(
    connection: Connection, redis: Redis, *, since: datetime, restored: bool, max_length: int
) -> tuple[int, int]:
    """
    Append all events written since a time to the stream; return how many, and how many ids were skipped before.

    ``restored`` says that the database was: events get ids then that none had in the time that the backup knows nothing
    of, or readers would take them for what they have had.

    Raises:
        redis.RedisError: only a part was appended; all of it can be sent again.
    """
    if restored:
        await events.skip_ids(connection, beyond=await _newest_known(redis))
    total, after = 0, -1
    async with _in_place_of_the_relay(connection):
        while rows := await events.logged(connection, since=since, after=after, limit=BATCH):
            expanded = [event for row in rows for event in expand(row.id, row.created_at, row.events)]
            await stream.publish(redis, expanded, max_length=max_length)
            total += len(expanded)
            after = rows[-1].id
    return total, events.SKIPPED if restored else 0


async def _newest_known(redis: Redis) -> int:
    """Return the row of the newest event that the stream remembers; -1 if it remembers none."""
    newest = await stream.newest(redis)
    return -1 if newest is None else place_of(newest)[0]


@asynccontextmanager
async def _in_place_of_the_relay(connection: Connection) -> AsyncIterator[None]:
    while True:
        async with connection.transaction():
            if await events.lock_relay(connection):
                yield
                return
        await asyncio.sleep(RELAY_PAUSE)

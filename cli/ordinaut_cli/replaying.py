"""
Filling the Redis stream once more from the database: what `ordinaut replay-events` does when readers have lost what
they had, and after PostgreSQL was restored from a backup. What Redis itself has lost, the relay appends again unasked.

It takes the relay's place for the time that it needs, so that what is written meanwhile comes after what is replayed,
in order. Events keep their ids: a reader that has had one knows it again.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from redis.asyncio import Redis

from ordinaut.events import stream
from ordinaut.events.envelope import expand, id_of, place_of
from ordinaut.events.stream import Entry
from ordinaut.store import events
from ordinaut.store import log as eventlog
from ordinaut.store.events import OutboxRow
from ordinaut.store.log import LogRow
from ordinaut.store.pool import Connection

BATCH = 32
"""Rows read at once: one may hold a thousand events."""

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
    total = 0
    async with _in_place_of_the_relay(connection):
        # First what release 0.1 has logged, which has no place in the log.
        after = -1
        while old := await events.logged(connection, since=since, after=after, limit=BATCH):
            total += await stream.append_anywhere(redis, _entries(old), max_length=max_length)
            after = old[-1].id
        position = await eventlog.position_before(connection, since)
        while rows := await eventlog.after(connection, position, limit=BATCH):
            total += await stream.append_anywhere(redis, _entries(rows), max_length=max_length)
            position = rows[-1].position
        await eventlog.move_cursor(connection, "stream", position)
    return total, events.SKIPPED if restored else 0


def _entries(rows: Sequence[LogRow] | Sequence[OutboxRow]) -> Iterator[Entry]:
    for row in rows:
        position = row.position if isinstance(row, LogRow) else None
        for number, event in enumerate(expand(row.id, row.created_at, row.events)):
            yield id_of(row.id, number), None if position is None else (position, number), event


async def _newest_known(redis: Redis) -> int:
    """Return the row of the newest event that the stream remembers; -1 if it remembers none."""
    newest = await stream.newest(redis)
    return -1 if newest is None else place_of(newest)[0]


@asynccontextmanager
async def _in_place_of_the_relay(connection: Connection) -> AsyncIterator[None]:
    while True:
        async with connection.transaction():
            if await eventlog.lock(connection, "stream"):
                yield
                return
        await asyncio.sleep(RELAY_PAUSE)

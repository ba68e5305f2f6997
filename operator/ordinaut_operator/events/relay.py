"""
The relay: from the log to the Redis stream, in order, at least once.

The dispatcher wakes it whenever it has moved something to the log, and it looks by itself several times a second, also
for what Redis has lost. Every replica may run it; an advisory lock lets one work at a time, so that events stay in
their order. While Redis is away events stay in the log, nothing else waits, and the lag is a metric. An installation
without Redis has no stream: there the relay only notes that nobody waits for what is in the log.

Positions of the log become visible in their order, and the stream tells where it ends. So what it lacks is known
exactly: what is there is not appended again, what was lost is, from the log, as much of it as the stream holds.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import redis
from redis.asyncio import Redis

from ordinaut import metrics
from ordinaut.events import stream
from ordinaut.events.envelope import expand, id_of
from ordinaut.events.stream import Entry, OutOfStepError, Place
from ordinaut.logging import get_logger
from ordinaut.store import log as eventlog
from ordinaut.store.log import LogRow, Progress
from ordinaut.store.pool import Connection, Pool
from ordinaut_operator.sweeper import Sweeper

FEWEST: Final = 8
MOST: Final = 500
"""Rows read at once; a busy worker's row holds a thousand events, so how many depends on how large they are."""

OUT_OF_STEP: Final = 5
"""How often in a sweep the stream may turn out to end elsewhere."""

READ_AT_ONCE: Final = 2 << 20
"""Characters of rows that one read should bring."""

log = get_logger(__name__)


async def _at_once() -> None:
    """Let nobody go first."""


@dataclass(frozen=True, slots=True)
class Start:
    """
    Where to go on.

    Rows are read from behind ``position``, of which events up to ``skip`` are left out: the stream has them. ``lost``
    says that it lacks some that it had.
    """

    position: int
    skip: Place | None
    lost: bool = False


def start(head: Place | None, progress: Progress) -> Start:
    """
    Decide where a stream that ends with ``head`` goes on, if the log and the relay are as far as ``progress``.

    A stream that is ahead of the log was written from another one, or the database was restored from a backup: nobody
    knows what it has of this log.
    """
    if head is None or head[0] > progress.end:
        return Start(0, None, lost=progress.position > 0)
    # The last row may be there only in part, so it is read again.
    return Start(head[0] - 1, head, lost=head[0] < progress.position)


class Relay(Sweeper):
    """
    Appends to the stream what is in the log.

    Args:
        pool: connections to the database.
        redis: where the stream is; None: nowhere.
        max_length: entries of the stream, about.
        when: awaited before each batch; what is more urgent goes first.
    """

    def __init__(
        self, pool: Pool, redis: Redis | None, *, max_length: int, when: Callable[[], Awaitable[object]] = _at_once
    ) -> None:
        super().__init__()
        self._pool = pool
        self._redis = redis
        self._max_length = max_length
        self._when = when
        self._rows = FEWEST
        self._complete: str | None = None
        """What the stream's head says as long as nobody else has written to it, and nothing of it was lost."""

    async def follow(self) -> None:
        """Sweep whenever somebody says that there is something, until cancelled; those that fail leave it to others."""
        while True:
            with suppress(redis.RedisError):
                await super().follow()

    async def _sweep(self) -> int:
        """
        Append all that is in the log and not in the stream; return how many events that were.

        Raises:
            redis.RedisError: the stream can't be written or read now; what was not appended stays in the log.
        """
        if self._redis is None:
            return await self._pass_by()
        if await self._is_up_to_date(self._redis):
            return 0
        return await self._catch_up(self._redis)

    async def _pass_by(self) -> int:
        """Keep nothing in the log for a stream that is not there."""
        async with self._pool.connection() as connection:
            progress = await eventlog.progress(connection, "stream")
            if progress.is_behind:
                await eventlog.move_cursor(connection, "stream", progress.end)
        return 0

    async def _is_up_to_date(self, redis: Redis) -> bool:
        async with self._pool.connection() as connection:
            progress = await eventlog.progress(connection, "stream")
        return not progress.is_behind and (await stream.head(redis)).text == self._complete

    async def _catch_up(self, redis: Redis) -> int:
        """Go on where the stream ends, until the end of the log."""
        total = 0
        reading: _Reading | None = None
        for _ in range(OUT_OF_STEP):
            try:
                while reading is None or reading.more:
                    await self._when()
                    async with self._pool.connection() as connection, connection.transaction():
                        if not await eventlog.lock(connection, "stream"):
                            return total
                        reading = reading or await self._begin(connection, redis)
                        appended = await self._batch(connection, redis, reading)
                    metrics.EVENTS_RELAYED.inc(appended)
                    total += appended
            except OutOfStepError:
                # Another relay went on while this one had given its lock back, or something was lost at this moment.
                reading = None
            else:
                break
        else:
            raise OutOfStepError(f"{stream.STREAM} is written by others: only Ordinaut may, see docs/security.md")
        self._complete = reading.head
        return total

    async def _begin(self, connection: Connection, redis: Redis) -> "_Reading":
        progress = await eventlog.progress(connection, "stream")
        head = await stream.head(redis)
        found = start(head.place, progress)
        position = found.position
        if found.lost:
            reach = await eventlog.reach_back(connection, after=position, events=self._max_length)
            # What was never in the stream is all appended, also what will not stay there for long.
            position = min(reach, max(position, progress.position))
            metrics.STREAM_REFILLS.inc()
            log.warning(
                "the stream lacks events that it had; appending them again",
                stream_ends=head.text,
                relayed=progress.position,
                again_behind=position,
            )
        return _Reading(position, head.text, skip=found.skip)

    async def _batch(self, connection: Connection, redis: Redis, reading: "_Reading") -> int:
        rows = await eventlog.after(connection, reading.position, limit=self._rows)
        size = sum(len(row.text or "") for row in rows)
        reading.more = len(rows) == self._rows or size >= eventlog.SIZE
        if not rows:
            return 0
        appended = await stream.append(redis, reading.entries(rows), behind=reading.head, max_length=self._max_length)
        await eventlog.move_cursor(connection, "stream", rows[-1].position)
        reading.passed(rows[-1].position, appended=appended)
        self._adapt(size, rows=len(rows))
        return appended

    def _adapt(self, size: int, *, rows: int) -> None:
        if size > READ_AT_ONCE:
            self._rows = max(FEWEST, self._rows // 2)
        elif rows == self._rows and size < READ_AT_ONCE // 2:
            self._rows = min(MOST, self._rows * 2)


class _Reading:
    """How far a catch-up has come: in the log (``position``), and what the stream's ``head`` says."""

    def __init__(self, position: int, head: str, *, skip: Place | None) -> None:
        self.position = position
        self.head = head
        self.more = True
        self._skip = skip
        self._last: Place | None = None

    def entries(self, rows: Sequence[LogRow]) -> Iterator[Entry]:
        """Yield what the stream lacks of rows; each row is expanded only when its turn comes."""
        for row in rows:
            for number, event in enumerate(expand(row.id, row.created_at, row.events)):
                place = (row.position, number)
                if self._skip is None or place > self._skip:
                    self._last = place
                    yield id_of(row.id, number), place, event

    def passed(self, position: int, *, appended: int) -> None:
        """Go on behind a position."""
        self.position = position
        if appended and self._last is not None:
            self.head = stream.written(self._last)

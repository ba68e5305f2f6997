"""
The one reader of the log of events in an api process, for all who follow events live.

Each open stream (:mod:`reader`) is a :class:`Follower` here. The tailer hears of news from PostgreSQL, and looks twice
a second besides; then one statement reads what is new for all of them, and each gets what it wants. Nothing is kept for
who does not take it: whose share grows too large is dropped from here, reads the log for itself, and joins again.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from ordinaut.computing import compute
from ordinaut.logging import get_logger
from ordinaut.store import following
from ordinaut.store.listen import listen
from ordinaut.store.pool import Pool
from ordinaut_api.tailing.telling import Audience, Told, tell
from ordinaut_api.tailing.wish import Wish

log = get_logger(__name__)

CHANNEL: Final = "ordinaut_log"

CONNECTION_TIMEOUT: Final = 2.0
"""Seconds that a look waits for a connection."""

LOOK: Final = 0.5
"""Seconds between looks without news: PostgreSQL may be unable to tell of them."""

PAUSE: Final = 0.02
"""Seconds between looks at least: where a lot happens, one look serves many events."""

ROWS: Final = 50
"""Rows read at once; each holds the events of one transaction, up to some megabytes."""

LARGE: Final = 32 * 1024
"""Characters of rows that are made events beside the event loop."""

READING_AT_ONCE: Final = 2
"""Streams of a process that read the log for themselves at a time: others want connections and memory, too."""

MAX_WAITING: Final = 256 * 1024
"""Bytes that wait for one follower at most."""


class Follower:
    """
    One open stream, as the tailer sees it.

    It is behind until the tailer has let it join at a position: what comes after that waits here for it. It is behind
    again once too much does.
    """

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.joined: int | None = None
        self._told: deque[Told] = deque()
        self._size = 0
        self._news = asyncio.Event()

    @property
    def is_behind(self) -> bool:
        """Whether it has to read the log for itself, and to join again."""
        return self.joined is None

    def take(self) -> list[Told]:
        """Return what has come since the last time."""
        found = [*self._told]
        self._clear()
        return found

    def put(self, told: Told) -> bool:
        """Add an event; False if that is too much, and the follower is behind from now on."""
        self._told.append(told)
        self._size += len(told.text)
        self._news.set()
        if self._size <= MAX_WAITING:
            return True
        self._clear()
        self.joined = None
        self._news.set()
        return False

    def join(self, position: int) -> None:
        """Let it know that from this position on everything it wants will come here."""
        self._clear()
        self.joined = position
        self._news.set()

    def nudge(self) -> None:
        """End its waiting."""
        self._news.set()

    async def wait(self, seconds: float) -> None:
        """Return when something has come or is to be looked at, or after so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            pass
        self._news.clear()

    def _clear(self) -> None:
        self._told.clear()
        self._size = 0


class Tailer:
    """
    Reads the log for followers.

    Args:
        pool: connections to the database.
        url: of the database, to hear of news; None: it only looks by itself.
        stopping: tells whether the process has been asked to end.
    """

    def __init__(self, pool: Pool, *, url: str | None, stopping: Callable[[], bool]) -> None:
        self._pool = pool
        self._url = url
        self._stopping = stopping
        self._open: set[Follower] = set()
        self._joining: set[Follower] = set()
        self._followers: dict[Follower, Wish] = {}
        self._audience: Audience[Follower] | None = None
        self._news = asyncio.Event()
        self.reading = asyncio.Semaphore(READING_AT_ONCE)
        """For followers that are behind, while they read the log."""
        self.position: int | None = None
        """Up to where all followers that are not behind have been told everything; None: nobody follows."""

    @contextmanager
    def following(self, wish: Wish) -> Iterator[Follower]:
        """Make a follower, which is behind at first."""
        follower = Follower(wish)
        self._open.add(follower)
        self._news.set()
        try:
            yield follower
        finally:
            self._open.discard(follower)
            self._joining.discard(follower)
            self._drop(follower)

    def join(self, follower: Follower) -> None:
        """Let a follower join as soon as may be."""
        self._drop(follower)
        self._joining.add(follower)
        self._news.set()

    async def run(self) -> None:
        """Read until cancelled; hears of news from when first somebody follows."""
        await self._news.wait()
        async with asyncio.TaskGroup() as group:
            if self._url is not None:
                group.create_task(listen(self._url, [CHANNEL], self._hear, application="api"))
            group.create_task(self._read_on())

    def _hear(self, _channel: str, _payload: str | None) -> None:
        self._news.set()

    async def _read_on(self) -> None:
        while True:
            began = time.monotonic()
            self._news.clear()
            if not self._open:
                self.position = None
                await self._news.wait()
                continue
            if self._stopping():
                for follower in self._open:
                    follower.nudge()
            try:
                await self._look()
            except psycopg.Error as error:
                log.debug("the database does not answer", error=str(error).strip())
            except Exception:
                log.exception("following events failed")  # nobody is told meanwhile, but nothing is lost
                await asyncio.sleep(LOOK)
            await asyncio.sleep(max(0.0, began + PAUSE - time.monotonic()))
            try:
                async with asyncio.timeout(LOOK):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def _look(self) -> None:
        """Tell all followers what is new."""
        async with self._pool.connection(timeout=CONNECTION_TIMEOUT) as connection:
            bounds = await following.bounds(connection)
            self.position = bounds.end if self.position is None else bounds.floor(self.position)
            self._admit()
            while self._followers and self.position < bounds.end:
                audience = self._audience or Audience(self._followers)
                self._audience = audience
                found = await following.span(connection, self.position, bounds.end, about=audience.about, limit=ROWS)
                size = sum(len(row.text or "") for row in found.rows)
                told = await compute(tell, found.rows, audience) if size > LARGE else tell(found.rows, audience)
                self._hand_out(told)
                self.position = found.until
                self._admit()
            self.position = max(self.position, bounds.end)

    def _admit(self) -> None:
        """Let join who wants to: all that comes behind the position reached is read for them, too."""
        assert self.position is not None  # noqa: S101 - it has just been found out
        for follower in self._joining:
            self._followers[follower] = follower.wish
            follower.join(self.position)
            self._audience = None
        self._joining.clear()

    def _hand_out(self, told: Iterable[tuple[Told, Iterable[Follower]]]) -> None:
        for one, followers in told:
            for follower in followers:
                if follower in self._followers and not follower.put(one):
                    self._drop(follower)

    def _drop(self, follower: Follower) -> None:
        if self._followers.pop(follower, None) is not None:
            self._audience = None

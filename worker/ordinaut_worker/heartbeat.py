"""
Keeping leases alive, whatever the event loop is busy with.

A thread of its own, with a connection of its own, prolongs the leases every third of their time; so a step that burns
CPU or a full pool never lets a lease run out. It also says that this worker lives, whatever it holds, and asks which of
the held runs somebody else has ended. What it learns is handed to the event loop.
"""

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from time import monotonic
from uuid import UUID

import psycopg

from ordinaut.logging import get_logger
from ordinaut.store import work, workers
from ordinaut.store.pool import Connection, connect
from ordinaut.store.workers import Announcement
from ordinaut_worker.holding import Holdings

BEATS_PER_LEASE = 3
"""Two beats may fail before a lease runs out."""

RETRY = 0.5
"""Seconds after a failed beat."""

log = get_logger(__name__)


class Heartbeat:
    """
    The thread.

    Args:
        url: of the database.
        said: what the worker says of itself: the name in its leases, and how long they last.
        holdings: what to keep alive; called in the thread.
        lost: called in the event loop with leases that are gone.
        ended: called in the event loop with runs that somebody else has ended.
    """

    def __init__(
        self,
        url: str,
        *,
        said: Announcement,
        holdings: Callable[[], Holdings],
        lost: Callable[[set[int]], None],
        ended: Callable[[set[UUID]], None],
    ) -> None:
        self._url = url
        self._said = said
        self._holdings = holdings
        self._lost = lost
        self._ended = ended
        self._began = monotonic()
        self._loop = asyncio.get_running_loop()
        self._announced = False
        self._draining = False
        self._stopping = False
        self._at_once = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stopping = True
        self._at_once.set()
        self._thread.join()

    def drain(self) -> None:
        """Say from now on that this worker takes no more work."""
        self._draining = True
        self._at_once.set()

    async def _run(self) -> None:
        pause = self._said.lease / BEATS_PER_LEASE
        while not self._stopping:
            try:
                async with await connect(
                    self._url, application=f"{self._said.name}-heartbeat", statement_timeout=pause
                ) as connection:
                    await self._beat_until_stopped(connection, pause=pause.total_seconds())
            except psycopg.Error as error:
                log.warning("heartbeat failed", error=str(error).strip())
                self._wait(RETRY)
            except Exception:
                # A defect of ours. Without this thread the worker would lose all that it holds, again and again.
                log.exception("heartbeat broke off")
                self._wait(RETRY)

    def _wait(self, seconds: float) -> None:
        """Block this thread's loop, on purpose: nothing else runs on it."""
        self._at_once.wait(seconds)
        self._at_once.clear()

    async def _beat_until_stopped(self, connection: Connection, *, pause: float) -> None:
        # The first beat comes at once: the connection may have been away for a while.
        while not self._stopping:
            began = monotonic()
            await self._beat(connection)
            # A beat itself may take long where steps keep the interpreter to themselves.
            self._wait(max(0.0, began + pause - monotonic()))
        await workers.leave(connection, self._said.name)

    async def _beat(self, connection: Connection) -> None:
        held = self._holdings()
        if held.leases:
            kept = await work.heartbeat(connection, worker=self._said.name, leases=held.leases, ttl=self._said.lease)
            if lost := set(held.leases) - kept:
                self._loop.call_soon_threadsafe(self._lost, lost)
        if held.runs and (ended := await work.ended_runs(connection, held.runs)):
            self._loop.call_soon_threadsafe(self._ended, ended)
        # What stands there may be of an earlier process of the same name.
        known = self._announced and await workers.live(connection, self._said, draining=self._draining)
        if not known:
            age = timedelta(seconds=monotonic() - self._began)
            await workers.announce(connection, self._said, age=age, draining=self._draining)
            self._announced = True

"""
Keeping leases alive, whatever the event loop is busy with.

A thread of its own, with a connection of its own, prolongs the leases every third of their time; so a step that burns
CPU or a full pool never lets a lease run out. It also asks which of the held runs somebody else has ended. What it
learns is handed to the event loop.
"""

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import psycopg

from ordinaut.logging import get_logger
from ordinaut.store import work
from ordinaut.store.pool import Connection, connect
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
        worker: the name in the leases.
        lease: how long a lease lasts.
        holdings: what to keep alive; called in the thread.
        lost: called in the event loop with leases that are gone.
        ended: called in the event loop with runs that somebody else has ended.
    """

    def __init__(
        self,
        url: str,
        *,
        worker: str,
        lease: timedelta,
        holdings: Callable[[], Holdings],
        lost: Callable[[set[int]], None],
        ended: Callable[[set[UUID]], None],
    ) -> None:
        self._url = url
        self._worker = worker
        self._lease = lease
        self._holdings = holdings
        self._lost = lost
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        while not self._stop.is_set():
            try:
                async with await connect(
                    self._url, application=f"{self._worker}-heartbeat", statement_timeout=self._lease / BEATS_PER_LEASE
                ) as connection:
                    await self._beat_until_stopped(connection)
            except psycopg.Error as error:
                log.warning("heartbeat failed", error=str(error).strip())
                self._stop.wait(RETRY)

    async def _beat_until_stopped(self, connection: Connection) -> None:
        # The first beat comes at once: the connection may have been away for a while. Waiting blocks this thread's
        # loop on purpose: nothing else runs on it.
        pause = 0.0
        while not self._stop.wait(pause):
            pause = self._lease.total_seconds() / BEATS_PER_LEASE
            held = self._holdings()
            if held.leases:
                kept = await work.heartbeat(connection, worker=self._worker, leases=held.leases, ttl=self._lease)
                if lost := set(held.leases) - kept:
                    self._loop.call_soon_threadsafe(self._lost, lost)
            if held.runs and (ended := await work.ended_runs(connection, held.runs)):
                self._loop.call_soon_threadsafe(self._ended, ended)

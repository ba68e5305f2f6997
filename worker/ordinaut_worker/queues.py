"""
Which queues a worker takes work from: the names that it was told, as the numbers that work carries.

A queue is there only once a task has named it, and a worker of all queues (``*``) is one of later queues too. So the
names are looked up again and again, and at once when a notification comes with a number that nobody knows yet. The work
loop asks for :attr:`ChosenQueues.numbers` each time it leases.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import psycopg

from ordinaut.logging import get_logger
from ordinaut.store import queues, work
from ordinaut.store.pool import Pool

LOOK_EVERY: Final = 5.0
"""Seconds between looks at which queues there are."""

RETRY: Final = 0.5
"""Seconds after a look that failed."""

log = get_logger(__name__)


class ChosenQueues:
    """
    The queues of this worker.

    Args:
        pool: of the database.
        names: of the queues, or ``*``.
        changed: called when there are more of them than before.
    """

    def __init__(self, pool: Pool, *, names: Sequence[str], changed: Callable[[], None] = lambda: None) -> None:
        self._pool = pool
        self._names = names
        self._changed = changed
        self._known: frozenset[int] = frozenset()
        self._numbers: Sequence[int] = ()
        self._look = asyncio.Event()

    @property
    def numbers(self) -> Sequence[int]:
        """The numbers of those that there are; empty before the first look."""
        return self._numbers

    def told(self, payload: str | None) -> Sequence[int]:
        """Return those of the queues that a notification of work may be about; its payload is a queue's number."""
        try:
            queue = work.plain(int(payload or ""))
        except ValueError:
            return self._numbers
        if queue not in self._known:
            self._look.set()
        return [queue] if queue in self._numbers else []

    async def run(self) -> None:
        """Look which queues there are, again and again."""
        while True:
            self._look.clear()
            try:
                async with self._pool.connection() as connection:
                    self._take(await queues.every(connection))
                pause = LOOK_EVERY
            except psycopg.Error as error:
                log.warning("queues not read", error=str(error).strip() or type(error).__name__)
                pause = RETRY
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._look.wait()

    def _take(self, known: Mapping[str, int]) -> None:
        self._known = frozenset(known.values())
        found = queues.chosen(self._names, known)
        if found != self._numbers:
            self._numbers = found
            log.info("queues", names=list(self._names), there=len(found))
            self._changed()

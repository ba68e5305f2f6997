"""
What goes through all that waits whenever there may be something, one pass at a time.

Admission, dispatcher and relay are sweepers. The clock calls :meth:`Sweeper.sweep` from time to time, notifications
call :meth:`Sweeper.wake`, and the operator keeps :meth:`Sweeper.follow` going.
"""

import asyncio
from abc import ABC, abstractmethod

from ordinaut_operator.supervision import is_cancelled


class Sweeper(ABC):
    """Passes over what waits; what is said during a pass is seen by this one or the next."""

    def __init__(self) -> None:
        self._news = asyncio.Event()
        self._passing = asyncio.Lock()

    def wake(self) -> None:
        """Look soon."""
        self._news.set()

    async def follow(self) -> None:
        """Sweep whenever somebody says that there is something, until cancelled."""
        while not is_cancelled():
            await self._news.wait()
            await self.sweep()
        raise asyncio.CancelledError

    async def sweep(self) -> int:
        """Handle all that waits; returns how much that was."""
        async with self._passing:
            self._news.clear()
            return await self._sweep()

    @abstractmethod
    async def _sweep(self) -> int:
        """Handle all that waits, while nobody else in this process does."""

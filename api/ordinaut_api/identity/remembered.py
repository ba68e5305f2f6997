"""
Answers of authorities, remembered for a while: one question for each thing asked, however many requests wait for it.

Yes and no are kept apart, since anybody can make us ask what is answered with no: a flood of those must not push the
good answers out. Questions that fail are not remembered.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from cachetools import TLRUCache

from ordinaut import process

SIZE: Final = 10_000
"""Answers of each kind that are remembered; the oldest give way."""

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Answer(Generic[Value]):
    """What an authority said, and for how many seconds it may be taken for true."""

    value: Value
    seconds: float


class Remembered(Generic[Key, Value]):
    """Answers by what was asked; a false value is a no. ``clock`` counts seconds."""

    def __init__(self, *, size: int = SIZE, clock: Callable[[], float] = time.monotonic) -> None:
        def _until(_key: Key, answer: Answer[Value], now: float) -> float:
            return now + answer.seconds

        self._good: TLRUCache[Key, Answer[Value]] = TLRUCache(size, ttu=_until, timer=clock)
        self._bad: TLRUCache[Key, Answer[Value]] = TLRUCache(size, ttu=_until, timer=clock)
        self._asking: dict[Key, asyncio.Task[Answer[Value]]] = {}

    def known(self, key: Key) -> Answer[Value] | None:
        """Return the answer if it is known."""
        return self._good.get(key) or self._bad.get(key)

    async def get(self, key: Key, ask: Callable[[], Awaitable[Answer[Value]]]) -> Value:
        """Return the answer; ``ask`` is called unless it is known or being asked for."""
        if (known := self.known(key)) is not None:
            return known.value
        if (asking := self._asking.get(key)) is None:
            asking = asyncio.create_task(self._ask(key, ask))
            asking.add_done_callback(_look)
            self._asking[key] = asking
        # Whoever asked first may go away; the others still want the answer.
        return (await asyncio.shield(asking)).value

    async def close(self) -> None:
        """End what is being asked."""
        await process.stop(*self._asking.values())

    async def _ask(self, key: Key, ask: Callable[[], Awaitable[Answer[Value]]]) -> Answer[Value]:
        try:
            answer = await ask()
            if answer.seconds > 0:
                (self._good if answer.value else self._bad)[key] = answer
            return answer
        finally:
            self._asking.pop(key, None)


def _look(asked: "asyncio.Task[Answer[Value]]") -> None:
    """Take note of how a question ended: if all who waited have gone, nobody else does."""
    if not asked.cancelled():
        asked.exception()

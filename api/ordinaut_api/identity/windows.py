"""
Counts requests in sliding windows of a minute, to limit them.

``admission`` keeps one for callers, ``gatekeeper`` one for addresses whose tokens are not good. Each key has two
numbers, this minute's and the last one's, of which the part counts that is still within sixty seconds. Only this
process is counted. There is room for a bounded number of keys, since callers choose them; those that have been silent
for longest give way, which can only let somebody do more.
"""

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

SECONDS: Final = 60
SIZE: Final = 50_000
"""Keys, of some 300 bytes each."""


@dataclass(slots=True)
class _Count:
    minute: int
    now: int = 0
    before: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What a window says: how many more may come, and in how many seconds there will be more."""

    allowed: bool
    remaining: int
    seconds: int


_ANYTHING: Final = Standing(True, 0, 0)


class Windows:
    """Windows by key, all with the same limit; a limit of 0 allows anything. ``clock`` counts seconds."""

    def __init__(self, limit: int, *, size: int = SIZE, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._size = size
        self._counts: dict[Hashable, _Count] = {}  # by the minute in which each was last used

    def look(self, key: Hashable) -> Standing:
        """Tell how a key stands, and count nothing."""
        if self.limit == 0:
            return _ANYTHING
        minute, part = self._time()
        return self._standing(self._count(key, minute), part, counted=0)

    def hit(self, key: Hashable) -> Standing:
        """Count one more if there is room for it, and tell how the key stands."""
        if self.limit == 0:
            return _ANYTHING
        minute, part = self._time()
        count = self._count(key, minute)
        standing = self._standing(count, part, counted=1)
        if standing.allowed:
            if count.now == 0:
                self._keep(key, count)
            count.now += 1
        return standing

    def _keep(self, key: Hashable, count: _Count) -> None:
        """Put a count behind all others, and make room for it."""
        self._counts.pop(key, None)
        while len(self._counts) >= self._size:
            del self._counts[next(iter(self._counts))]
        self._counts[key] = count

    def _time(self) -> tuple[int, float]:
        """Return the number of this minute, and the part of it that has gone."""
        now = self._clock() / SECONDS
        minute = math.floor(now)
        return minute, now - minute

    def _count(self, key: Hashable, minute: int) -> _Count:
        count = self._counts.get(key)
        if count is None:
            return _Count(minute)
        if count.minute != minute:
            count.before = count.now if count.minute == minute - 1 else 0
            count.now, count.minute = 0, minute
        return count

    def _standing(self, count: _Count, part: float, *, counted: int) -> Standing:
        room = self.limit - (count.before * (1 - part) + count.now)
        if room >= 1:
            return Standing(True, max(0, math.floor(room) - counted), math.ceil((1 - part) * SECONDS))
        return Standing(False, 0, max(1, math.ceil(self._wait(count, part) * SECONDS)))

    def _wait(self, count: _Count, part: float) -> float:
        """Return the part of a minute until there is room for one."""
        if count.now < self.limit:
            return 1 - (self.limit - 1 - count.now) / count.before - part
        return (1 - part) + 1 - (self.limit - 1) / count.now

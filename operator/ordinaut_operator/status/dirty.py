"""
Which tasks' statuses are to be looked at, and when.

Pure bookkeeping for the status writer: what is marked becomes due a moment later, so that a short run costs one write
and not three, and not before some seconds have passed since the task's status was last written.
"""

import heapq
from collections.abc import Iterable


class Dirty:
    """Marks tasks by their row key. All times are in seconds of any clock that only goes forward."""

    def __init__(self, *, settle: float = 1.0, spacing: float = 3.0) -> None:
        self._settle = settle
        self._spacing = spacing
        self._due: dict[int, float] = {}
        self._order: list[tuple[float, int]] = []  # may hold times that no longer count; `_due` decides
        self._written: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._due)

    def mark(self, tasks: Iterable[int], *, now: float, after: float | None = None) -> None:
        """
        Have tasks looked at ``after`` seconds (by default the time to settle), or earlier if they are due earlier.
        """
        for task in tasks:
            due = max(now + (self._settle if after is None else after), self._free_at(task))
            if due < self._due.get(task, float("inf")):
                self._due[task] = due
                heapq.heappush(self._order, (due, task))

    def take(self, limit: int, *, now: float) -> list[int]:
        """Unmark and return up to ``limit`` tasks that are due, those that waited longest first."""
        taken: list[int] = []
        while self._order and len(taken) < limit and self._order[0][0] <= now:
            due, task = heapq.heappop(self._order)
            if self._due.get(task) == due:
                del self._due[task]
                taken.append(task)
        return taken

    def wrote(self, task: int, *, now: float) -> None:
        """Record that a task's status was written."""
        self._written[task] = now
        # It may have been marked while it was being written.
        if self._due.get(task, float("inf")) < self._free_at(task):
            self._due[task] = self._free_at(task)
            heapq.heappush(self._order, (self._due[task], task))
        if len(self._written) > 2 * len(self._due) + 1000:
            self._written = {one: at for one, at in self._written.items() if at + self._spacing > now}

    def clear(self) -> None:
        """Unmark everything."""
        self._due.clear()
        self._order.clear()

    def pause(self, *, now: float) -> float | None:
        """Return the seconds until something is due, None if nothing is marked."""
        while self._order and self._due.get(self._order[0][1]) != self._order[0][0]:
            heapq.heappop(self._order)
        return max(0.0, self._order[0][0] - now) if self._order else None

    def _free_at(self, task: int) -> float:
        return self._written.get(task, float("-inf")) + self._spacing

"""
What this worker holds: which leases, and which runs under each.

The loop takes in what it leased and says when it begins and ends; the settler asks which leases a batch of settlements
empties; the heartbeat, in its own thread, prolongs what is here: also what has ended and waits to be settled. A lease
that was lost is dropped as a whole, with the tasks that work under it.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from ordinaut.store.settle import Settlement
from ordinaut.store.work import LeasedWork


@dataclass(frozen=True, slots=True)
class Holdings:
    """A moment's view, safe to read in another thread."""

    leases: tuple[int, ...]
    runs: tuple[UUID, ...]


class Holding:
    """The leases and runs of one worker. Changed in the event loop only; :meth:`view` may be called in any thread."""

    def __init__(self) -> None:
        self._leases: dict[int, set[int]] = {}
        self._tasks: dict[int, tuple[LeasedWork, asyncio.Task[None]]] = {}
        """By item: a worker that lost a lease may hold the same run again before the first task of it has ended."""
        self._next: dict[int, LeasedWork] = {}
        """What has not begun yet, by item."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._tasks)

    def take(self, works: Sequence[LeasedWork]) -> None:
        """Hold leased runs, of which none has begun."""
        with self._lock:
            for work in works:
                self._leases.setdefault(work.lease_id, set()).add(work.id)
                self._next[work.id] = work

    def begin(self, work: LeasedWork) -> bool:
        """Tell whether a run is to begin; otherwise it was stopped, or its lease is lost."""
        with self._lock:
            return self._next.pop(work.id, None) is not None

    def add(self, work: LeasedWork, task: asyncio.Task[None]) -> None:
        """Hold a leased run and the task that carries it out."""
        with self._lock:
            self._leases.setdefault(work.lease_id, set()).add(work.id)
            self._tasks[work.id] = (work, task)

    def finished(self, work: LeasedWork) -> None:
        """Forget a run whose task has ended."""
        with self._lock:
            self._tasks.pop(work.id, None)

    def emptied_by(self, settlements: Iterable[Settlement]) -> list[int]:
        """Return the leases that hold nothing more once these settlements are committed."""
        leaving = _leaving(settlements)
        return sorted(lease for lease, items in leaving.items() if self._leases.get(lease, set()) <= items)

    def left(self, settlements: Iterable[Settlement]) -> None:
        """Forget items that are no longer under their lease."""
        with self._lock:
            for lease, left in _leaving(settlements).items():
                items = self._leases.get(lease, set())
                items -= left
                if not items:
                    self._leases.pop(lease, None)

    def lost(self, leases: Iterable[int]) -> None:
        """Drop leases that somebody else has taken, and cancel their tasks."""
        gone = set(leases) & self._leases.keys()
        with self._lock:
            for lease in gone:
                del self._leases[lease]
            self._next = {item: work for item, work in self._next.items() if work.lease_id not in gone}
        for work, task in self._tasks.values():
            if work.lease_id in gone:
                task.cancel()

    def stop(self, runs: Iterable[UUID]) -> None:
        """Cancel the tasks of runs that somebody else has ended, and begin none of them."""
        ended = set(runs)
        with self._lock:
            self._next = {item: work for item, work in self._next.items() if work.run_id not in ended}
        for work, task in self._tasks.values():
            if work.run_id in ended:
                task.cancel()

    def holds(self, work: LeasedWork) -> bool:
        """Tell whether an item is still under its lease, as far as this worker knows."""
        return work.id in self._leases.get(work.lease_id, ())

    def tasks(self) -> list[tuple[LeasedWork, asyncio.Task[None]]]:
        """Return the runs under way and their tasks."""
        return list(self._tasks.values())

    def view(self) -> Holdings:
        """Return what is held now."""
        with self._lock:
            held = [*self._next.values(), *(work for work, _ in self._tasks.values())]
            return Holdings(tuple(self._leases), tuple(work.run_id for work in held))


def _leaving(settlements: Iterable[Settlement]) -> dict[int, set[int]]:
    """Return the items that are no longer under their lease, by lease."""
    leaving: defaultdict[int, set[int]] = defaultdict(set)
    for one in settlements:
        if one.leaves_lease:
            leaving[one.work.lease_id].add(one.work.id)
    return leaving

"""
Who of those that wait for concurrency keys goes on: a pure decision over rows.

Runs of one task with equal keys are a contest: the same limits hold for all of them, so if the first can't go on, none
can. Whoever decides therefore looks at contests, not at runs, however many wait. :mod:`ordinaut.store.keys` loads the
rows and carries out what is decided here.
"""

from collections.abc import Iterable, Mapping
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple
from uuid import UUID

MOST: Final = 200
"""Runs of one contest that may go on in one pass; what is beyond goes on in the next."""


class Slot(NamedTuple):
    """A key of a namespace."""

    namespace: str
    key: str


class Contest(NamedTuple):
    """What runs of one task with equal keys wait for: a slot of each key, under the limit that the task has for it."""

    task_id: int
    contest: UUID
    limits: Mapping[Slot, int | None]
    """None: the task's spec says nothing of this key any more."""

    @property
    def name(self) -> tuple[int, UUID]:
        """What tells it from other contests."""
        return self.task_id, self.contest


class Candidate(NamedTuple):
    """A run that waits, in the order in which those of all contests go on."""

    urgency: int
    id: int
    run_id: UUID
    task_id: int
    contest: UUID


def room(contest: Contest, held: Mapping[Slot, int]) -> int:
    """Return how many runs of a contest could go on if it were the only one, as far as a pass goes."""
    left = (limit - held.get(slot, 0) for slot, limit in contest.limits.items() if limit is not None)
    return max(0, min([MOST, *left]))


def choose(
    contests: Iterable[Contest], candidates: Iterable[Candidate], *, held: Mapping[Slot, int]
) -> list[Candidate]:
    """
    Return the runs that go on, in their order.

    ``held`` says how many runs hold each slot by now. A run gets all that it needs or nothing: one that lacks one key
    takes no slot of another that a later run could have.
    """
    known = {one.name: one for one in contests}
    lines: dict[tuple[int, UUID], list[Candidate]] = {}
    for candidate in sorted(candidates, reverse=True):
        lines.setdefault((candidate.task_id, candidate.contest), []).append(candidate)
    taken = dict(held)
    heads = [line.pop() for line in lines.values()]
    heapify(heads)
    chosen = []
    while heads:
        first = heappop(heads)
        contest = known[first.task_id, first.contest]
        if not room(contest, taken):
            continue  # and nobody behind it in its contest: slots only get fewer
        for slot in contest.limits:
            taken[slot] = taken.get(slot, 0) + 1
        chosen.append(first)
        if line := lines[contest.name]:
            heappush(heads, line.pop())
    return chosen

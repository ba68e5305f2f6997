"""
The watch over what must never be: once a minute it looks whether the database still keeps the promises.

The clock calls :meth:`Checker.check`. Each look is one statement, so one snapshot, and its work is bounded: recent runs
are looked at each time, the rest of history by a sweep that goes on where it stopped; only the queue is read whole.
What is found counts only if it is found again in the next round. Then it is logged with the keys of the runs and
counted, once, in ``ordinaut_invariant_violations_total``; the alert OrdinautInvariantViolated and its runbook go on
from there. Nothing is mended: a defect that nobody knows is no ground to write upon.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from ordinaut import metrics
from ordinaut.logging import get_logger
from ordinaut.store import invariants
from ordinaut.store.invariants import Invariant, Look
from ordinaut.store.pool import Connection, Pool

NEWEST = 10_000
"""Runs looked at each time."""

SWEPT = 5_000
"""Older runs looked at each time: cold pages, so fewer."""

TASKS = 1_000
TIMES = 5
"""Tasks looked at each time, and how many of their latest times."""

QUEUED = 5_000
"""Runs in the queue, in the delay and under leases that are looked at each time."""

REMEMBERED = 1_000
"""Findings of an invariant that are known to have been counted."""

_START = UUID(int=0)

log = get_logger(__name__)

for _invariant in Invariant:
    metrics.INVARIANT_VIOLATIONS.labels(_invariant.value)


@dataclass(slots=True)
class Suspicion:
    """What was found of one invariant: once (suspects), or twice (counted)."""

    suspects: list[UUID] = field(default_factory=list)
    _counted: dict[UUID, None] = field(default_factory=dict)

    def knows(self, run_id: UUID) -> bool:
        """Whether it was found before."""
        return run_id in self.suspects or run_id in self._counted

    def confirm(self, found: Sequence[UUID]) -> list[UUID]:
        """Take what a round has found; return what the round before had found too and was not counted yet."""
        new = [one for one in found if one not in self._counted]
        confirmed = [one for one in new if one in self.suspects]
        self.suspects = [one for one in new if one not in confirmed]
        self._counted |= dict.fromkeys(confirmed)
        for oldest in list(self._counted)[:-REMEMBERED]:
            del self._counted[oldest]
        return confirmed


class Checker:
    """Looks for violations, round by round, and counts them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._found = {invariant: Suspicion() for invariant in Invariant}
        self._swept = _START
        self._tasks = 0

    async def check(self) -> int:
        """Make one round; returns how many violations it has counted."""
        looks: dict[Invariant, Callable[[Connection], Awaitable[Look]]] = {
            Invariant.LOST_RUN: self._lost_runs,
            Invariant.FIRE_WITHOUT_RUN: self._fires_without_run,
            Invariant.ENDED_RUN_KEPT: lambda connection: invariants.ended_runs_kept(connection, looked_at=QUEUED),
            Invariant.DOUBLED_RUN: invariants.doubled_runs,
            Invariant.OVERLAPPING_RUNS: invariants.overlapping_runs,
        }
        counted = 0
        async with self._pool.connection() as connection:
            for invariant, look in looks.items():
                counted += self._count(invariant, (await look(connection)).runs)
        return counted

    async def _lost_runs(self, connection: Connection) -> Look:
        suspects = self._found[Invariant.LOST_RUN].suspects
        look = await invariants.lost_runs(connection, newest=NEWEST, after=self._swept, swept=SWEPT, suspects=suspects)
        self._swept = look.reached if isinstance(look.reached, UUID) else _START
        return look

    async def _fires_without_run(self, connection: Connection) -> Look:
        look = await invariants.fires_without_run(connection, after=self._tasks, tasks=TASKS, times=TIMES)
        # What is found for the first time is looked at once more, before the look goes on.
        if all(map(self._found[Invariant.FIRE_WITHOUT_RUN].knows, look.runs)):
            self._tasks = look.reached if isinstance(look.reached, int) else 0
        return look

    def _count(self, invariant: Invariant, found: Sequence[UUID]) -> int:
        confirmed = self._found[invariant].confirm(found)
        if confirmed:
            metrics.INVARIANT_VIOLATIONS.labels(invariant.value).inc(len(confirmed))
            log.error("invariant violated", invariant=invariant.value, runs=[str(one) for one in confirmed])
        return len(confirmed)

"""
What may never be otherwise, whatever was killed, stopped or cut: the invariants I1 to I8, and what they cost to keep.

Each fault test calls `check` at its end. It reads PostgreSQL, the witness inside it (`tests.faults.witness`), and the
``effects`` log of the tool server. I1, I2, I8 and a part of I3 and I4 are `tests.chart.ledger.Ledger`'s, which other
tests hold too.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from statistics import quantiles
from uuid import UUID

from tests.chart.ledger import Ledger
from tests.toolserver import Effect


@dataclass
class Figures:
    """What a fault test has seen."""

    runs: int = 0
    lost: int = 0
    """Acknowledged runs that are not there, and runs that never ended."""
    doubles: int = 0
    """Results and ends committed more than once, and stale ones."""
    repeated_calls: int = 0
    redelivered: int = 0
    takeovers: list[float] = field(default_factory=list)
    """Seconds from the end of a lease, or from the kill where there was one, to the next delivery of the same run."""

    @property
    def takeover(self) -> tuple[float, float] | tuple[None, None]:
        """The median and the 99th percentile of the takeovers."""
        if len(self.takeovers) < 2:
            return (self.takeovers[0], self.takeovers[0]) if self.takeovers else (None, None)
        cuts = quantiles(self.takeovers, n=100, method="inclusive")
        return cuts[49], cuts[98]


def check(
    ledger: Ledger,
    *,
    steps: Sequence[str],
    every: timedelta,
    acknowledged: Collection[UUID],
    effects: Sequence[Effect],
    killed: Mapping[str, Sequence[float]],
    once: bool = False,
) -> Figures:
    """
    Hold all invariants, and return the figures of the report.

    Args:
        ledger: reads the database.
        steps: that each run has, each calling the tool of its name with its delivery.
        every: how far apart the nominal times of the scheduled task are.
        acknowledged: runs whose making was confirmed.
        effects: what the tools were called with.
        killed: when workers were killed or stopped, as ``time.time()`` of the machine that the database is on too.
        once: no step may have been called twice.
    """
    figures = _figures(ledger, acknowledged=acknowledged, effects=effects, killed=killed)
    ledger.check_runs()  # I2: each has come to its end
    assert _more_than_once(ledger) == []  # I2, I3: each end and each result is written once
    assert figures.lost == 0  # I7
    ledger.check_fires(every)  # I1
    ledger.check_steps(steps)
    assert _stale(ledger, effects) == []  # I3, I5: the newest delivery wins
    ledger.check_calls(steps, effects, once=once)  # I4
    assert _overlaps(ledger) == []  # I6
    ledger.check_events(steps)  # I8
    return figures


def _figures(
    ledger: Ledger, *, acknowledged: Collection[UUID], effects: Sequence[Effect], killed: Mapping[str, Sequence[float]]
) -> Figures:
    made = ledger.runs()
    return Figures(
        runs=len(made),
        lost=len(set(acknowledged) - made.keys()) + ledger.unfinished(),
        doubles=len(_more_than_once(ledger)) + len(_stale(ledger, effects)),
        repeated_calls=len(effects) - len({(effect.tool, effect.key) for effect in effects}),
        redelivered=ledger.one("SELECT count(*) FROM witness.expiry"),
        takeovers=takeovers(ledger, killed),
    )


def takeovers(ledger: Ledger, killed: Mapping[str, Sequence[float]]) -> list[float]:
    """
    Return the seconds from each loss of a run's worker to the run's next delivery, shortest first.

    Runs that have lost several workers are left out: they wait in the ward, of which each worker has one at a time.
    """
    rows = ledger.rows(
        "SELECT e.worker, extract(epoch FROM e.leased_until)::float8, extract(epoch FROM e.at)::float8,"
        " extract(epoch FROM min(d.at))::float8"
        " FROM witness.expiry e JOIN witness.delivery d ON d.run_id = e.run_id AND d.at > e.at AND d.queue >= 0"
        " GROUP BY e.run_id, e.lease_id, e.worker, e.leased_until, e.at"
    )
    found = []
    for worker, lease_end, expiry, again in rows:
        losses = [at for at in killed.get(worker, ()) if at < expiry]
        found.append(again - max(losses, default=lease_end))
    return sorted(found)


def _more_than_once(ledger: Ledger) -> list[tuple[object, ...]]:
    """Return ends and results that were written more than once."""
    ends = ledger.rows("SELECT run_id, count(*) FROM witness.ending GROUP BY 1 HAVING count(*) > 1")
    results = ledger.rows("SELECT run_id, seq, idx, count(*) FROM witness.result GROUP BY 1, 2, 3 HAVING count(*) > 1")
    return [*ends, *results]


def _stale(ledger: Ledger, effects: Sequence[Effect]) -> list[tuple[str, int, int]]:
    """
    Return committed results of a delivery after which a later one has called the same tool.

    The later one found no committed result, so the committed one was written when its lease was lost.
    """
    newest: dict[str, int] = defaultdict(int)
    for effect in effects:
        newest[effect.key] = max(newest[effect.key], effect.input["delivery"])
    committed = ledger.rows(
        "SELECT run_id::text || '/' || step_id, (output ->> 'delivery')::int FROM step WHERE phase = 'Succeeded'"
    )
    return [(key, delivery, newest[key]) for key, delivery in committed if delivery != newest[key]]


def _overlaps(ledger: Ledger) -> list[tuple[object, ...]]:
    """Return runs of a task with concurrencyPolicy Forbid that ran at the same time."""
    return ledger.rows(
        "SELECT one.run_id, other.run_id FROM run one JOIN run other USING (task_id) JOIN task USING (task_id)"
        " WHERE spec ->> 'concurrencyPolicy' = 'Forbid' AND one.run_id < other.run_id"
        " AND tstzrange(one.started_at, one.finished_at) && tstzrange(other.started_at, other.finished_at)"
    )

"""
The watch over what must never be: once a minute it looks whether the database still keeps the promises.

The clock calls :meth:`Checker.check`. Each look is one statement, so one snapshot, and its work is bounded: recent runs
are looked at each time, the rest of history by a sweep that goes on where it stopped, tasks and their ledgers in turn;
only the queue is read whole. What is found counts only if it is found again in the next round. Then it is logged with
the keys of the runs, or with tasks and times, and counted, once, in ``ordinaut_invariant_violations_total``; the alert
OrdinautInvariantViolated and its runbook go on from there. Nothing is mended: a defect that nobody knows is no ground
to write upon.
"""

from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar
from uuid import UUID

from ordinaut import metrics
from ordinaut.computing import compute
from ordinaut.declaration import law
from ordinaut.logging import get_logger
from ordinaut.store import invariants, ledger
from ordinaut.store.invariants import Invariant, Look
from ordinaut.store.ledger import Account
from ordinaut.store.pool import Connection, Pool

NEWEST = 10_000
"""Runs looked at each time."""

SWEPT = 5_000
"""Older runs looked at each time: cold pages, so fewer."""

TASKS = 1_000
TIMES = 5
"""Tasks looked at each time, and how many of their latest times."""

EVENTS = 20
"""Of tasks with triggers: their latest events that are looked at, of as many tasks."""

EVENTS_READ = 200
"""Runs of events that are looked at each time: what made one is read, and may be a megabyte."""

QUEUED = 5_000
"""Runs in the queue, in the delay, waiting for turns and keys, and under leases that are looked at each time."""

LEDGERS = 1_000
LINES = 20
"""Tasks whose ledgers are looked at each time, and how many of their newest lines."""

COMPUTED_AT_ONCE = 50
"""Ledgers that are judged before others who compute may go first."""

REMEMBERED = 1_000
"""Findings of an invariant that are known to have been counted."""

_START = UUID(int=0)

log = get_logger(__name__)

for _invariant in Invariant:
    metrics.INVARIANT_VIOLATIONS.labels(_invariant.value)

Key = TypeVar("Key", bound=Hashable)

Findings = Mapping[Invariant, Mapping[Hashable, str]]
"""What a look has found: of each invariant that it is about the keys of the findings, and each in words."""


@dataclass(slots=True)
class Suspicion(Generic[Key]):
    """What was found of one invariant: once (suspects), or twice (counted)."""

    suspects: dict[Key, None] = field(default_factory=dict)
    _counted: dict[Key, None] = field(default_factory=dict)

    def knows(self, key: Key) -> bool:
        """Whether it was found before."""
        return key in self.suspects or key in self._counted

    def confirm(self, found: Iterable[Key]) -> list[Key]:
        """Take what a round has found; return what the round before had found too and was not counted yet."""
        new = [one for one in found if one not in self._counted]
        confirmed = [one for one in new if one in self.suspects]
        self._counted |= dict.fromkeys(confirmed)
        self.suspects = dict.fromkeys(one for one in new if one not in self._counted)
        for oldest in list(self._counted)[:-REMEMBERED]:
            del self._counted[oldest]
        return confirmed


class Checker:
    """Looks for violations, round by round, and counts them."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._found: dict[Invariant, Suspicion[Hashable]] = {invariant: Suspicion() for invariant in Invariant}
        self._swept = _START
        self._reached: dict[Invariant, int] = {}
        self._ledgers = 0

    async def check(self) -> int:
        """Make one round; returns how many violations it has counted."""
        looks: dict[Invariant, Callable[[Connection], Awaitable[Look]]] = {
            Invariant.LOST_RUN: self._lost_runs,
            Invariant.FIRE_WITHOUT_RUN: self._in_turn(
                Invariant.FIRE_WITHOUT_RUN, partial(invariants.fires_without_run, tasks=TASKS, times=TIMES)
            ),
            Invariant.EVENT_WITHOUT_RUN: self._in_turn(
                Invariant.EVENT_WITHOUT_RUN, partial(invariants.events_without_run, tasks=TASKS, lines=EVENTS)
            ),
            Invariant.LOST_EVENT: self._in_turn(
                Invariant.LOST_EVENT, partial(invariants.events_not_gathered, tasks=TASKS, lines=EVENTS)
            ),
            Invariant.RUN_WITHOUT_EVENT: partial(invariants.runs_without_event, newest=NEWEST, read=EVENTS_READ),
            Invariant.ENDED_RUN_KEPT: lambda connection: invariants.ended_runs_kept(connection, looked_at=QUEUED),
            Invariant.DOUBLED_RUN: invariants.doubled_runs,
            Invariant.OVERLAPPING_RUNS: invariants.overlapping_runs,
            Invariant.STALLED_TURN: invariants.stalled_turns,
            Invariant.STALLED_KEY: lambda connection: invariants.stalled_keys(connection, looked_at=QUEUED),
            Invariant.EXCEEDED_KEY: invariants.exceeded_keys,
        }
        counted = 0
        async with self._pool.connection() as connection:
            for invariant, look in looks.items():
                found = (await look(connection)).runs
                what = "event" if invariant is Invariant.LOST_EVENT else "run"
                counted += self._count({invariant: {key: f"{what} {key}" for key in found}})
            reached = await ledger.clocks_after(connection, self._ledgers, limit=LEDGERS)
            accounts = await ledger.accounts(connection, reached, lines=LINES + 1)
        broken = await _broken(accounts)
        # As below: what is found for the first time is looked at once more.
        if self._know(broken):
            self._ledgers = reached[-1] if len(reached) == LEDGERS else 0
        return counted + self._count(broken)

    async def _lost_runs(self, connection: Connection) -> Look:
        suspects = [one for one in self._found[Invariant.LOST_RUN].suspects if isinstance(one, UUID)]
        look = await invariants.lost_runs(connection, newest=NEWEST, after=self._swept, swept=SWEPT, suspects=suspects)
        self._swept = look.reached if isinstance(look.reached, UUID) else _START
        return look

    def _in_turn(
        self, invariant: Invariant, look_behind: Callable[..., Awaitable[Look]]
    ) -> Callable[[Connection], Awaitable[Look]]:
        """Return a look at the next tasks, each time at those behind the last."""

        async def look(connection: Connection) -> Look:
            found = await look_behind(connection, after=self._reached.get(invariant, 0))
            # What is found for the first time is looked at once more, before the look goes on.
            if all(map(self._found[invariant].knows, found.runs)):
                self._reached[invariant] = found.reached if isinstance(found.reached, int) else 0
            return found

        return look

    def _know(self, findings: Findings) -> bool:
        return all(self._found[invariant].knows(key) for invariant, found in findings.items() for key in found)

    def _count(self, findings: Findings) -> int:
        counted = 0
        for invariant, found in findings.items():
            confirmed = self._found[invariant].confirm(found)
            if confirmed:
                metrics.INVARIANT_VIOLATIONS.labels(invariant.value).inc(len(confirmed))
                log.error("invariant violated", invariant=invariant.value, found=[found[one] for one in confirmed])
            counted += len(confirmed)
        return counted


async def _broken(accounts: Sequence[Account]) -> Findings:
    """Return how ledgers break the law, each by its task and the time that it is about."""
    found: dict[Invariant, dict[Hashable, str]] = {invariant: {} for invariant in law.INVARIANTS}
    for start in range(0, len(accounts), COMPUTED_AT_ONCE):
        some = accounts[start : start + COMPUTED_AT_ONCE]
        for account, judgement in zip(some, await compute(_judged, some), strict=True):
            for breach in judgement.breaches if judgement else ():
                if len(found[breach.invariant]) < invariants.AT_ONCE:
                    words = f"task {account.namespace}/{account.name}: {breach.text}"
                    found[breach.invariant][account.task_id, breach.at] = words
    return found


def _judged(accounts: Sequence[Account]) -> list[law.Judgement | None]:
    return [law.newest(account, lines=LINES) for account in accounts]

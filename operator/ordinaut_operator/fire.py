"""
Firing: from nominal times that have come to runs in the queue, exactly once.

The clock calls :func:`fire_due` at every due second. One transaction claims tasks, decides what becomes of each of
their times, writes ledger, runs and queue, and moves the clocks on; so a crash at any point fires neither twice nor
never, and any number of operators may do it at once.
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from time import monotonic

from ordinaut import metrics, schedule, spans
from ordinaut.declaration.running import replace_active
from ordinaut.events.envelope import Event
from ordinaut.logging import get_logger
from ordinaut.resources.moment import format_instant
from ordinaut.states import Trigger
from ordinaut.store import clock, events, runs, status
from ordinaut.store.clock import DueTask
from ordinaut.store.pool import Connection, Pool
from ordinaut_operator.rights import NO_CHECKS, Rights
from ordinaut_operator.skips.series import Skipped
from ordinaut_operator.verdict import Verdict, decide

BATCH = 500
"""Tasks claimed in one transaction."""

LANES = 2
"""Transactions under way when more is due than one takes: while PostgreSQL writes one, another is decided."""

log = get_logger(__name__)

Tell = Callable[[Sequence[Skipped]], None]
"""Takes in what a committed transaction has skipped of tasks that may be objects of Kubernetes; must not wait."""


@dataclass(slots=True)
class Round:
    """What one firing transaction did; ``left`` are tasks that wait until their creators' rights are known."""

    claimed: int = 0
    left: int = 0
    fired: int = 0
    skipped: int = 0
    lags: list[float] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Whether there may be more to do."""
        return self.claimed + self.left >= BATCH

    def add(self, other: "Round") -> None:
        """Count in what another transaction did."""
        self.claimed += other.claimed
        self.left += other.left
        self.fired += other.fired
        self.skipped += other.skipped
        self.lags += other.lags


async def fire_due(pool: Pool, *, rights: Rights = NO_CHECKS, tell: Tell | None = None) -> Round:
    """Fire what is due, but for tasks of creators whose rights are not known yet; returns what was done in all."""
    total = await _fire_batch(pool, rights=rights, tell=tell)
    if total.is_full:
        rest = (_fire_rest(pool, rights=rights, tell=tell) for _ in range(LANES))
        for done in await asyncio.gather(*rest, return_exceptions=True):
            if isinstance(done, BaseException):
                raise done
            total.add(done)
    return total


async def _fire_rest(pool: Pool, *, rights: Rights, tell: Tell | None) -> Round:
    """Fire batch after batch until one is not full."""
    total = Round()
    while True:
        done = await _fire_batch(pool, rights=rights, tell=tell)
        total.add(done)
        if not done.is_full:
            return total


async def _fire_batch(pool: Pool, *, rights: Rights, tell: Tell | None) -> Round:
    began = monotonic()
    async with pool.connection() as connection, connection.transaction():
        tasks = await clock.claim_due(connection, limit=BATCH, without=rights.unknown)
        judged = [(task, rights.may_run(task)) for task in tasks]
        left = sum(may_run is None for _, may_run in judged)
        verdicts = [one for task, may_run in judged if may_run is not None and (one := _decide(task, may_run))]
        if not verdicts:
            return Round(left=left)
        known = await clock.record(connection, [fire for verdict in verdicts for fire in verdict.fires])
        if known:
            verdicts = [_without(verdict, known) for verdict in verdicts]
        async with connection.pipeline():
            await runs.create(connection, [run for one in verdicts for run in one.runs], trigger=Trigger.SCHEDULE)
            await clock.advance(connection, [one.advance for one in verdicts], tzdata=schedule.tzdata_version())
            await events.add(connection, [event.compact() for one in verdicts for event in _events(one)])
            await status.notify(connection, [one.task.task_id for one in verdicts])
        await _replace(connection, verdicts)
    if spans.receiver is not None:
        spans.receiver.record(_spans(verdicts, took=monotonic() - began))
    if tell is not None:
        # Only what is made through the API has a creator.
        tell([skipped for one in verdicts if one.task.creator is None for skipped in _skipped(one)])
    return _count(verdicts, left=left)


def _decide(task: DueTask, may_run: bool) -> Verdict | None:
    """Return what becomes of a task's times; None, and it stays due, if this release can't read its spec."""
    try:
        return decide(task, authorized=may_run)
    except Exception:
        # It must not hold up all others.
        metrics.JOB_FAILURES.labels(loop="fire").inc()
        log.exception("task can't be fired", task=f"{task.namespace}/{task.name}")
        return None


def _without(verdict: Verdict, known: Collection[tuple[int, datetime]]) -> Verdict:
    """Drop what the ledger knew already: its key is the second lock."""
    fires = [fire for fire in verdict.fires if (fire.task_id, fire.scheduled_at) not in known]
    made = [run for run in verdict.runs if (run.task_id, run.scheduled_at) not in known]
    return replace(verdict, fires=fires, runs=made, replaces=verdict.replaces and bool(made))


async def _replace(connection: Connection, verdicts: Sequence[Verdict]) -> None:
    replacing = [verdict for verdict in verdicts if verdict.replaces]
    if replacing:
        newest = {verdict.task.task_id: verdict.runs[-1].run_id for verdict in replacing}
        tasks = {verdict.task.task_id: verdict.task.name for verdict in replacing}
        await replace_active(connection, newest=newest, tasks=tasks)


def _events(verdict: Verdict) -> list[Event]:
    """Return an event per run made, and one for all times that were skipped for the same reason."""
    task = verdict.task
    found = [
        Event(
            "run.created",
            task.namespace,
            task.name,
            run=str(run.run_id),
            data={"trigger": Trigger.SCHEDULE, "scheduledTime": run.scheduled_at and format_instant(run.scheduled_at)},
        )
        for run in verdict.runs
    ]
    for one in _skipped(verdict):
        data = {
            "reason": one.reason,
            "count": one.count,
            "firstTime": format_instant(one.first),
            "lastTime": format_instant(one.last),
        }
        found.append(Event("task.skipped", task.namespace, task.name, data=data))
    return found


def _skipped(verdict: Verdict) -> Iterator[Skipped]:
    """Yield what was skipped for each reason."""
    if len(verdict.runs) == len(verdict.fires):
        return
    task = verdict.task
    skipped = [(fire.reason, fire.scheduled_at) for fire in verdict.fires if fire.reason]
    for reason, group in groupby(sorted(skipped), key=lambda one: one[0]):
        times = [scheduled_at for _, scheduled_at in group]
        yield Skipped(task.task_id, task.namespace, task.name, reason, len(times), times[0], times[-1], task.now)


def _spans(verdicts: Sequence[Verdict], *, took: float) -> Iterator[spans.Span]:
    for verdict in verdicts:
        task, started = verdict.task, verdict.task.now.timestamp()
        for run in verdict.runs:
            yield spans.fire(
                run=str(run.run_id),
                namespace=task.namespace,
                task=task.name,
                scheduled_at=run.scheduled_at,
                lag=_lag(task, run.scheduled_at) if run.scheduled_at else 0.0,
                started=started,
                ended=started + took,
            )


def _count(verdicts: Sequence[Verdict], *, left: int) -> Round:
    """Return what a committed batch did, and add it to the metrics."""
    done = Round(claimed=len(verdicts), left=left)
    for verdict in verdicts:
        done.fired += len(verdict.runs)
        done.skipped += len(verdict.fires) - len(verdict.runs)
        done.lags += [_lag(verdict.task, run.scheduled_at) for run in verdict.runs if run.scheduled_at]
    metrics.count_fires(fire.reason or fire.outcome for verdict in verdicts for fire in verdict.fires)
    for lag in done.lags:
        metrics.SCHEDULE_LAG.observe(lag)
    return done


def _lag(task: DueTask, scheduled_at: datetime) -> float:
    """Return the seconds by which a run is late; one that was snoozed was to be made when the snooze was over."""
    return (task.now - max(scheduled_at, task.snoozed_until or scheduled_at)).total_seconds()

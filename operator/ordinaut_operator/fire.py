"""
Firing: from nominal times that have come to runs in the queue, exactly once.

The clock calls :func:`fire_due` at every due second. One transaction claims tasks, decides what becomes of each of
their times, writes ledger, runs and queue, and moves the clocks on; so a crash at any point fires neither twice nor
never, and any number of operators may do it at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from time import monotonic
from typing import Any

from ordinaut import metrics, schedule, spans
from ordinaut.declaration.nominal import stored_schedules
from ordinaut.declaration.running import replace_active
from ordinaut.events.envelope import Event
from ordinaut.resources.moment import format_instant
from ordinaut.schedule import CatchUp, CatchUpPolicy, Decision, Progress, decide_missed
from ordinaut.states import SkipReason, Trigger
from ordinaut.store import clock, events, runs, status
from ordinaut.store.clock import Advance, DueTask, Fire
from ordinaut.store.ids import new_run_id
from ordinaut.store.pool import Connection, Pool
from ordinaut.store.runs import NewRun
from ordinaut_operator.rights import NO_CHECKS, Rights

BATCH = 500
"""Tasks claimed in one transaction."""

CHUNK = 100
"""Nominal times of one task decided in one transaction; a longer backlog goes on in the next."""

DEFAULT_PRIORITY = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a task's nominal times: lines of the ledger, the runs of those that fire, the clock's advance."""

    task: DueTask
    fires: list[Fire]
    runs: list[NewRun]
    advance: Advance


@dataclass(slots=True)
class Round:
    """What one firing transaction did; ``left`` are tasks that wait until their creators' rights are known."""

    claimed: int = 0
    left: int = 0
    fired: int = 0
    skipped: int = 0
    lags: list[float] = field(default_factory=list)


async def fire_due(pool: Pool, *, rights: Rights = NO_CHECKS) -> Round:
    """Fire what is due, but for tasks of creators whose rights are not known yet; returns what was done in all."""
    total = Round()
    while True:
        done = await _fire_batch(pool, rights=rights)
        total.claimed += done.claimed
        total.left += done.left
        total.fired += done.fired
        total.skipped += done.skipped
        total.lags += done.lags
        if done.claimed + done.left < BATCH:
            return total


def decide(task: DueTask, *, authorized: bool = True) -> Verdict:
    """
    Return what becomes of the due times of a claimed task. Pure but for the keys of new runs.

    ``authorized`` is whether its creator may run it.
    """
    spec = task.spec
    decision = decide_missed(
        stored_schedules(spec.get("schedules", ()), anchor=task.anchor),
        progress=Progress(task.evaluated_at, task.as_of, task.kept),
        now=task.now,
        catch_up=_catch_up(spec),
        starting_deadline=_seconds(spec.get("startingDeadlineSeconds")),
        held_until=task.snoozed_until,
        chunk=CHUNK,
    )
    policy = spec.get("concurrencyPolicy", "Allow")
    busy = task.busy
    fires, made = [], []
    for outcome in decision.outcomes:
        reason = outcome.skipped
        if reason is None and not authorized:
            reason = SkipReason.UNAUTHORIZED
        if reason is None and task.revision is None:
            reason = SkipReason.NOT_READY
        if reason is None and policy == "Forbid" and busy:
            reason = SkipReason.STILL_RUNNING
        if reason is not None:
            fires.append(Fire(task.task_id, outcome.scheduled_at, reason=reason))
            continue
        run = _run(task, outcome.scheduled_at, exclusive=policy != "Allow")
        fires.append(Fire(task.task_id, outcome.scheduled_at, run_id=run.run_id))
        made.append(run)
        busy = True
    return Verdict(task, fires, made, _advance(task, decision, authorized=authorized))


def _run(task: DueTask, scheduled_at: datetime, *, exclusive: bool) -> NewRun:
    assert task.revision is not None  # noqa: S101 - the caller has checked
    return NewRun(
        run_id=new_run_id(task.now),
        namespace=task.namespace,
        task_id=task.task_id,
        revision=task.revision,
        priority=task.spec.get("priority", DEFAULT_PRIORITY),
        params=task.params,
        scheduled_at=scheduled_at,
        exclusive=exclusive,
    )


def _advance(task: DueTask, decision: Decision, *, authorized: bool) -> Advance:
    progress = decision.progress
    unauthorized_at = None if authorized else task.unauthorized_at or task.now
    return Advance(task.task_id, progress.evaluated, progress.as_of, progress.kept, decision.next_fire, unauthorized_at)


def _catch_up(spec: dict[str, Any]) -> CatchUp:
    written = spec.get("catchUp", {})
    default = CatchUp()
    return CatchUp(CatchUpPolicy(written.get("policy", default.policy)), written.get("max", default.max))


def _seconds(count: int | None) -> timedelta | None:
    return None if count is None else timedelta(seconds=count)


async def _fire_batch(pool: Pool, *, rights: Rights) -> Round:
    began = monotonic()
    async with pool.connection() as connection, connection.transaction():
        tasks = await clock.claim_due(connection, limit=BATCH, without=rights.unknown)
        judged = [(task, rights.may_run(task)) for task in tasks]
        verdicts = [decide(task, authorized=may_run) for task, may_run in judged if may_run is not None]
        left = len(tasks) - len(verdicts)
        if not verdicts:
            return Round(left=left)
        new = await clock.record(connection, [fire for verdict in verdicts for fire in verdict.fires])
        verdicts = [_only_new(verdict, new) for verdict in verdicts]
        async with connection.pipeline():
            await runs.create(connection, [run for one in verdicts for run in one.runs], trigger=Trigger.SCHEDULE)
            await clock.advance(connection, [one.advance for one in verdicts], tzdata=schedule.tzdata_version())
            await events.append(connection, [event.compact() for one in verdicts for event in _events(one)])
            await status.notify(connection, [one.task.task_id for one in verdicts])
        await _replace(connection, verdicts)
    if spans.receiver is not None:
        spans.receiver.record(_spans(verdicts, took=monotonic() - began))
    return _count(verdicts, left=left)


def _only_new(verdict: Verdict, new: set[tuple[int, datetime]]) -> Verdict:
    """Drop what the ledger knew already: its key is the second lock."""
    fires = [fire for fire in verdict.fires if (fire.task_id, fire.scheduled_at) in new]
    if len(fires) == len(verdict.fires):
        return verdict
    kept = {fire.run_id for fire in fires}
    return Verdict(verdict.task, fires, [run for run in verdict.runs if run.run_id in kept], verdict.advance)


async def _replace(connection: Connection, verdicts: Sequence[Verdict]) -> None:
    for verdict in verdicts:
        if verdict.runs and verdict.task.spec.get("concurrencyPolicy") == "Replace":
            newest = verdict.runs[-1].run_id
            await replace_active(connection, task_id=verdict.task.task_id, task=verdict.task.name, newest=newest)


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
    skipped = sorted((fire for fire in verdict.fires if fire.reason), key=lambda fire: (fire.reason, fire.scheduled_at))
    for reason, group in groupby(skipped, key=lambda fire: fire.reason):
        times = list(group)
        data = {
            "reason": reason,
            "count": len(times),
            "firstTime": format_instant(times[0].scheduled_at),
            "lastTime": format_instant(times[-1].scheduled_at),
        }
        found.append(Event("task.skipped", task.namespace, task.name, data=data))
    return found


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
        for fire in verdict.fires:
            metrics.FIRES.labels(outcome=fire.reason or fire.outcome).inc()
    for lag in done.lags:
        metrics.SCHEDULE_LAG.observe(lag)
    return done


def _lag(task: DueTask, scheduled_at: datetime) -> float:
    """Return the seconds by which a run is late; one that was snoozed was to be made when the snooze was over."""
    return (task.now - max(scheduled_at, task.snoozed_until or scheduled_at)).total_seconds()

"""
What becomes of a claimed task's nominal times: they fire or are skipped, and its clock moves on.

:mod:`fire` asks for each task that it has claimed and writes what it hears. Nothing here reads a clock or a database.
"""

from dataclasses import dataclass
from datetime import datetime

from ordinaut import schedule
from ordinaut.declaration.nominal import ANY_ANCHOR, stored_schedules
from ordinaut.remembering import remembered
from ordinaut.schedule import Decision, Progress, decide_missed
from ordinaut.states import SkipReason, WaitReason
from ordinaut.store import keys
from ordinaut.store.clock import Advance, DueTask, Fire
from ordinaut.store.ids import new_run_id
from ordinaut.store.runs import NewRun
from ordinaut.store.turns import MAX_WAITING
from ordinaut_operator.terms import Terms, read_terms

CHUNK = 100
"""Nominal times of one task decided in one transaction; a longer backlog goes on in the next."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What becomes of a task's nominal times: lines of the ledger, the runs of those that fire, the clock's advance.

    ``replaces`` is whether the newest of the runs takes the place of all others.
    """

    task: DueTask
    fires: list[Fire]
    runs: list[NewRun]
    advance: Advance
    replaces: bool


def decide(task: DueTask, *, authorized: bool = True) -> Verdict:
    """
    Return what becomes of the due times of a claimed task. Pure but for the keys of new runs.

    ``authorized`` is whether its creator may run it.
    """
    terms = read_terms(task.spec)
    anchor = task.anchor if terms.is_anchored else ANY_ANCHOR
    progress = (task.evaluated_at, task.as_of, task.kept)
    decision = _decision(task.spec, anchor, *progress, task.now, task.snoozed_until, CHUNK)
    busy, waiting = task.standing.busy, task.standing.waiting
    fires, made = [], []
    for outcome in decision.outcomes:
        reason = outcome.skipped
        if reason is None and not authorized:
            reason = SkipReason.UNAUTHORIZED
        if reason is None and task.revision is None:
            reason = SkipReason.NOT_READY
        if reason is None:
            reason = crowded(terms.policy, busy=busy, waiting=waiting)
        if reason is not None:
            fires.append(Fire(task.task_id, outcome.scheduled_at, reason=reason))
            continue
        run = _run(task, terms, outcome.scheduled_at, queued=terms.policy == "Queue" and busy)
        fires.append(Fire(task.task_id, outcome.scheduled_at, run_id=run.run_id))
        made.append(run)
        waiting += run.waits is WaitReason.TURN
        busy = True
    advance = _advance(task, decision, authorized=authorized)
    return Verdict(task, fires, made, advance, replaces=bool(made) and terms.policy == "Replace")


def crowded(policy: str, *, busy: bool, waiting: int) -> SkipReason | None:
    """
    Return why the other runs of a task leave no room for a new one.

    ``busy``: a run is under way or waits; ``waiting`` are those that wait for their turn.
    """
    if policy == "Forbid" and busy:
        return SkipReason.STILL_RUNNING
    if policy == "Queue" and waiting >= MAX_WAITING:
        return SkipReason.QUEUE_FULL
    return None


@remembered(entries=512)
def _decision(
    spec: str,
    anchor: datetime,
    evaluated_at: datetime,
    as_of: datetime | None,
    kept: int,
    now: datetime,
    held_until: datetime | None,
    chunk: int,
) -> Decision:
    # Tasks that are due together were mostly decided together the last time, too: few of a batch differ in all this.
    terms = read_terms(spec)
    return decide_missed(
        stored_schedules(terms.schedules, anchor=anchor),
        progress=Progress(evaluated_at, as_of, kept),
        now=now,
        catch_up=terms.catch_up,
        starting_deadline=terms.starting_deadline,
        held_until=held_until,
        chunk=chunk,
    )


def _run(task: DueTask, terms: Terms, scheduled_at: datetime, *, queued: bool) -> NewRun:
    assert task.revision is not None  # noqa: S101 - the caller has checked
    start_at = _start(task, terms, scheduled_at)
    late = WaitReason.JITTER if start_at is not None else None
    return NewRun(
        run_id=new_run_id(task.now),
        namespace=task.namespace,
        task_id=task.task_id,
        revision=task.revision,
        priority=terms.priority,
        params=task.params,
        scheduled_at=scheduled_at,
        exclusive=task.exclusive,
        waits=WaitReason.TURN if queued else late,
        start_at=start_at,
        queue=task.queue,
        keys=keys.of_task(task.keys) if task.keys else (),
    )


def _start(task: DueTask, terms: Terms, scheduled_at: datetime) -> datetime | None:
    """Return when a run may start by its task's jitter; None: at once."""
    if terms.jitter is None:
        return None
    late = schedule.jitter(f"{task.namespace}/{task.name}", scheduled_at, within=terms.jitter)
    start_at = max(scheduled_at, task.snoozed_until or scheduled_at) + late
    return start_at if start_at > task.now else None


def _advance(task: DueTask, decision: Decision, *, authorized: bool) -> Advance:
    progress = decision.progress
    unauthorized_at = None if authorized else task.unauthorized_at or task.now
    return Advance(task.task_id, progress.evaluated, progress.as_of, progress.kept, decision.next_fire, unauthorized_at)

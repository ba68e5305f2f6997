"""
Rows of the store as the objects that the API answers with. Pure.

Routes read rows and hand them to these functions; the same words as in the status of the resources in Kubernetes are
used, so that ``kubectl get`` and ``ordinaut get`` tell the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Literal

from ordinaut import shapes
from ordinaut.declaration import standing
from ordinaut.declaration.backfill import Plan
from ordinaut.declaration.event_law import EventJudgement
from ordinaut.declaration.law import Judgement
from ordinaut.declaration.standing import Standing
from ordinaut.engine.plan import is_builtin
from ordinaut.schedule import tzdata_version
from ordinaut.states import (
    ENDED_RUN_PHASES,
    FINAL_STEP_PHASES,
    WHY_EVENT_SKIPPED,
    BackfillPhase,
    EventOutcome,
    EventSkipReason,
    FireOutcome,
    Origin,
    RunPhase,
    SkipReason,
    StepPhase,
    Trigger,
)
from ordinaut.store.audit import AuditRow
from ordinaut.store.backfill import Backfill as BackfillRow
from ordinaut.store.event_fires import EventFire as EventFireRow
from ordinaut.store.ledger import Account
from ordinaut.store.runs import Run as RunRow
from ordinaut.store.runs import Step as StepRow
from ordinaut.store.status import DeclaredRow, TaskRow
from ordinaut.store.status import Fire as FireRow
from ordinaut.store.workers import HeldRun
from ordinaut.store.workers import Worker as WorkerRow

Tools = Mapping[tuple[str, str], str | None]
"""Why a tool can't be used, None when it can, by (namespace, name); missing ones have no entry."""


def task(row: TaskRow, *, upcoming: Sequence[datetime] | None = None) -> shapes.Task:
    """Return a task; ``upcoming`` are its next nominal times where they are wanted."""
    schedule, zone = standing.schedule_in_words(row)
    return shapes.Task(
        metadata=_metadata(row, created=row.anchor),
        spec=row.spec,
        status=shapes.TaskStatus(
            observed_generation=row.generation,
            phase=standing.task_phase(row),
            conditions=_task_conditions(row),
            schedule=schedule or None,
            time_zone=zone or None,
            next_schedule_time=row.next_fire_at,
            upcoming=None if upcoming is None else list(upcoming),
            last_schedule_time=row.last_schedule_at,
            last_successful_time=row.last_success_at,
            active=row.active,
            last_run=_last_run(row),
            pause=_pause(row),
            snooze=_snooze(row),
            creator=row.creator,
        ),
    )


def _task_conditions(row: TaskRow) -> list[shapes.Condition]:
    found = standing.task_conditions(row)
    return [_condition(type_, says, generation=row.generation) for type_, says in found.items()]


def _pause(row: TaskRow) -> shapes.Pause | None:
    if row.paused_at is None or row.paused_by is None:
        return None
    return shapes.Pause(since=row.paused_at, by=row.paused_by)


def _snooze(row: TaskRow) -> shapes.Snooze | None:
    if row.snoozed_until is None or row.snoozed_by is None:
        return None
    return shapes.Snooze(until=row.snoozed_until, by=row.snoozed_by)


def _last_run(row: TaskRow) -> shapes.LastRun | None:
    if row.run_id is None or row.run_phase is None or row.run_trigger is None:
        return None
    return shapes.LastRun(
        id=str(row.run_id),
        phase=RunPhase(row.run_phase),
        trigger=Trigger(row.run_trigger),
        scheduled_time=row.run_scheduled_at,
        start_time=row.run_started_at,
        completion_time=row.run_finished_at,
        reason=row.run_reason,
    )


def pipeline(row: DeclaredRow, *, tools: Tools) -> shapes.Pipeline:
    """Return a pipeline; ``tools`` are those of its namespace that it may need."""
    missing = sorted(name for name in tool_names(row.spec) if tools.get((row.namespace, name), "missing") is not None)
    ready = standing.pipeline_ready(invalid=row.invalid, missing_tools=", ".join(missing) or None)
    return shapes.Pipeline(metadata=_declared_metadata(row), spec=row.spec, status=_declared_status(row, ready))


def tool(row: DeclaredRow) -> shapes.Tool:
    """Return a tool."""
    status = _declared_status(row, standing.tool_ready(invalid=row.invalid))
    return shapes.Tool(metadata=_declared_metadata(row), spec=row.spec, status=status)


def hook(row: DeclaredRow) -> shapes.Hook:
    """Return a hook."""
    status = _declared_status(row, standing.hook_ready(invalid=row.invalid))
    return shapes.Hook(metadata=_declared_metadata(row), spec=row.spec, status=status)


def tool_names(spec: Mapping[str, Any]) -> set[str]:
    """Return the Tools that a stored pipeline needs."""
    return {step["uses"] for step in spec.get("steps", ()) if "uses" in step and not is_builtin(step["uses"])}


def _declared_metadata(row: DeclaredRow) -> shapes.Metadata:
    return _metadata(row, created=row.created_at)


def _metadata(row: TaskRow | DeclaredRow, *, created: datetime) -> shapes.Metadata:
    return shapes.Metadata(
        namespace=row.namespace,
        name=row.name,
        uid=row.uid,
        generation=row.generation,
        resource_version=str(row.version),
        creation_timestamp=created,
        origin=Origin(row.origin),
        labels=dict(row.labels) or None,
        annotations=dict(row.annotations) or None,
    )


def _declared_status(row: DeclaredRow, ready: Standing) -> shapes.DeclaredStatus:
    condition = _condition("Ready", ready, generation=row.generation)
    return shapes.DeclaredStatus(observed_generation=row.generation, conditions=[condition])


def _condition(type_: str, says: Standing, *, generation: int) -> shapes.Condition:
    status: Literal["True", "False"] = "True" if says.holds else "False"
    return shapes.Condition(
        type=type_, status=status, observed_generation=generation, reason=says.reason, message=says.message
    )


def fire(row: FireRow) -> shapes.Fire:
    """Return a line of the ledger."""
    return shapes.Fire(
        scheduled_time=row.scheduled_at,
        outcome=FireOutcome(row.outcome),
        reason=None if row.reason is None else SkipReason(row.reason),
        run=None if row.run_id is None else str(row.run_id),
        decided_at=row.decided_at,
        backfill=None if row.backfill_id is None else str(row.backfill_id),
    )


def event_fire(row: EventFireRow) -> shapes.EventFire:
    """Return a line of the ledger of events."""
    reason = None if row.reason is None else EventSkipReason(row.reason)
    return shapes.EventFire(
        event=shapes.FiredEvent(id=row.event_id, type=row.event_type),
        trigger=row.trigger,
        outcome=EventOutcome(row.outcome),
        reason=reason,
        message=row.message or (reason and WHY_EVENT_SKIPPED[reason]),
        run=None if row.run_id is None else str(row.run_id),
        decided_at=row.decided_at,
    )


VIOLATIONS: Final = 20
"""Violations of the law that one look at a ledger shows."""


def verification(
    account: Account, judgement: Judgement | None, events: EventJudgement | None = None
) -> shapes.Verification:
    """
    Return whether a ledger keeps the law; ``judgement`` is None where that can't be told.

    ``events`` is whether that of events does, None where there are no triggers or that is told in another part.
    """
    name, since = account.name, account.counted_from
    if judgement is None:
        unknown = (
            f"the clock counts with the time zone data {account.tzdata}, the API with {tzdata_version()}; try again"
            " when all processes are of one version"
        )
        return shapes.Verification(
            task=name,
            since=since,
            after=since,
            until=since,
            **dict.fromkeys(("nominal", "fired", "skipped", "pending", "violated"), 0),
            violations=[],
            unknown=unknown,
        )
    return shapes.Verification(
        task=name,
        since=since,
        after=judgement.after,
        until=judgement.until,
        nominal=judgement.nominal,
        fired=judgement.fired,
        skipped=judgement.skipped,
        pending=judgement.pending,
        violated=len(judgement.breaches) + (len(events.breaches) if events else 0),
        violations=[
            shapes.Violation.model_validate({"invariant": one.invariant, "time": one.at, "detail": one.text})
            for one in judgement.breaches[:VIOLATIONS]
        ]
        + [
            shapes.Violation(invariant=one.invariant, detail=one.text)
            for one in (events.breaches[:VIOLATIONS] if events else ())
        ],
        events=events
        and shapes.EventVerification(
            matched=events.matched, fired=events.fired, skipped=events.skipped, gathered=events.gathered
        ),
    )


PLANNED: Final = 100
"""Nominal times that a plan of a backfill shows."""


def backfill_plan(planned: Plan) -> shapes.BackfillPlan:
    """Return what a backfill would do."""
    return shapes.BackfillPlan(
        from_=planned.since,
        to=planned.until,
        times=planned.times,
        already_fired=planned.times - len(planned.missing),
        to_make=len(planned.missing),
        items=list(planned.missing[:PLANNED]),
        message=planned.message,
    )


def backfill(row: BackfillRow, *, message: str | None = None) -> shapes.Backfill:
    """Return a backfill; ``message`` is what there is to say about it besides what it waits for."""
    waiting = None if row.waiting is None or row.finished_at is not None else SkipReason(row.waiting)
    phase = BackfillPhase(row.reason) if row.reason else BackfillPhase.WAITING if waiting else BackfillPhase.ACTIVE
    return shapes.Backfill(
        metadata=shapes.Metadata(
            namespace=row.namespace,
            name=str(row.backfill_id),
            uid=str(row.backfill_id),
            creation_timestamp=row.created_at,
        ),
        spec=shapes.BackfillSpec(task=row.task, from_=row.from_at, to=row.to_at, max_active=row.max_active),
        status=shapes.BackfillStatus(
            phase=phase,
            times=row.times,
            already_fired=row.times - row.missing,
            to_make=row.missing,
            made=row.made,
            active=row.active,
            requested_by=row.created_by,
            completion_time=row.finished_at,
            reason=waiting,
            message=message or (waiting and _WAITS[waiting](row)),
        ),
    )


_WAITS: Final[Mapping[SkipReason, Callable[[BackfillRow], str]]] = {
    SkipReason.STILL_RUNNING: lambda _: "the task allows one run at a time, and has one that is not of this backfill",
    SkipReason.NOT_READY: lambda row: f"the task is not ready: {row.task_reason}: {row.task_message}",
    SkipReason.UNAUTHORIZED: lambda _: "whoever made the task through the API may no longer run it",
}


def audit_entry(row: AuditRow) -> shapes.AuditEntry:
    """Return a line of the audit trail."""
    decision: Literal["Allowed", "Denied"] = "Allowed" if row.decision == "Allowed" else "Denied"
    return shapes.AuditEntry(
        id=row.id,
        at=row.at,
        actor=row.actor,
        verb=row.verb,
        object=row.object,
        decision=decision,
        request_id=row.request_id,
    )


def listed_run(row: RunRow) -> shapes.Run:
    """Return a run as part of a list: without output and events, of which a page may hold hundreds of large ones."""
    return run(replace(row, output=None, event=None))


def run(row: RunRow, *, steps: Sequence[shapes.StepView] | None = None) -> shapes.Run:
    """Return a run, with its steps where they are wanted."""
    return shapes.Run(
        metadata=shapes.Metadata(
            namespace=row.namespace,
            name=str(row.run_id),
            uid=str(row.run_id),
            creation_timestamp=row.created_at,
        ),
        spec=shapes.RunSpec(
            task=row.task,
            trigger=Trigger(row.trigger),
            scheduled_time=row.scheduled_at,
            priority=row.priority,
            params=row.params,
            revision=row.revision,
            retry_of=None if row.retry_of is None else str(row.retry_of),
            event=row.event[-1] if isinstance(row.event, list) else row.event,
            events=row.event if isinstance(row.event, list) else None,
            hops=row.hops or None,
        ),
        status=shapes.RunStatus(
            phase=RunPhase(row.phase),
            attempt=row.attempt,
            worker=row.worker,
            start_time=row.started_at,
            completion_time=row.finished_at,
            output=row.output,
            reason=row.reason,
            error=row.error,
            steps=None if steps is None else list(steps),
        ),
    )


def steps(rows: Sequence[StepRow], *, run: RunRow, planned: Sequence[str]) -> list[shapes.StepView]:
    """
    Return the steps of a run: those with a row, and while the run is not over also those to come.

    The store has no row for a step before its first result, so what is pending or running is told from the plan:
    ``planned`` are the ids of its steps.
    """
    shown = [_step(row) for row in rows]
    if RunPhase(run.phase) in ENDED_RUN_PHASES:
        return shown
    # A step under way has no row, or that of its last failure.
    if run.phase == RunPhase.RUNNING and shown and shown[-1].phase is StepPhase.WAITING:
        shown[-1] = shown[-1].model_copy(update={"phase": StepPhase.RUNNING, "attempt": shown[-1].attempt + 1})
    reached = all(step.phase in FINAL_STEP_PHASES for step in shown)
    for step_id in planned[len({row.seq for row in rows}) :]:
        running = run.phase == RunPhase.RUNNING and reached
        shown.append(shapes.StepView(id=step_id, phase=StepPhase.RUNNING if running else StepPhase.PENDING))
        reached = False
    return shown


def _step(row: StepRow) -> shapes.StepView:
    return shapes.StepView(
        id=row.step_id,
        index=row.idx or None,
        phase=StepPhase(row.phase),
        attempt=row.attempt,
        start_time=row.started_at,
        completion_time=row.finished_at,
        output=row.output,
        error=row.error,
    )


def planned_steps(revision: Mapping[str, Any]) -> list[str]:
    """Return the ids of the steps of a revision, as ``engine.plan.revision`` made it, in their order."""
    return [step["id"] for step in revision["pipeline"]["steps"]]


def worker(row: WorkerRow, *, held: Sequence[HeldRun]) -> shapes.Worker:
    """Return a worker, with the runs of a namespace that it holds."""
    return shapes.Worker(
        name=row.name,
        queues=row.queues,
        slots=row.slots,
        busy=row.busy,
        version=row.version,
        start_time=row.started_at,
        seen_time=row.seen_at,
        draining=row.draining_at is not None,
        held=held[0].held if held else 0,
        runs=[shapes.WorkerRun(id=str(one.run_id), task=one.task, since=one.since) for one in held],
    )

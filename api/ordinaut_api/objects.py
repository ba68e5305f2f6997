"""
Rows of the store as the objects that the API answers with. Pure.

Routes read rows and hand them to these functions; the same words as in the status of the resources in Kubernetes are
used, so that ``kubectl get`` and ``ordinaut get`` tell the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from ordinaut.engine.plan import is_builtin
from ordinaut.resources.status import TaskPhase
from ordinaut.resources.task import Schedule, TaskSpec
from ordinaut.states import (
    FINAL_RUN_PHASES,
    FINAL_STEP_PHASES,
    FireOutcome,
    Origin,
    RunPhase,
    SkipReason,
    StepPhase,
    Trigger,
)
from ordinaut.store.runs import Run as RunRow
from ordinaut.store.runs import Step as StepRow
from ordinaut.store.status import DeclaredRow, TaskRow
from ordinaut.store.status import Fire as FireRow
from ordinaut_api import schemas

Tools = Mapping[tuple[str, str], str | None]
"""Why a tool can't be used, None when it can, by (namespace, name); missing ones have no entry."""


def task(row: TaskRow, *, upcoming: Sequence[datetime] | None = None) -> schemas.Task:
    """Return a task; ``upcoming`` are its next nominal times where they are wanted."""
    schedule, zone = _schedule_in_words(row)
    return schemas.Task(
        metadata=schemas.Metadata(
            namespace=row.namespace,
            name=row.name,
            uid=row.uid,
            generation=row.generation,
            creation_timestamp=row.anchor,
            origin=Origin(row.origin),
        ),
        spec=row.spec,
        status=schemas.TaskStatus(
            observed_generation=row.generation,
            phase=task_phase(row),
            conditions=[
                _condition("Ready", row.ready, row.reason, row.message, generation=row.generation),
                _scheduled(row),
            ],
            schedule=schedule or None,
            time_zone=zone or None,
            next_schedule_time=row.next_fire_at,
            upcoming=None if upcoming is None else list(upcoming),
            last_schedule_time=row.last_schedule_at,
            last_successful_time=row.last_success_at,
            active=row.active,
            last_run=_last_run(row),
        ),
    )


def task_phase(row: TaskRow) -> TaskPhase:
    """Return where a task stands, in one word."""
    if not row.ready:
        return TaskPhase.NOT_READY
    if row.active:
        return TaskPhase.RUNNING
    if row.spec.get("suspend"):
        return TaskPhase.SUSPENDED
    return TaskPhase.SCHEDULED if row.next_fire_at else TaskPhase.IDLE


def _schedule_in_words(row: TaskRow) -> tuple[str, str]:
    # Only this part of the spec is read: a page may have 500 tasks.
    spec = TaskSpec.model_construct(schedules=[Schedule.model_validate(one) for one in row.spec.get("schedules", ())])
    return spec.summary, spec.zone_summary


def _scheduled(row: TaskRow) -> schemas.Condition:
    if row.next_fire_at is not None:
        reason, message = "Scheduled", "the schedules will fire again"
    elif row.invalid is not None:
        reason, message = "InvalidSpec", "the spec can't be used; see Ready"
    elif row.spec.get("suspend"):
        reason, message = "Suspended", "spec.suspend is true"
    elif not row.spec.get("schedules"):
        reason, message = "NoSchedules", "the task runs when somebody asks for it"
    else:
        reason, message = "Finished", "the schedules have no time left"
    return _condition("Scheduled", row.next_fire_at is not None, reason, message, generation=row.generation)


def _last_run(row: TaskRow) -> schemas.LastRun | None:
    if row.run_id is None or row.run_phase is None or row.run_trigger is None:
        return None
    return schemas.LastRun(
        id=str(row.run_id),
        phase=RunPhase(row.run_phase),
        trigger=Trigger(row.run_trigger),
        scheduled_time=row.run_scheduled_at,
        start_time=row.run_started_at,
        completion_time=row.run_finished_at,
        reason=row.run_reason,
    )


def pipeline(row: DeclaredRow, *, tools: Tools) -> schemas.Pipeline:
    """Return a pipeline; ``tools`` are those of its namespace that it may need."""
    missing = sorted(name for name in tool_names(row.spec) if tools.get((row.namespace, name), "missing") is not None)
    if row.invalid is None and missing:
        reason, message = "ToolNotFound", f"missing or not valid: Tool {', '.join(missing)}; apply it"
    else:
        reason, message = "Resolved", "the pipeline can be used and its tools are there"
    return schemas.Pipeline(
        metadata=_declared_metadata(row), spec=row.spec, status=_declared_status(row, not missing, reason, message)
    )


def tool(row: DeclaredRow) -> schemas.Tool:
    """Return a tool."""
    status = _declared_status(row, True, "Resolved", "steps can use the tool")
    return schemas.Tool(metadata=_declared_metadata(row), spec=row.spec, status=status)


def tool_names(spec: Mapping[str, Any]) -> set[str]:
    """Return the Tools that a stored pipeline needs."""
    return {step["uses"] for step in spec.get("steps", ()) if "uses" in step and not is_builtin(step["uses"])}


def _declared_metadata(row: DeclaredRow) -> schemas.Metadata:
    return schemas.Metadata(
        namespace=row.namespace, name=row.name, uid=row.uid, generation=row.generation, origin=Origin(row.origin)
    )


def _declared_status(row: DeclaredRow, ready: bool, reason: str, message: str) -> schemas.DeclaredStatus:
    if row.invalid is not None:
        ready, reason, message = False, "InvalidSpec", row.invalid
    condition = _condition("Ready", ready, reason, message, generation=row.generation)
    return schemas.DeclaredStatus(observed_generation=row.generation, conditions=[condition])


def _condition(type_: str, holds: bool, reason: str, message: str, *, generation: int) -> schemas.Condition:
    status: Literal["True", "False"] = "True" if holds else "False"
    return schemas.Condition(type=type_, status=status, observed_generation=generation, reason=reason, message=message)


def fire(row: FireRow) -> schemas.Fire:
    """Return a line of the ledger."""
    return schemas.Fire(
        scheduled_time=row.scheduled_at,
        outcome=FireOutcome(row.outcome),
        reason=None if row.reason is None else SkipReason(row.reason),
        run=None if row.run_id is None else str(row.run_id),
        decided_at=row.decided_at,
    )


def listed_run(row: RunRow) -> schemas.Run:
    """Return a run as part of a list: without its output, of which a page may hold hundreds of large ones."""
    return run(replace(row, output=None))


def run(row: RunRow, *, steps: Sequence[schemas.StepView] | None = None) -> schemas.Run:
    """Return a run, with its steps where they are wanted."""
    return schemas.Run(
        metadata=schemas.Metadata(
            namespace=row.namespace,
            name=str(row.run_id),
            uid=str(row.run_id),
            creation_timestamp=row.created_at,
        ),
        spec=schemas.RunSpec(
            task=row.task,
            trigger=Trigger(row.trigger),
            scheduled_time=row.scheduled_at,
            priority=row.priority,
            params=row.params,
            revision=row.revision,
        ),
        status=schemas.RunStatus(
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


def steps(rows: Sequence[StepRow], *, run: RunRow, planned: Sequence[str]) -> list[schemas.StepView]:
    """
    Return the steps of a run: those with a row, and while the run is not over also those to come.

    The store has no row for a step before its first result, so what is pending or running is told from the plan:
    ``planned`` are the ids of its steps.
    """
    shown = [_step(row) for row in rows]
    if RunPhase(run.phase) in FINAL_RUN_PHASES:
        return shown
    # A step under way has no row, or that of its last failure.
    if run.phase == RunPhase.RUNNING and shown and shown[-1].phase is StepPhase.WAITING:
        shown[-1] = shown[-1].model_copy(update={"phase": StepPhase.RUNNING, "attempt": shown[-1].attempt + 1})
    reached = all(step.phase in FINAL_STEP_PHASES for step in shown)
    for step_id in planned[len({row.seq for row in rows}) :]:
        running = run.phase == RunPhase.RUNNING and reached
        shown.append(schemas.StepView(id=step_id, phase=StepPhase.RUNNING if running else StepPhase.PENDING))
        reached = False
    return shown


def _step(row: StepRow) -> schemas.StepView:
    return schemas.StepView(
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

"""
What the status of an object should say.

Pure: from what PostgreSQL knows (``store.status``) and what the status says now to the new one, in the shape of
``ordinaut.resources.status``. The status writer compares the two and writes the difference. As long as nothing
happens the result stays the same, whoever computes it and when: an operator that starts again has nothing to write.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ordinaut.declaration import nominal
from ordinaut.resources.status import Condition, PipelineStatus, RunSummary, TaskPhase, TaskStatus, ToolStatus
from ordinaut.resources.task import TaskSpec
from ordinaut.states import RunPhase
from ordinaut.store import status as rows
from ordinaut.store.declared import Kind, Owner
from ordinaut_operator.status.observed import Observed

UPCOMING: Final = 5
_MAX_MESSAGE: Final = 1024
_FAULTLESS: Final = frozenset({RunPhase.PENDING, RunPhase.RUNNING, RunPhase.SUCCEEDED})


def task_status(row: rows.TaskRow, *, observed: Observed) -> dict[str, Any]:
    """Return the status of a task."""
    spec = TaskSpec.model_validate(row.spec) if row.spec else None
    suspended = spec is not None and spec.suspend
    ready = _condition("Ready", row.ready, row.reason, row.message)
    scheduled = _scheduled(row, spec=spec)
    status = TaskStatus(
        observed_generation=row.generation,
        phase=_phase(row, suspended=suspended),
        schedule=spec.summary[:_MAX_MESSAGE] if spec is not None and spec.schedules else None,
        time_zone=spec.zone_summary[:_MAX_MESSAGE] if spec is not None and spec.schedules else None,
        conditions=_dated([ready, scheduled], generation=row.generation, observed=observed, now=row.now),
        next_schedule_time=timestamp(row.next_fire_at),
        upcoming=[text for moment in _upcoming(row) if (text := timestamp(moment))],
        last_schedule_time=_latest(row.last_schedule_at, observed.last_schedule_time),
        last_successful_time=_latest(row.last_success_at, observed.last_successful_time),
        active=row.active,
        last_run=_last_run(row),
    )
    return status.canonical()


def pipeline_status(row: rows.PipelineStatus, *, observed: Observed, now: datetime) -> dict[str, Any]:
    """Return the status of a pipeline."""
    if row.invalid is not None:
        ready = _condition("Ready", False, "InvalidSpec", row.invalid)
    elif row.missing_tools is not None:
        ready = _condition("Ready", False, "ToolNotFound", f"missing or not valid: Tool {row.missing_tools}; apply it")
    else:
        ready = _condition("Ready", True, "Resolved", "the pipeline can be used and its tools are there")
    conditions = _dated([ready], generation=row.generation, observed=observed, now=now)
    return PipelineStatus(observed_generation=row.generation, conditions=conditions).canonical()


def tool_status(row: rows.ToolStatus, *, observed: Observed, now: datetime) -> dict[str, Any]:
    """Return the status of a tool."""
    if row.invalid is not None:
        ready = _condition("Ready", False, "InvalidSpec", row.invalid)
    else:
        ready = _condition("Ready", True, "Resolved", "steps can use the tool")
    conditions = _dated([ready], generation=row.generation, observed=observed, now=now)
    return ToolStatus(observed_generation=row.generation, conditions=conditions).canonical()


def taken_status(kind: Kind, owner: Owner, *, observed: Observed, now: datetime) -> dict[str, Any]:
    """Return the status of an object that is left out because another origin owns its name."""
    message = f"there is a {kind} of this name from {owner.origin.value} already; delete one of them or rename it"
    ready = _condition("Ready", False, "NameTaken", message)
    conditions = _dated([ready], generation=observed.generation, observed=observed, now=now)
    if kind == "Task":
        phase = TaskPhase.NOT_READY
        status = TaskStatus(observed_generation=observed.generation, phase=phase, conditions=conditions)
        return status.canonical()
    model = PipelineStatus if kind == "Pipeline" else ToolStatus
    return model(observed_generation=observed.generation, conditions=conditions).canonical()


def timestamp(moment: datetime | None) -> str | None:
    """Return a moment as ``metav1.Time`` writes it: RFC 3339, UTC, whole seconds."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _phase(row: rows.TaskRow, *, suspended: bool) -> TaskPhase:
    if not row.ready:
        return TaskPhase.NOT_READY
    if row.active:
        return TaskPhase.RUNNING
    if suspended:
        return TaskPhase.SUSPENDED
    return TaskPhase.IDLE if row.next_fire_at is None else TaskPhase.SCHEDULED


def _scheduled(row: rows.TaskRow, *, spec: TaskSpec | None) -> dict[str, str]:
    if row.next_fire_at is not None:
        return _condition("Scheduled", True, "Scheduled", "the schedules will fire again")
    if spec is None:
        return _condition("Scheduled", False, "InvalidSpec", "the spec can't be used; see Ready")
    if spec.suspend:
        return _condition("Scheduled", False, "Suspended", "spec.suspend is true")
    if not spec.schedules:
        return _condition("Scheduled", False, "NoSchedules", "the task runs when somebody asks for it")
    return _condition("Scheduled", False, "Finished", "the schedules have no time left")


def _upcoming(row: rows.TaskRow) -> list[datetime]:
    """Return the next times, counted from the stored one: the same until that has fired."""
    if row.next_fire_at is None:
        return []
    later = nominal.upcoming(row.spec, anchor=row.anchor, after=row.next_fire_at, limit=UPCOMING - 1)
    return [row.next_fire_at, *later]


def _last_run(row: rows.TaskRow) -> RunSummary | None:
    if row.run_id is None or row.run_phase is None:
        return None
    faultless = row.run_phase in _FAULTLESS or row.run_reason is None
    return RunSummary(
        id=str(row.run_id),
        phase=row.run_phase,
        scheduled_time=timestamp(row.run_scheduled_at),
        start_time=timestamp(row.run_started_at),
        completion_time=timestamp(row.run_finished_at),
        message=None if faultless or row.run_reason is None else row.run_reason[:_MAX_MESSAGE],
    )


def _latest(known: datetime | None, said: str | None) -> str | None:
    """Return the later of what is known and what was said: history is kept for days, a status for ever."""
    text = timestamp(known)
    return max(filter(None, (text, said)), default=None)


def _condition(kind: str, holds: bool, reason: str, message: str) -> dict[str, str]:
    return {"type": kind, "status": "True" if holds else "False", "reason": reason, "message": message}


def _dated(conditions: list[dict[str, str]], *, generation: int, observed: Observed, now: datetime) -> list[Condition]:
    """Return conditions with the time since when their status is what it is."""
    since: Mapping[tuple[str, str], str] = {(kind, status): moment for kind, status, moment in observed.conditions}
    moment = timestamp(now)
    return [
        Condition.model_validate(
            one
            | {
                "observed_generation": generation,
                "last_transition_time": since.get((one["type"], one["status"]), moment),
            }
        )
        for one in conditions
    ]

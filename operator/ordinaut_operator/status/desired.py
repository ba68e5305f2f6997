"""
What the status of an object should say.

Pure: from what PostgreSQL knows (``store.status``) and what the status says now to the new one, in the shape of
``ordinaut.resources.status``. The status writer compares the two and writes the difference. As long as nothing
happens the result stays the same, whoever computes it and when: an operator that starts again has nothing to write.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from ordinaut.declaration import standing
from ordinaut.declaration.standing import Standing
from ordinaut.resources.status import (
    Condition,
    HookStatus,
    PipelineStatus,
    RunSummary,
    TaskPhase,
    TaskStatus,
    ToolStatus,
)
from ordinaut.states import RunPhase
from ordinaut.store import status as rows
from ordinaut.store.declared import Kind, Owner
from ordinaut_operator.status.observed import Observed

UPCOMING: Final = 5
_MAX_MESSAGE: Final = 1024
_OTHER_MODELS: Final[Mapping[Kind, type[PipelineStatus] | type[ToolStatus] | type[HookStatus]]] = {
    "Pipeline": PipelineStatus,
    "Tool": ToolStatus,
    "Hook": HookStatus,
}
_FAULTLESS: Final = frozenset({RunPhase.PENDING, RunPhase.RUNNING, RunPhase.SUCCEEDED})


def task_status(row: rows.TaskRow, *, observed: Observed) -> dict[str, Any]:
    """Return the status of a task."""
    schedule, zone = standing.schedule_in_words(row)
    conditions = [_condition(kind, says) for kind, says in standing.task_conditions(row).items()]
    status = TaskStatus(
        observed_generation=row.generation,
        phase=standing.task_phase(row),
        schedule=schedule[:_MAX_MESSAGE] or None,
        time_zone=zone[:_MAX_MESSAGE] or None,
        conditions=_dated(conditions, generation=row.generation, observed=observed, now=row.now),
        next_schedule_time=timestamp(row.next_fire_at),
        upcoming=[text for moment in standing.upcoming(row, limit=UPCOMING) if (text := timestamp(moment))],
        last_schedule_time=_latest(row.last_schedule_at, observed.last_schedule_time),
        last_successful_time=_latest(row.last_success_at, observed.last_successful_time),
        active=row.active,
        last_run=_last_run(row),
    )
    return status.canonical()


def pipeline_status(row: rows.PipelineStatus, *, observed: Observed, now: datetime) -> dict[str, Any]:
    """Return the status of a pipeline."""
    ready = _condition("Ready", standing.pipeline_ready(invalid=row.invalid, missing_tools=row.missing_tools))
    conditions = _dated([ready], generation=row.generation, observed=observed, now=now)
    return PipelineStatus(observed_generation=row.generation, conditions=conditions).canonical()


def tool_status(row: rows.ToolStatus, *, observed: Observed, now: datetime) -> dict[str, Any]:
    """Return the status of a tool."""
    ready = _condition("Ready", standing.tool_ready(invalid=row.invalid))
    conditions = _dated([ready], generation=row.generation, observed=observed, now=now)
    return ToolStatus(observed_generation=row.generation, conditions=conditions).canonical()


def hook_status(row: rows.HookStatus, *, observed: Observed, now: datetime) -> dict[str, Any]:
    """Return the status of a hook."""
    ready = _condition("Ready", standing.hook_ready(invalid=row.invalid))
    conditions = _dated([ready], generation=row.generation, observed=observed, now=now)
    return HookStatus(observed_generation=row.generation, conditions=conditions).canonical()


def taken_status(kind: Kind, owner: Owner, *, observed: Observed, now: datetime) -> dict[str, Any]:
    """Return the status of an object that is left out because another origin owns its name."""
    message = f"there is a {kind} of this name from {owner.origin.value} already; delete one of them or rename it"
    ready = _condition("Ready", Standing(False, "NameTaken", message))
    conditions = _dated([ready], generation=observed.generation, observed=observed, now=now)
    if kind == "Task":
        phase = TaskPhase.NOT_READY
        status = TaskStatus(observed_generation=observed.generation, phase=phase, conditions=conditions)
        return status.canonical()
    return _OTHER_MODELS[kind](observed_generation=observed.generation, conditions=conditions).canonical()


def timestamp(moment: datetime | None) -> str | None:
    """Return a moment as ``metav1.Time`` writes it: RFC 3339, UTC, whole seconds."""
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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


def _condition(kind: str, says: Standing) -> dict[str, str]:
    status = "True" if says.holds else "False"
    return {"type": kind, "status": status, "reason": says.reason, "message": says.message}


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

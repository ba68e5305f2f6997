"""
Where a declared object stands, in the words that people read.

Pure: over rows of ``store.status``. The operator puts them into the status of the resources, the API into its answers,
so that ``kubectl get`` and ``ordinaut get`` tell the same.
"""

from datetime import datetime
from typing import NamedTuple

import orjson

from ordinaut.declaration import nominal
from ordinaut.remembering import remembered
from ordinaut.resources.moment import format_instant
from ordinaut.resources.status import TaskPhase
from ordinaut.resources.task import Schedule, TaskSpec
from ordinaut.store.status import TaskRow


class Standing(NamedTuple):
    """What a condition says: whether it holds, one word why, and a sentence."""

    holds: bool
    reason: str
    message: str


def task_phase(row: TaskRow) -> TaskPhase:
    """Return where a task stands, in one word."""
    if not row.ready:
        return TaskPhase.NOT_READY
    if row.active:
        return TaskPhase.RUNNING
    if row.paused_at is not None:
        return TaskPhase.PAUSED
    if row.spec.get("suspend"):
        return TaskPhase.SUSPENDED
    if row.snoozed_until is not None and row.next_fire_at is not None:
        return TaskPhase.SNOOZED
    return TaskPhase.IDLE if row.next_fire_at is None else TaskPhase.SCHEDULED


def task_conditions(row: TaskRow) -> dict[str, Standing]:
    """Return the conditions of a task, by type."""
    conditions = {"Ready": task_ready(row), "Scheduled": task_scheduled(row)}
    authorized = task_authorized(row)
    return conditions if authorized is None else {**conditions, "Authorized": authorized}


def task_ready(row: TaskRow) -> Standing:
    """Return whether a task can run."""
    return Standing(row.ready, row.reason, row.message)


def task_scheduled(row: TaskRow) -> Standing:
    """Return whether a task will fire again by itself."""
    if row.next_fire_at is None:
        return _unscheduled(row)
    if row.snoozed_until is not None:
        until = format_instant(row.snoozed_until)
        return Standing(True, "Snoozed", f"{row.snoozed_by} snoozed it: nothing starts before {until}")
    return Standing(True, "Scheduled", "the schedules will fire again")


def _unscheduled(row: TaskRow) -> Standing:
    if row.invalid is not None:
        return Standing(False, "InvalidSpec", "the spec can't be used; see Ready")
    if row.paused_at is not None:
        return Standing(False, "Paused", f"{row.paused_by} paused it; resume it through the API")
    if row.spec.get("suspend"):
        return Standing(False, "Suspended", "spec.suspend is true")
    if not row.spec.get("schedules"):
        return Standing(False, "NoSchedules", "the task runs when somebody asks for it")
    return Standing(False, "NoFutureFirings", "the schedules have no time left")


def task_authorized(row: TaskRow) -> Standing | None:
    """Return whether whoever made a task may still run it; None for tasks that act by their own right."""
    if row.creator is None:
        return None
    if row.unauthorized_at is None:
        return Standing(True, "CreatorMayRun", f"runs act with the rights of {row.creator}")
    since = format_instant(row.unauthorized_at.replace(microsecond=0))
    message = (
        f"since {since} {row.creator}, who made the task, may not run tasks in namespace {row.namespace}, so that its"
        " times are skipped; give the right back, or have somebody else replace the spec"
    )
    return Standing(False, "CreatorRevoked", message)


def pipeline_ready(*, invalid: str | None, missing_tools: str | None) -> Standing:
    """Return whether a pipeline can be used; ``missing_tools`` are names, None when all are there."""
    if invalid is not None:
        return Standing(False, "InvalidSpec", invalid)
    if missing_tools:
        return Standing(False, "ToolNotFound", f"missing or not valid: Tool {missing_tools}; apply it")
    return Standing(True, "Resolved", "the pipeline can be used and its tools are there")


def tool_ready(*, invalid: str | None) -> Standing:
    """Return whether a tool can be used."""
    if invalid is not None:
        return Standing(False, "InvalidSpec", invalid)
    return Standing(True, "Resolved", "steps can use the tool")


def schedule_in_words(row: TaskRow) -> tuple[str, str]:
    """Return a task's schedules and their time zones in a few words; empty where it has none."""
    return _in_words(orjson.dumps(row.spec.get("schedules", ())))


@remembered(entries=4096)
def _in_words(schedules: bytes) -> tuple[str, str]:
    # Only this part of the spec is read: a page may have 500 tasks.
    spec = TaskSpec.model_construct(schedules=[Schedule.model_validate(one) for one in orjson.loads(schedules)])
    return spec.summary, spec.zone_summary


def upcoming(row: TaskRow, *, limit: int, after: datetime | None = None) -> list[datetime]:
    """
    Return the next nominal times, counted from the stored one: the same until that has fired.

    With ``after``, those of them that are later than that.
    """
    if row.next_fire_at is None:
        return []
    if after is not None and after >= row.next_fire_at:
        return nominal.upcoming(row.spec, anchor=row.anchor, after=after, limit=limit)
    later = nominal.upcoming(row.spec, anchor=row.anchor, after=row.next_fire_at, limit=limit)
    return [row.next_fire_at, *later[: limit - 1]]

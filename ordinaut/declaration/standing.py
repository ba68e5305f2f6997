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
from ordinaut.resources.task import EventTrigger, Schedule, TaskSpec
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
    return TaskPhase.SUSPENDED if row.spec.get("suspend") else _waiting_phase(row)


def _waiting_phase(row: TaskRow) -> TaskPhase:
    """Return what a task waits for of which nothing runs."""
    if row.snoozed_until is not None and (row.next_fire_at is not None or topics(row)):
        return TaskPhase.SNOOZED
    if row.next_fire_at is not None:
        return TaskPhase.SCHEDULED
    return TaskPhase.LISTENING if topics(row) else TaskPhase.IDLE


def task_conditions(row: TaskRow) -> dict[str, Standing]:
    """Return the conditions of a task, by type."""
    further = {"Triggered": task_triggered(row), "Authorized": task_authorized(row)}
    return {
        "Ready": task_ready(row),
        "Scheduled": task_scheduled(row),
        **{type_: says for type_, says in further.items() if says is not None},
    }


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
        on_events = "on events, and " if topics(row) else ""
        return Standing(False, "NoSchedules", f"the task runs {on_events}when somebody asks for it")
    return Standing(False, "NoFutureFirings", "the schedules have no time left")


def topics(row: TaskRow) -> list[str]:
    """Return the topics of a task's triggers, each once; none of a spec that can't be used, which may hold anything."""
    if row.invalid is not None:
        return []
    return list(dict.fromkeys(trigger["topic"] for trigger in row.spec.get("triggers", ())))


def task_triggered(row: TaskRow) -> Standing | None:
    """Return whether events make a task run; None where it has no triggers that can be used."""
    named = topics(row)
    if not named:
        return None
    if row.paused_at is not None:
        return Standing(False, "Paused", f"{row.paused_by} paused it: events are skipped; resume it through the API")
    if row.spec.get("suspend"):
        return Standing(False, "Suspended", "spec.suspend is true: events are skipped")
    if row.looped_at is not None:
        since = format_instant(row.looped_at.replace(microsecond=0))
        message = (
            f"an event was skipped at {since}, since too many runs of events follow one another: does the task, or a"
            " tool of it, make events that trigger it again? See its ledger of events, and let the trigger's condition"
            " leave such events out"
        )
        return Standing(False, "HopLimit", message)
    if row.snoozed_until is not None:
        until = format_instant(row.snoozed_until)
        return Standing(True, "Snoozed", f"{row.snoozed_by} snoozed it: nothing starts before {until}")
    return Standing(True, "Listening", f"events make it run: {', '.join(named)}")


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


def hook_ready(*, invalid: str | None) -> Standing:
    """Return whether a hook takes deliveries."""
    if invalid is not None:
        return Standing(False, "InvalidSpec", invalid)
    return Standing(True, "Resolved", "deliveries with a good signature become events")


def schedule_in_words(row: TaskRow) -> tuple[str, str]:
    """Return when and on what a task runs, and its time zones, in a few words; empty where it has neither."""
    return _in_words(orjson.dumps([row.spec.get("schedules", ()), topics(row)]))


@remembered(entries=4096)
def _in_words(written: bytes) -> tuple[str, str]:
    # Only these parts of the spec are read: a page may have 500 tasks.
    schedules, named = orjson.loads(written)
    spec = TaskSpec.model_construct(
        schedules=[Schedule.model_validate(one) for one in schedules],
        triggers=[EventTrigger.model_construct(topic=topic) for topic in named],
    )
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

"""Tasks: what is known of them, and what callers ask of them."""

from typing import Any, Literal

from pydantic import Field

from ordinaut.resources.part import Part
from ordinaut.resources.rules import exactly_one
from ordinaut.resources.scalars import PositiveDuration
from ordinaut.resources.status import TaskPhase
from ordinaut.shapes.base import Condition, Instant, NominalTime, Object, Shape
from ordinaut.states import RunPhase, Trigger


class LastRun(Shape):
    """The latest run of a task."""

    id: str
    phase: RunPhase
    trigger: Trigger
    scheduled_time: NominalTime | None = None
    start_time: Instant | None = None
    completion_time: Instant | None = None
    reason: str | None = None


class Pause(Shape):
    """That a task is paused: its schedules do not fire until somebody resumes it."""

    since: Instant
    by: str
    """Who asked for it."""


class Snooze(Shape):
    """That a task is snoozed: nothing of it starts before a time."""

    until: Instant
    by: str
    """Who asked for it."""


class TaskStatus(Shape):
    """What is known of a task."""

    observed_generation: int
    phase: TaskPhase
    conditions: list[Condition]
    """Ready: everything that a run needs is there. Scheduled: the schedules will fire again. Triggered, of tasks with
    triggers: events make it run. Authorized: whoever made it through the API may still run it."""
    schedule: str | None = None
    """The schedules in a few words."""
    time_zone: str | None = None
    next_schedule_time: NominalTime | None = None
    upcoming: list[NominalTime] | None = None
    """The next times, the nearest first; only where one task is asked for."""
    last_schedule_time: NominalTime | None = None
    last_successful_time: Instant | None = None
    active: int
    """Runs that are not final."""
    last_run: LastRun | None = None
    pause: Pause | None = None
    snooze: Snooze | None = None
    creator: str | None = None
    """Who must still be allowed to run the task when it fires: whoever declared it through the API."""


class Task(Object):
    """A task and what is known of it."""

    kind: Literal["Task"] = "Task"
    spec: dict[str, Any]
    status: TaskStatus


class Preview(Shape):
    """When a task would run next."""

    items: list[NominalTime]


class SnoozeRequest(Part):
    """The body of a request to let a task rest for a while: until when, or for how long."""

    rules = (exactly_one("until", "for"),)

    until: str | None = Field(default=None, max_length=64, json_schema_extra={"format": "date-time"})
    """The time before which nothing of the task starts, as RFC 3339 writes it; at most 366 days ahead."""
    for_: PositiveDuration | None = Field(default=None, alias="for")
    """How long from now, such as 2h; at most 366 days."""

"""
``status`` of every resource: what the operator tells people about an object.

The operator writes it as a merge of `canonical()` dumps. It is never read back: the database is the truth.
Timestamps are RFC 3339 in UTC with ``Z``.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from ordinaut.resources.part import Part

Timestamp = Annotated[str, Field(max_length=32, json_schema_extra={"format": "date-time"})]
_Text = Annotated[str, Field(max_length=1024)]
_Word = Annotated[str, Field(max_length=64)]


class TaskPhase(StrEnum):
    """Where a task stands, in one word for the PHASE column."""

    NOT_READY = "NotReady"
    """Its pipeline or a tool is missing or not valid; the condition Ready says which. Nothing runs."""
    SUSPENDED = "Suspended"
    """``suspend`` is true: neither its schedules nor its triggers make runs."""
    PAUSED = "Paused"
    """Somebody paused it through the API: neither its schedules nor its triggers make runs until it is resumed."""
    SNOOZED = "Snoozed"
    """Somebody snoozed it through the API: what is due before then starts then."""
    RUNNING = "Running"
    """At least one run is active."""
    SCHEDULED = "Scheduled"
    """It waits for its next time."""
    LISTENING = "Listening"
    """It waits for an event that one of its triggers matches."""
    IDLE = "Idle"
    """It has no triggers, and no schedules or none that will fire again: it runs only when asked to."""


class Condition(Part):
    """One observed condition, in the form that all of Kubernetes uses (metav1.Condition)."""

    type: str = Field(max_length=316)
    status: Literal["True", "False", "Unknown"]
    observed_generation: int | None = Field(default=None, ge=0)
    last_transition_time: Timestamp
    """When the status last changed."""
    reason: str = Field(min_length=1, max_length=1024)
    """One word for machines."""
    message: str = Field(max_length=32768)
    """A sentence for people."""


class RunSummary(Part):
    """The latest run of a task."""

    id: _Word
    phase: _Word
    """Where the run stands: Pending, Running, Waiting, Succeeded, Failed, Cancelled, TimedOut or Parked."""
    scheduled_time: Timestamp | None = None
    """The nominal time; none for a run that somebody asked for."""
    start_time: Timestamp | None = None
    completion_time: Timestamp | None = None
    message: _Text | None = None
    """Why it failed."""


class TaskStatus(Part):
    """What the operator tells about a task."""

    observed_generation: int | None = Field(default=None, ge=0)
    """The generation of the spec that the rest is about."""
    phase: TaskPhase | None = None
    schedule: _Text | None = None
    """The schedules in a few words."""
    time_zone: _Text | None = None
    """The time zones of the schedules."""
    conditions: list[Condition] = Field(default=[], max_length=8)
    """
    Ready: everything that a run needs is there. Scheduled: the schedules will fire again. Triggered, of tasks with
    triggers: events make it run. Authorized, of tasks made through the API: whoever made it may run tasks here.
    """
    next_schedule_time: Timestamp | None = None
    upcoming: list[Timestamp] = Field(default=[], max_length=5)
    """The next times, the nearest first."""
    last_schedule_time: Timestamp | None = None
    """The last nominal time that a run was made for."""
    last_successful_time: Timestamp | None = None
    """When the last run that succeeded was complete."""
    active: int = Field(default=0, ge=0)
    """Runs that are not final."""
    last_run: RunSummary | None = None


class PipelineStatus(Part):
    """What the operator tells about a pipeline."""

    observed_generation: int | None = Field(default=None, ge=0)
    """The generation of the spec that the rest is about."""
    conditions: list[Condition] = Field(default=[], max_length=8)
    """Ready: it compiles, and its tools are there."""


class ToolStatus(Part):
    """What the operator tells about a tool."""

    observed_generation: int | None = Field(default=None, ge=0)
    """The generation of the spec that the rest is about."""
    conditions: list[Condition] = Field(default=[], max_length=8)
    """Ready: steps can use it."""


class HookStatus(Part):
    """What the operator tells about a hook."""

    observed_generation: int | None = Field(default=None, ge=0)
    """The generation of the spec that the rest is about."""
    conditions: list[Condition] = Field(default=[], max_length=8)
    """Ready: deliveries with a good signature become events."""

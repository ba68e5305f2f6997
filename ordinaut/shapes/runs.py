"""Runs and their steps."""

from typing import Any, Literal

from pydantic import Field

from ordinaut.resources.part import Part
from ordinaut.shapes.base import Instant, NominalTime, Object, Shape
from ordinaut.states import RunPhase, StepPhase, Trigger


class RunSpec(Shape):
    """What a run was asked to do."""

    task: str
    trigger: Trigger
    scheduled_time: NominalTime | None = None
    """The nominal time; none for a run that somebody asked for."""
    priority: int
    params: Any
    revision: str
    """Digest of the pipeline that the run executes, whatever becomes of the pipeline meanwhile."""
    retry_of: str | None = None
    """The run that this one goes on from; only where the trigger is retry."""
    event: dict[str, Any] | None = None
    """The event that made it, as CloudEvents 1.0 has it: what `event` is in its templates. Of a batch the last one.
    Only where one run is asked for."""
    events: list[dict[str, Any]] | None = None
    """The events of a batch, in their order. Only where one run is asked for."""
    hops: int | None = None
    """How many runs of events stand one behind the other, this one included; none in a run that no event made."""


class StepView(Shape):
    """One step of a run."""

    id: str
    index: int | None = None
    """The item's place, in a step that runs once for each item of a list."""
    phase: StepPhase
    attempt: int = 0
    """How often it was tried so far."""
    start_time: Instant | None = None
    completion_time: Instant | None = None
    output: Any = None
    error: str | None = None


class RunStatus(Shape):
    """Where a run stands."""

    phase: RunPhase
    attempt: int
    """How often a worker took it over."""
    worker: str | None = None
    start_time: Instant | None = None
    completion_time: Instant | None = None
    output: Any = None
    reason: str | None = None
    error: str | None = None
    steps: list[StepView] | None = None
    """The steps in their order; only where one run is asked for."""


class Run(Object):
    """One execution of a task."""

    kind: Literal["Run"] = "Run"
    spec: RunSpec
    status: RunStatus


class RunRequest(Part):
    """The body of a request for a run."""

    params: dict[str, Any] = Field(default={}, max_length=256)
    """Params of this run; each replaces the task's param of the same name."""

"""
The shapes of what the API answers; they are the schemas in ``/openapi.json``.

Objects look like those of Kubernetes: ``apiVersion``, ``kind``, ``metadata``, ``spec``, ``status``. ``objects`` fills
them from rows of the store. Nominal times are whole seconds, observed ones milliseconds, all in UTC with ``Z``.
Fields without a value are left out.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

from ordinaut.resources.part import Part
from ordinaut.resources.status import TaskPhase
from ordinaut.states import FireOutcome, Origin, RunPhase, SkipReason, StepPhase, Trigger


def _rfc3339(precision: str) -> PlainSerializer:
    def text(instant: datetime) -> str:
        return instant.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")

    return PlainSerializer(text, return_type=str)


NominalTime = Annotated[datetime, _rfc3339("seconds")]
Instant = Annotated[datetime, _rfc3339("milliseconds")]


class Shape(BaseModel):
    """The base of all shapes."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        serialize_by_alias=True,
        frozen=True,
        use_attribute_docstrings=True,
    )


class Metadata(Shape):
    """What names an object."""

    namespace: str
    name: str
    uid: str
    generation: int | None = None
    """Counts the changes of the spec."""
    creation_timestamp: Instant | None = None
    origin: Origin | None = None
    """Where a declared object comes from, and so who may edit it."""


class Condition(Shape):
    """One observed condition, as ``metav1.Condition`` without the time of its last change."""

    type: str
    status: Literal["True", "False", "Unknown"]
    observed_generation: int
    reason: str
    message: str


class LastRun(Shape):
    """The latest run of a task."""

    id: str
    phase: RunPhase
    trigger: Trigger
    scheduled_time: NominalTime | None = None
    start_time: Instant | None = None
    completion_time: Instant | None = None
    reason: str | None = None


class TaskStatus(Shape):
    """What is known of a task."""

    observed_generation: int
    phase: TaskPhase
    conditions: list[Condition]
    """Ready: everything that a run needs is there. Scheduled: the schedules will fire again."""
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


class DeclaredStatus(Shape):
    """What is known of a pipeline or a tool."""

    observed_generation: int
    conditions: list[Condition]


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


class Object(Shape):
    """What every object has."""

    api_version: Literal["ordinaut.io/v1alpha1"] = "ordinaut.io/v1alpha1"
    kind: str
    metadata: Metadata


class Task(Object):
    """A task and what is known of it."""

    kind: Literal["Task"] = "Task"
    spec: dict[str, Any]
    status: TaskStatus


class Pipeline(Object):
    """A pipeline and what is known of it."""

    kind: Literal["Pipeline"] = "Pipeline"
    spec: dict[str, Any]
    status: DeclaredStatus


class Tool(Object):
    """A tool and what is known of it."""

    kind: Literal["Tool"] = "Tool"
    spec: dict[str, Any]
    status: DeclaredStatus


class Run(Object):
    """One execution of a task."""

    kind: Literal["Run"] = "Run"
    spec: RunSpec
    status: RunStatus


class Fire(Shape):
    """One line of a task's ledger: what became of a nominal time."""

    scheduled_time: NominalTime
    outcome: FireOutcome
    reason: SkipReason | None = None
    run: str | None = None
    decided_at: Instant


class Preview(Shape):
    """When a task would run next."""

    items: list[NominalTime]


Item = TypeVar("Item")


class Page(Shape, Generic[Item]):
    """Part of a list. ``nextCursor`` leads to the next part and is missing in the last one."""

    items: list[Item]
    next_cursor: str | None = None


class RunRequest(Part):
    """The body of a request for a run."""

    params: dict[str, Any] = Field(default={}, max_length=256)
    """Params of this run; each replaces the task's param of the same name."""


class ProblemShape(Shape):
    """Problem details of RFC 9457; ``errors`` has one entry per mistake in the request."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[dict[str, Any]] | None = None

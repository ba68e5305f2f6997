"""
The shapes of what the API takes and answers; they are the schemas in ``/openapi.json``.

Objects look like those of Kubernetes: ``apiVersion``, ``kind``, ``metadata``, ``spec``, ``status``. The api fills them
from rows of the store, the Python client reads them. Nominal times are whole seconds, observed ones milliseconds, all
in UTC with ``Z``. Fields without a value are left out. What a request holds is a ``Part``, as strict as a manifest.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

from ordinaut.access.caller import Authority
from ordinaut.causes import Cause, Level
from ordinaut.resources.part import Part
from ordinaut.resources.rules import exactly_one
from ordinaut.resources.scalars import PositiveDuration
from ordinaut.resources.status import TaskPhase
from ordinaut.states import BackfillPhase, FireOutcome, Origin, RunPhase, SkipReason, StepPhase, Trigger


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
    resource_version: str | None = None
    """Changes with whatever a caller can write: spec, labels, annotations, pause and snooze, but never with the status.
    The ETag of the object is ``"<uid>.<resourceVersion>"``."""
    creation_timestamp: Instant | None = None
    origin: Origin | None = None
    """Where a declared object comes from, and so who may edit it."""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


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
    """Ready: everything that a run needs is there. Scheduled: the schedules will fire again. Authorized: whoever made
    it through the API may still run it."""
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
    retry_of: str | None = None
    """The run that this one goes on from; only where the trigger is retry."""


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
    backfill: str | None = None
    """The backfill that made up for this time."""


class Violation(Shape):
    """One way in which a ledger breaks the law."""

    invariant: Literal["unaccounted_time", "invented_time", "wrong_next_time"]
    """A nominal time without its line, a line without a nominal time, a clock that is set to a wrong time."""
    time: NominalTime | None = None
    """The time that it is about."""
    detail: str


class Verification(Shape):
    """Whether a task's ledger, or a part of it, keeps the law: nominal = fired + skipped + pending."""

    task: str
    since: Instant
    """Since when the present schedules have counted: what is older can't be computed anew."""
    after: Instant
    """The part that was looked at: times later than this one ..."""
    until: Instant
    """... up to and with this one, and the pending ones."""
    nominal: int
    """Times that the schedules name."""
    fired: int
    """Those that have a run."""
    skipped: int
    """Those that were skipped with a reason."""
    pending: int
    """Those that have come and are not decided yet, at most 1,000."""
    violated: int
    """How often the law is broken; 0: it holds."""
    violations: list[Violation]
    """The first of them."""
    unknown: str | None = None
    """Why it can't be told at the moment; then nothing was looked at."""


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


class SnoozeRequest(Part):
    """The body of a request to let a task rest for a while: until when, or for how long."""

    rules = (exactly_one("until", "for"),)

    until: str | None = Field(default=None, max_length=64, json_schema_extra={"format": "date-time"})
    """The time before which nothing of the task starts, as RFC 3339 writes it; at most 366 days ahead."""
    for_: PositiveDuration | None = Field(default=None, alias="for")
    """How long from now, such as 2h; at most 366 days."""


MAX_ACTIVE: Final = 1000
"""Runs of a backfill that may be under way at a time."""


class BackfillRequest(Part):
    """The body of a request to make up for the nominal times of a past window that have not fired."""

    from_: str = Field(alias="from", max_length=64, json_schema_extra={"format": "date-time"})
    """Where the window begins, as RFC 3339 writes it; a nominal time at that moment belongs to it."""
    to: str | None = Field(default=None, max_length=64, json_schema_extra={"format": "date-time"})
    """Where it ends, not later than now; a nominal time at that moment belongs to it. Without, it ends now."""
    max_active: int = Field(default=5, ge=1, le=MAX_ACTIVE)
    """Runs of the backfill that may be under way at a time."""
    dry_run: bool = False
    """Only tell what would be done."""


class BackfillPlan(Shape):
    """What a backfill would do; nothing of it has been done."""

    from_: NominalTime = Field(alias="from")
    to: NominalTime
    times: int
    """Nominal times in the window."""
    already_fired: int
    to_make: int
    """Runs that would be made."""
    items: list[NominalTime]
    """The first of the times that would get a run, the oldest first; at most 100."""
    message: str | None = None
    """Why there is nothing to make up for, or why the window ends earlier than was asked for."""


class BackfillSpec(Shape):
    """What a backfill was asked to do."""

    task: str
    from_: NominalTime = Field(alias="from")
    to: NominalTime
    max_active: int


class BackfillStatus(Shape):
    """Where a backfill stands."""

    phase: BackfillPhase
    times: int
    """Nominal times in the window."""
    already_fired: int
    """Those of them that had fired when it was asked for."""
    to_make: int
    """Those that had not."""
    made: int
    """Runs made so far."""
    active: int
    """Those of them that are not over."""
    requested_by: str
    completion_time: Instant | None = None
    """When the last run was made, or it was ended before that."""
    reason: SkipReason | None = None
    """What it waits for."""
    message: str | None = None


class Backfill(Object):
    """That somebody wants the missing fires of a past window."""

    kind: Literal["Backfill"] = "Backfill"
    spec: BackfillSpec
    status: BackfillStatus


class BatchItem(Shape):
    """What became of one manifest of a batch."""

    name: str
    uid: str
    result: Literal["created", "replaced", "unchanged"]


class BatchResult(Shape):
    """What became of the manifests of a batch, in their order."""

    items: list[BatchItem]


class EventRequest(Part):
    """An event to publish."""

    type: str = Field(min_length=1, max_length=128)
    """What happened, in lower-case words with dots between, such as mail.received."""
    data: Any = None
    """More about it, as JSON of at most 64 KiB."""
    subject: str | None = Field(default=None, min_length=1, max_length=256)
    """What it happened to."""
    source: str | None = Field(default=None, min_length=1, max_length=256)
    """Where it happened, as a URI reference; by default the caller."""


class EventsRequest(Part):
    """Several events to publish: all of them or none."""

    items: list[EventRequest] = Field(min_length=1, max_length=100)


class EventsAccepted(Shape):
    """The ids of events that were accepted, in their order; they are on disk and will be delivered."""

    ids: list[str]


class CloudEvent(Shape):
    """An event as CloudEvents 1.0 (JSON format) has it."""

    specversion: str
    id: str
    source: str
    type: str
    time: str
    subject: str | None = None
    namespace: str | None = None
    """Of a published event: where it was published, whatever its source says."""
    publisher: str | None = None
    """Of a published event: the name of whoever published it, whatever its source says."""
    datacontenttype: str | None = None
    data: Any = None


class AuditEntry(Shape):
    """One line of the audit trail: a change, or something that was not allowed."""

    id: int
    at: Instant
    actor: str
    """Who, as authority and user: ``kubernetes:system:serviceaccount:team-a:agent``."""
    verb: str
    object: str
    """What it was about, as a path within the namespace: ``tasks/morning-briefing``."""
    decision: Literal["Allowed", "Denied"]
    request_id: str | None = None


class Counts(Shape):
    """Numbers of objects made through the API."""

    tasks: int
    pipelines: int
    tools: int


class Quota(Shape):
    """How many objects the API takes in a namespace, and how many there are."""

    limits: Counts
    used: Counts


class WhoAmI(Shape):
    """The caller as the API knows it."""

    id: str
    """What the audit trail says: authority and user."""
    authority: Authority
    user: str
    groups: list[str] = []


class Error(Shape):
    """One mistake in a request."""

    detail: str
    """The very text that kubectl and ``ordinaut validate`` show."""
    pointer: str
    """Where it is, as a JSON pointer (RFC 6901) into the body."""
    field: str
    """Where it is, as Kubernetes writes it; also the name of a header or of a parameter of the query."""
    value: Any = None
    message: str
    remedy: str


class ProblemShape(Shape):
    """Problem details of RFC 9457; ``errors`` has one entry per mistake in the request."""

    type: str
    """What kind of problem it is; stable, for programs to decide by."""
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    right: str | None = None
    """The right that the caller lacks, such as ``create tasks/run``."""
    errors: list[Error] | None = None


class WhySubject(Shape):
    """What somebody asked about."""

    kind: Literal["Task", "Run"]
    namespace: str
    name: str
    task: str | None = None
    """Of a run: the task it is of."""


class BlockingRun(Shape):
    """A run that another one waits for; of the same namespace."""

    run: str
    task: str
    phase: RunPhase
    reason: str | None = None
    """What it waits for itself."""
    since: NominalTime
    """Since when it has had what the other waits for."""


class QueuePosition(Shape):
    """How many runs may start before one that waits in a queue."""

    before: int
    """At most this many of those that wait now; the namespaces of a queue take turns, and more urgent runs go first."""
    more: bool = False
    """Whether it may be more than that: counting ends there."""


class Release(Shape):
    """The one thing to do about a cause."""

    description: str
    command: str | None = None
    """What to type behind ``ordinaut`` or ``kubectl ordinaut``; none where the command line can't do it."""
    method: str | None = None
    """The request that does it, or that tells more; none where the API can't do it."""
    path: str | None = None
    body: dict[str, Any] | None = None
    """What to send with the request."""


class Because(Shape):
    """One cause, in a sentence and for programs."""

    reason: Cause
    level: Level
    message: str
    """A sentence; ``since`` and ``until`` stand in it word for word."""
    detail: str | None = None
    """The word of a condition, a run or the ledger that is behind it."""
    since: NominalTime | None = None
    until: NominalTime | None = None
    """When it is over by itself."""
    by: str | None = None
    """Who did it."""
    queue: str | None = None
    position: QueuePosition | None = None
    key: str | None = None
    """The concurrency key."""
    limit: int | None = None
    """How many runs may hold the key at a time."""
    holders: list[BlockingRun] | None = None
    """The runs that are in the way, those that have been longest first."""
    action: Release | None = None
    """What would release it; none where there is nothing to do."""


class Why(Shape):
    """Why a task or a run is not running, or that it is."""

    subject: WhySubject
    phase: TaskPhase | RunPhase
    as_of: Instant
    """The database's time of this answer, all of which is of one moment."""
    summary: str
    """The decisive cause in one sentence."""
    because: list[Because]
    """The causes that hold, the decisive one first."""


class WorkerRun(Shape):
    """A run that a worker holds."""

    id: str
    task: str
    since: NominalTime
    """Since when this worker holds it."""


class Worker(Shape):
    """A worker that lives. It works for all namespaces; of others it is only told how many runs it holds."""

    name: str
    queues: list[str]
    """The queues that it takes runs from; ``*`` is all."""
    slots: int
    """Runs that it holds at once at most."""
    busy: int
    """Runs that it holds, whatever their namespace."""
    version: str
    start_time: Instant
    seen_time: Instant
    """Its last sign of life."""
    draining: bool
    """Whether it takes no more runs, since it has been told to end."""
    held: int
    """Runs of this namespace that it holds."""
    runs: list[WorkerRun]
    """Those that it has held longest, at most 100."""

"""
Task: what runs, when, and under which discipline.

The operator, REST and ``ordinaut dev`` store the spec; ``ordinaut.schedule`` turns its schedules into instants and the
clock turns those into runs.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from ordinaut.errors import Invalid
from ordinaut.resources.moment import INSTANT_PATTERN, parse_moment
from ordinaut.resources.part import Part
from ordinaut.resources.pipeline import PipelineSpec
from ordinaut.resources.retry import RetryStrategy
from ordinaut.resources.rules import Rule, Stored, at_most_one, cel_string, exactly_one, only_with
from ordinaut.resources.scalars import (
    Cron,
    Expression,
    Interval,
    IntervalWithinDay,
    IntervalWithinHour,
    Label,
    Moment,
    Name,
    PositiveDuration,
    RecurrenceRule,
    TimeZone,
    Topic,
)
from ordinaut.resources.templates import ClosedTemplate, Templates

MAX_SCHEDULES: Final = 10
MAX_TRIGGERS: Final = 16
MAX_EXCEPTIONS: Final = 1000
"""Dates that a recurrence rule leaves out or adds, each."""


def _ends_after_start(schedule: "Schedule") -> bool:
    """Whether ``end`` is later than ``start``; an instant and a wall time cannot be compared here."""
    if schedule.start is None or schedule.end is None:
        return True
    try:
        start, end = parse_moment(schedule.start), parse_moment(schedule.end)
    except Invalid:
        return True  # the rule of the one that is no time says so
    return (start.tzinfo is None) != (end.tzinfo is None) or start < end


_INSTANT: Final = cel_string(INSTANT_PATTERN)
_END_AFTER_START: Final = Rule(
    cel=f"!has(self.start) || !has(self.end) || (self.start.matches({_INSTANT}) ? "
    f"(!self.end.matches({_INSTANT}) || timestamp(self.start) < timestamp(self.end)) : "
    f"(self.end.matches({_INSTANT}) || self.start < self.end))",
    holds=_ends_after_start,
    message="end must be later than start",
    remedy="move one of them or leave it out",
)


class Schedule(Part):
    """When a task runs: one cron expression, recurrence rule, interval or single time."""

    rules = (
        exactly_one("cron", "rrule", "interval", "at"),
        only_with("rrule", "dtstart", "exdates", "rdates"),
        _END_AFTER_START,
    )

    cron: Cron | None = None
    """Five fields (minute, hour, day of month, month, day of week), or six with seconds first, or a macro."""
    rrule: RecurrenceRule | None = None
    """A recurrence rule of RFC 5545, without DTSTART."""
    dtstart: Moment | None = None
    """Where the recurrence rule starts; by default the minute in which the task was created."""
    exdates: list[Moment] = Field(default=[], max_length=MAX_EXCEPTIONS)
    """Times that the recurrence rule leaves out."""
    rdates: list[Moment] = Field(default=[], max_length=MAX_EXCEPTIONS)
    """Times to add to those of the recurrence rule."""
    interval: Interval | None = None
    """Time between one firing and the next."""
    at: Moment | None = None
    """The single time to run at."""
    time_zone: TimeZone = "UTC"
    """IANA name of the zone whose wall clock the schedule follows. Default: UTC."""
    dst_gap: Literal["Run", "Skip"] = "Run"
    """A time that does not exist because clocks go forward: Run (the default) at the first instant after, or Skip."""
    start: Moment | None = None
    """Nothing fires before."""
    end: Moment | None = None
    """Nothing fires after."""

    @property
    def summary(self) -> str:
        """The schedule in a few words, for people: the expression, ``every 5m`` or ``at 2026-03-01T09:00:00``."""
        if self.interval is not None:
            return f"every {self.interval}"
        if self.at is not None:
            return f"at {self.at}"
        return str(self.cron or self.rrule)


class EventBatch(Part):
    """Events that make one run together."""

    max_size: int = Field(ge=1, le=1000)
    """The run is made when so many have come."""
    timeout: IntervalWithinHour
    """It is made so long after the first of them at the latest, an hour at most."""


class EventTrigger(Part):
    """Events that make a task run."""

    rules = (at_most_one("debounce", "batch"),)

    topic: Topic
    """The type of the events, without io.ordinaut. before it; or a pattern: * stands for one word, > at the end for one
    or more. One that begins with a wildcard covers published events only."""
    if_: Expression | None = Field(default=None, alias="if")
    """JMESPath over the event: only an event for which it is true counts, as in data.priority == 'high'."""
    params: Annotated[dict[str, Any], Templates()] = Field(default={}, max_length=256)
    """Params of the run, which override those of the task one by one. Text in them may hold templates:
    ${event.data.subject}; with batch, ${events[*].id}."""
    debounce: IntervalWithinHour | None = None
    """The run is made when no further event has come for so long, an hour at most, and has the last one."""
    batch: EventBatch | None = None
    """Gather events and make one run of them."""


class PipelineRef(Part):
    """The name of a Pipeline in the same namespace."""

    name: Name


class CatchUp(Part):
    """What becomes of times that were missed while nothing could fire."""

    policy: Literal["None", "Latest", "All"] = "Latest"
    """None: they are skipped. Latest (the default): only the newest runs. All: each runs, oldest first, up to max."""
    max: int = Field(default=100, ge=1, le=1000)
    """How many missed times All makes up for."""


class ConcurrencyKey(Part):
    """A bound on how many runs with an equal key are active at a time, over all tasks of the namespace."""

    key: ClosedTemplate = Field(min_length=1, max_length=1024)
    """The key; may hold templates over params: ${params.account}."""
    limit: int = Field(default=1, ge=1, le=10_000)
    """Runs at a time. Default: 1. A change counts at once, also for runs that wait already."""


_ONE_LIMIT: Final = Rule(
    cel="self.all(one, self.exists_one(other, other.key == one.key))",
    holds=lambda entries: len({entry.key for entry in entries}) == len(entries),
    message="names a key twice",
    remedy="give it one entry with the smaller limit",
)


class TaskSpec(Part):
    """What runs, when, and under which discipline."""

    rules = (exactly_one("pipelineRef", "pipeline"),)

    schedules: list[Schedule] = Field(default=[], max_length=MAX_SCHEDULES)
    """When to run; without schedules and triggers, only when somebody asks for a run."""
    triggers: list[EventTrigger] = Field(default=[], max_length=MAX_TRIGGERS)
    """Events on which to run; one that matches several triggers counts for the first of them."""
    pipeline_ref: PipelineRef | None = None
    """The Pipeline to run."""
    pipeline: PipelineSpec | None = None
    """The pipeline to run, written in place."""
    params: dict[str, Any] = Field(default={}, max_length=256)
    """The params of each run."""
    suspend: Annotated[bool, Stored()] = False
    """True: schedules and triggers do not fire. Runs under way go on."""
    concurrency_policy: Literal["Allow", "Forbid", "Replace", "Queue"] = "Allow"
    """What becomes of a time or an event while a run of the task is active: Allow (the default) runs beside it, Forbid
    skips it, Replace cancels the active run, Queue waits until it has ended."""
    starting_deadline_seconds: int | None = Field(default=None, ge=1, le=366 * 24 * 3600)
    """A nominal time or an event that is found later than this is skipped."""
    catch_up: CatchUp = Field(default=CatchUp())
    retry_strategy: RetryStrategy | None = None
    """When steps that failed are tried again; steps and Tools may say otherwise for themselves."""
    timeout: PositiveDuration | None = None
    """How long a run may take in all."""
    priority: int = Field(default=5, ge=0, le=9)
    """Work of higher priority is done first. Default: 5."""
    queue: Label = "default"
    """The queue in which its runs wait for a worker of that queue; the same in all namespaces. A change counts for runs
    that are made from then on. Default: default."""
    concurrency: Annotated[list[ConcurrencyKey], _ONE_LIMIT] = Field(default=[], max_length=8)
    """Bounds on runs with an equal key. A run starts when there is room for it under each of them, and takes a slot of
    each until it ends."""
    jitter: IntervalWithinDay | None = None
    """Start each run up to this much later, a day at most, always by the same amount for the same task and time."""

    @property
    def summary(self) -> str:
        """Schedules and triggers in a few words, for the SCHEDULE column of ``kubectl get``; empty without any."""
        topics = dict.fromkeys(trigger.topic for trigger in self.triggers)
        reasons = [*(schedule.summary for schedule in self.schedules), *(f"on {topic}" for topic in topics)]
        if not reasons:
            return ""
        more = f" +{len(reasons) - 1}" if len(reasons) > 1 else ""
        return reasons[0] + more

    @property
    def zone_summary(self) -> str:
        """The time zones of the schedules, for the TIMEZONE column of ``kubectl get``; empty if there are none."""
        return ", ".join(dict.fromkeys(schedule.time_zone for schedule in self.schedules))

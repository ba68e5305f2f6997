"""The ledger of a task, and whether it keeps the law."""

from typing import Literal

from ordinaut.shapes.base import Instant, NominalTime, Shape
from ordinaut.states import EventOutcome, EventSkipReason, FireOutcome, SkipReason


class Fire(Shape):
    """One line of a task's ledger: what became of a nominal time."""

    scheduled_time: NominalTime
    outcome: FireOutcome
    reason: SkipReason | None = None
    run: str | None = None
    decided_at: Instant
    backfill: str | None = None
    """The backfill that made up for this time."""


class FiredEvent(Shape):
    """An event in a ledger: what tells it from others, without its data."""

    id: str
    type: str


class EventFire(Shape):
    """One line of a task's ledger of events: what became of an event that one of its triggers matched."""

    event: FiredEvent
    trigger: int
    """The number of the trigger in the task's spec, from 0; as the spec was then."""
    outcome: EventOutcome
    reason: EventSkipReason | None = None
    message: str | None = None
    """Why it was skipped, in words."""
    run: str | None = None
    """The run that was made, for it or for its batch."""
    decided_at: Instant


class Violation(Shape):
    """One way in which a ledger breaks the law."""

    invariant: Literal[
        "unaccounted_time",
        "invented_time",
        "wrong_next_time",
        "unaccounted_event",
        "event_without_run",
        "lost_event",
    ]
    """A nominal time without its line, a line without a nominal time, a clock that is set to a wrong time; an event
    without its line, one that fired and has no run, one that is said to be gathered and is not."""
    time: NominalTime | None = None
    """The time that it is about; none of an event."""
    detail: str


class EventVerification(Shape):
    """Of the newest events in the namespace those that the task's triggers match, and what the ledger says of them."""

    matched: int
    fired: int
    """Those that have a run."""
    skipped: int
    """Those that were skipped with a reason."""
    gathered: int
    """Those that wait for others."""


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
    """How often the law is broken, that of events with it; 0: it holds."""
    violations: list[Violation]
    """The first of them."""
    events: EventVerification | None = None
    """What became of events, of a task with triggers; only in the first part."""
    unknown: str | None = None
    """Why it can't be told at the moment; then nothing was looked at."""

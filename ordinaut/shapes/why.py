"""Why something is not running. ``ordinaut.why`` fills these in."""

from typing import Any, Literal

from ordinaut.causes import Cause, Level
from ordinaut.resources.status import TaskPhase
from ordinaut.shapes.base import Instant, NominalTime, Shape
from ordinaut.states import RunPhase


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

"""Backfills: making up for nominal times of a past window."""

from typing import Final, Literal

from pydantic import Field

from ordinaut.resources.part import Part
from ordinaut.shapes.base import Instant, NominalTime, Object, Shape
from ordinaut.states import BackfillPhase, SkipReason

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

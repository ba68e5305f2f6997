"""
What becomes of each nominal time once it is due: it fires, or is skipped with its reason.

The clock calls ``decide_missed`` inside the transaction that claims a task, and writes one row of the ledger per
outcome, the new ``Progress`` and the next fire. Usually exactly one time is due and it fires. After an outage there
may be 100,000: they are decided in bounded chunks, each in a transaction of its own. The moment at which the backlog
was found is part of ``Progress``, so the chunks together decide what one big chunk would have decided, and a crash
between two of them neither repeats nor forgets a time. Nothing here reads a clock or a database.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice

from ordinaut.schedule.fires import iter_fires, next_fires
from ordinaut.schedule.spec import Schedule
from ordinaut.states import SkipReason

CHUNK = 1000
"""Outcomes of one call, by default."""

ON_TIME = timedelta(seconds=60)
"""With ``CatchUpPolicy.NONE``, a time that is at most this old is not missed but merely late."""

_USUALLY_ENOUGH = 2
"""Times to look at first: the one that is due and the next."""


class CatchUpPolicy(StrEnum):
    """Which of the times that were missed still fire (``catchUp.policy``)."""

    NONE = "None"
    """None of them; only what is due just now."""
    LATEST = "Latest"
    """The newest of them."""
    ALL = "All"
    """All of them, the oldest first, up to ``catchUp.max``."""


@dataclass(frozen=True, slots=True)
class CatchUp:
    """What to do about missed times; ``max`` counts for ``CatchUpPolicy.ALL``."""

    policy: CatchUpPolicy = CatchUpPolicy.LATEST
    max: int = 100


LATEST = CatchUp()
"""The default."""


@dataclass(frozen=True, slots=True)
class Progress:
    """
    How far a task's schedules have been decided. The caller stores it and passes it to the next call.

    Every nominal time up to and including ``evaluated`` has its outcome. While a backlog is worked off in chunks,
    ``as_of`` is when it was found and ``kept`` counts what has fired of it; otherwise they are None and 0. A new or
    edited schedule starts with ``Progress(now)``: it never fires for the past.
    """

    evaluated: datetime
    as_of: datetime | None = None
    kept: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The fate of the nominal time ``scheduled_at``: it may fire if ``skipped`` is None, else that is why not."""

    scheduled_at: datetime
    skipped: SkipReason | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """
    Outcomes in ascending order, each to be recorded once, and what to store with them in the same transaction.

    ``next_fire`` is the next nominal time without an outcome. While ``progress.as_of`` is set it lies in the past:
    the task is due again at once, and the next chunk follows. None means that no schedule fires again.
    """

    outcomes: tuple[Outcome, ...]
    progress: Progress
    next_fire: datetime | None


def decide_missed(
    schedules: Sequence[Schedule],
    *,
    progress: Progress,
    now: datetime,
    catch_up: CatchUp = LATEST,
    starting_deadline: timedelta | None = None,
    held_until: datetime | None = None,
    chunk: int = CHUNK,
) -> Decision:
    """
    Return the outcomes of the oldest ``chunk`` (at most) nominal times in (``progress.evaluated``, ``now``].

    A backlog that was begun is finished as of the moment it was found. A ``now`` before ``progress.evaluated`` (the
    clock was set back) decides nothing, so nothing fires twice.

    Times up to ``held_until`` were held back on purpose until then: their age counts from there, and the newest of them
    fires even if nothing else is caught up.
    """
    as_of = max(progress.as_of or now, progress.evaluated)
    due, following = _take(schedules, after=progress.evaluated, as_of=as_of, chunk=chunk)
    is_unfinished = following is not None and following <= as_of
    judge = _Judge(as_of, catch_up, starting_deadline, progress.kept, held_until)
    outcomes = tuple(
        Outcome(time, judge.skip_reason(time, following=later))
        for time, later in zip(due, [*due[1:], following], strict=False)
    )
    if is_unfinished:
        return Decision(outcomes, Progress(due[-1], as_of, judge.kept), following)
    return Decision(outcomes, Progress(as_of), following)


def _take(
    schedules: Sequence[Schedule], *, after: datetime, as_of: datetime, chunk: int
) -> tuple[list[datetime], datetime | None]:
    """Return the times in (after, as_of], at most ``chunk``, and the one that follows them."""
    times = next_fires(schedules, after=after, limit=_USUALLY_ENOUGH)
    if len(times) == _USUALLY_ENOUGH and times[-1] <= as_of:
        times = []
        for time in islice(iter_fires(schedules, after=after), chunk + 1):
            times.append(time)
            if time > as_of:
                break
    due = [time for time in times[:chunk] if time <= as_of]
    return due, times[len(due)] if len(times) > len(due) else None


@dataclass(slots=True)
class _Judge:
    """Decides time after time, oldest first, and counts what it lets fire."""

    as_of: datetime
    catch_up: CatchUp
    starting_deadline: timedelta | None
    kept: int
    held_until: datetime | None

    def skip_reason(self, due: datetime, *, following: datetime | None) -> SkipReason | None:
        """Return why ``due``, which ``following`` comes after, is skipped, or None if it fires."""
        held_until = min(self.held_until, self.as_of) if self.held_until is not None else None
        age = self.as_of - max(due, held_until or due)
        if self.starting_deadline is not None and age > self.starting_deadline:
            return SkipReason.DEADLINE_EXCEEDED
        match self.catch_up.policy:
            case CatchUpPolicy.NONE if age > ON_TIME:
                return SkipReason.NOT_CAUGHT_UP
            case CatchUpPolicy.NONE if held_until is not None and _comes(following, held_until):
                return SkipReason.COALESCED
            case CatchUpPolicy.LATEST if _comes(following, self.as_of):
                return SkipReason.COALESCED
            case CatchUpPolicy.ALL if self.kept >= self.catch_up.max:
                return SkipReason.CATCH_UP_LIMIT
        self.kept += 1
        return None


def _comes(following: datetime | None, by: datetime) -> bool:
    """Whether another nominal time comes by then."""
    return following is not None and following <= by

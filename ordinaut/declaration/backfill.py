"""
Backfills: making up for the nominal times of a past window that have not fired.

The API asks :func:`plan` what there is to make up for, and :func:`start` to have it done; the operator's
``backfilling`` then makes the runs. A missing fire is a nominal time of the task's present schedules that has no run:
the task did not exist then, or slept, or the time was skipped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from ordinaut.computing import compute
from ordinaut.declaration.nominal import stored_schedules, within
from ordinaut.errors import Conflict, FieldError, Invalid, NotFound
from ordinaut.resources.moment import format_instant
from ordinaut.schedule import HORIZON_YEARS, Schedule, next_fires
from ordinaut.states import BackfillPhase
from ordinaut.store import backfill, clock
from ordinaut.store.backfill import NewBackfill, Subject
from ordinaut.store.ids import new_run_id
from ordinaut.store.pool import Connection

MAX_TIMES: Final = 10_000
"""Nominal times in the window of one backfill."""

MAX_OPEN: Final = 10
"""Backfills of a task that may be open at a time."""

MAX_WINDOW: Final = timedelta(days=HORIZON_YEARS * 366)
"""How far a search for nominal times looks."""

_JUST_BEFORE: Final = timedelta(microseconds=1)
_BEGINNINGS: Final = {"interval": "start", "rrule": "dtstart"}
"""Schedules that count from when the task was created, and the field that says otherwise."""


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What a backfill would do.

    ``times`` nominal times lie in the window, and those in ``missing`` have not fired. ``until`` is the end that was
    asked for, or an earlier one where later nominal times are still for the task's clock to decide. ``message`` says
    so, or why there is nothing to make up for.
    """

    subject: Subject
    since: datetime
    until: datetime
    times: int
    missing: Sequence[datetime]
    message: str | None


@dataclass(frozen=True, slots=True)
class _Found:
    """Nominal times of a window; ``early`` is one that its task's clock has not decided yet."""

    times: Sequence[datetime]
    early: datetime | None
    following: datetime | None


async def plan(
    connection: Connection, *, namespace: str, name: str, since: datetime, until: datetime | None = None
) -> Plan:
    """
    Return what there is to make up for in a window, both ends included; without ``until`` it ends now.

    Raises:
        NotFound: there is no such task.
        Conflict: the task's spec can't be used.
        Invalid: the window makes no sense, or holds too many nominal times.
    """
    subject = await backfill.subject(connection, namespace=namespace, name=name)
    if subject is None:
        raise NotFound(f"there is no Task {namespace}/{name}")
    if subject.invalid is not None:
        raise Conflict(f"Task {namespace}/{name} can't be used: {subject.invalid}")
    wanted = subject.now if until is None else until
    _check_window(since, wanted, now=subject.now)
    schedules = stored_schedules(subject.spec.get("schedules", ()), anchor=subject.anchor)
    found = await compute(_look, schedules, since, wanted, subject.decided_until)
    if len(found.times) > MAX_TIMES:
        last = format_instant(found.times[MAX_TIMES - 1])
        message = f"the window has more than {MAX_TIMES} nominal times"
        raise Invalid([FieldError("to", format_instant(wanted), message, f"split it: the first part ends at {last}")])
    fired = await backfill.fired(connection, task_id=subject.task_id, times=found.times)
    missing = [at for at in found.times if at not in fired]
    end = subject.decided_until if missing and found.early else wanted
    return Plan(subject, since, end, len(found.times), missing, _message(subject, found, since=since, missing=missing))


async def start(connection: Connection, planned: Plan, *, max_active: int, by: str) -> UUID:
    """
    Have a plan carried out, as part of a transaction, by at most ``max_active`` runs at a time; return its key.

    Raises:
        Conflict: as many backfills of the task are open as may be, or it was deleted meanwhile.
    """
    subject = planned.subject
    where = f"Task {subject.namespace}/{subject.name}"
    # The lock makes others wait who start a backfill of the same task, so that the count holds.
    if not await clock.lock_clocks(connection, [subject.task_id]):
        raise Conflict(f"{where} was deleted")
    if planned.missing and await backfill.count_open(connection, task_id=subject.task_id) >= MAX_OPEN:
        raise Conflict(f"{where} has {MAX_OPEN} backfills that are not over; wait for one or cancel it")
    new = NewBackfill(
        # A key of the same kind, for the same reasons.
        backfill_id=new_run_id(subject.now),
        task_id=subject.task_id,
        schedule_key=subject.schedule_key,
        from_at=planned.since,
        to_at=planned.until,
        evaluated_at=planned.since - _JUST_BEFORE,
        max_active=max_active,
        times=planned.times,
        missing=len(planned.missing),
        created_by=by,
    )
    await backfill.add(connection, new)
    return new.backfill_id


async def cancel(connection: Connection, *, namespace: str, backfill_id: UUID) -> None:
    """
    End a backfill, as part of a transaction: it makes no more runs, and those under way go on.

    Raises:
        NotFound: the namespace has no such backfill.
        Conflict: it is over.
    """
    found = await backfill.get(connection, namespace=namespace, backfill_id=backfill_id)
    if found is None:
        raise unknown(namespace, backfill_id)
    if not await backfill.finish(connection, backfill_id=backfill_id, reason=BackfillPhase.CANCELLED):
        latest = await backfill.get(connection, namespace=namespace, backfill_id=backfill_id)
        raise Conflict(f"backfill {backfill_id} is over already: {(latest or found).reason}")


def unknown(namespace: str, backfill_id: UUID) -> NotFound:
    """Return the error that there is no such backfill."""
    return NotFound(f"there is no backfill {backfill_id} in namespace {namespace}")


def _check_window(since: datetime, until: datetime, *, now: datetime) -> None:
    if until > now:
        remedy = f"it is {format_instant(now)}; leave it out to make up for all until now"
        raise Invalid([FieldError("to", format_instant(until), "later than now", remedy)])
    if since > until:
        message = f"later than the end of the window, {format_instant(until)}"
        raise Invalid([FieldError("from", format_instant(since), message, "name the earlier end here")])
    if until - since > MAX_WINDOW:
        message = f"the window is longer than {HORIZON_YEARS} years"
        raise Invalid([FieldError("from", format_instant(since), message, "split it")])


def _look(schedules: Sequence[Schedule], since: datetime, until: datetime, decided: datetime) -> _Found:
    """Return the nominal times of a window, one more than may be if there are more, and what comes next if none do."""
    after = since - _JUST_BEFORE
    times = within(schedules, after=after, until=min(until, decided), limit=MAX_TIMES + 1)
    early = within(schedules, after=max(after, decided), until=until, limit=1)
    following = None if times or early else next(iter(next_fires(schedules, after=after, limit=1)), None)
    return _Found(times, early[0] if early else None, following)


def _message(subject: Subject, found: _Found, *, since: datetime, missing: Sequence[datetime]) -> str | None:
    if found.early is not None:
        return f"nominal times from {format_instant(found.early)} on are still for the task's clock to decide"
    if missing:
        return None
    if found.times:
        return "every nominal time of the window has fired"
    if not subject.spec.get("schedules"):
        return "the task has no schedules"
    return _before_the_first(subject, found.following, since=since)


def _before_the_first(subject: Subject, first: datetime | None, *, since: datetime) -> str:
    """Return why a window has no nominal time; the ``first`` one from its beginning on comes later."""
    if first is None:
        return "the schedules have no nominal time in the window, nor after it"
    following = format_instant(first)
    if since < subject.anchor and any(map(_counts_from_creation, subject.spec["schedules"])):
        created = format_instant(subject.anchor.replace(microsecond=0))
        return (
            f"the first nominal time is {following}: interval and rrule without a start count from when the task was"
            f" created, {created}; a start or dtstart in the spec has them begin earlier"
        )
    return f"the schedules have no nominal time in the window; the next one after its beginning is {following}"


def _counts_from_creation(schedule: Mapping[str, Any]) -> bool:
    return any(kind in schedule and beginning not in schedule for kind, beginning in _BEGINNINGS.items())

"""
The nominal times of a task: from its spec to schedules, and to when it fires next.

Pure. The declaration decides with it when a clock starts, the operator's clock what is due, the status writer and the
preview what comes.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import Any

import orjson

from ordinaut import schedule
from ordinaut.errors import Mistakes
from ordinaut.remembering import remembered
from ordinaut.resources.task import Schedule as WrittenSchedule
from ordinaut.resources.task import TaskSpec
from ordinaut.schedule import Schedule, Written, iter_fires, next_fires

ANY_ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)
"""Stands in where the nominal times do not depend on when a task was first seen."""


def parse_schedules(spec: TaskSpec, *, anchor: datetime, field: str, admitted: bool = False) -> tuple[Schedule, ...]:
    """
    Return the schedules of a task.

    Args:
        spec: the task's.
        anchor: when the task was first seen; intervals and recurrence rules without a start count from it.
        field: where the spec stands, for errors.
        admitted: whether a schedule that never fires from this anchor has an end rather than a mistake. It was
            admitted when the anchor was not known yet.

    Raises:
        Invalid: with every mistake in every schedule.
    """
    found = []
    mistakes = Mistakes()
    for index, written in enumerate(spec.schedules):
        with mistakes.caught(under=f"{field}.schedules[{index}]"):
            found.append(schedule.parse_schedule(_written(written), created=anchor, admitted=admitted))
    mistakes.raise_any()
    return tuple(found)


def schedule_key(spec: TaskSpec) -> bytes:
    """Return a digest of everything that decides the nominal times; editing anything else does not move a schedule."""
    written = [one.canonical() for one in spec.schedules]
    return hashlib.sha256(orjson.dumps(written, option=orjson.OPT_SORT_KEYS)).digest()


def upcoming(spec: Mapping[str, Any], *, anchor: datetime, after: datetime, limit: int) -> list[datetime]:
    """Return the next nominal times of a stored, valid spec: none where it is suspended or has no schedules."""
    if spec.get("suspend") or not spec.get("schedules"):
        return []
    return next_fires(stored_schedules(spec["schedules"], anchor=anchor), after=after, limit=limit)


def within(schedules: Sequence[Schedule], *, after: datetime, until: datetime, limit: int) -> list[datetime]:
    """Return the first ``limit`` nominal times later than ``after`` and no later than ``until``."""
    return list(islice(takewhile(lambda at: at <= until, iter_fires(schedules, after=after)), limit))


def not_before(following: datetime | None, held_until: datetime | None) -> datetime | None:
    """Return when a task is looked at for its next nominal time: not before a snooze is over."""
    if following is None or held_until is None:
        return following
    return max(following, held_until)


def stored_schedules(written: Sequence[Mapping[str, Any]], *, anchor: datetime) -> tuple[Schedule, ...]:
    """Return the schedules of a stored, valid spec; thousands of tasks that are due together parse them once."""
    return _parsed(orjson.dumps(written), anchor if is_anchored(written) else ANY_ANCHOR)


def is_anchored(written: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the nominal times of stored schedules depend on when their task was first seen."""
    return any("interval" in one or "rrule" in one for one in written)


@remembered(entries=16_384)
def _parsed(written: bytes, anchor: datetime) -> tuple[Schedule, ...]:
    spec = TaskSpec.model_construct(schedules=[WrittenSchedule.model_validate(one) for one in orjson.loads(written)])
    return parse_schedules(spec, anchor=anchor, field="spec", admitted=True)


def _written(one: WrittenSchedule) -> Written:
    return Written(
        cron=one.cron,
        rrule=one.rrule,
        interval=one.interval,
        at=one.at,
        dtstart=one.dtstart,
        exdates=one.exdates,
        rdates=one.rdates,
        time_zone=one.time_zone,
        dst_gap=one.dst_gap,
        start=one.start,
        end=one.end,
    )

"""What a backfill makes next, and why it makes nothing: pure decisions."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from ordinaut.states import SkipReason
from ordinaut.store.backfill import BackfilledTask, OpenBackfill
from ordinaut_operator import backfilling
from ordinaut_operator.backfilling import CHUNK, Portion, Stretch

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(*minutes: int) -> list[datetime]:
    return [NOON + timedelta(minutes=n) for n in minutes]


def opened(*, until: int, evaluated: int = -1, max_active: int = 5) -> OpenBackfill:
    to_at, evaluated_at = at(until, evaluated)
    return OpenBackfill(UUID(int=1), 1, b"key", to_at, evaluated_at, max_active, None, deleted=False)


def of(policy: str = "Allow", *, revision: bytes | None = b"r", **spec: Any) -> BackfilledTask:
    spec = {"schedules": [{"cron": "* * * * *"}], "concurrencyPolicy": policy, **spec}
    return BackfilledTask(1, "default", "t", spec, {}, NOON, revision, b"key", None, None, 0, NOON)


@pytest.mark.parametrize(
    ("fired", "room", "portion"),
    [
        ([], 9, Portion(at(0, 1, 2, 3), *at(4), done=True)),
        ([], 4, Portion(at(0, 1, 2, 3), *at(4), done=True)),
        ([], 3, Portion(at(0, 1, 2), *at(2), done=False)),
        ([0, 1], 1, Portion(at(2), *at(2), done=False)),
        ([3], 3, Portion(at(0, 1, 2), *at(4), done=True)),
        ([0, 1, 2, 3], 1, Portion([], *at(4), done=True)),
    ],
)
def test_as_much_is_made_as_there_is_room_for_and_what_has_fired_is_passed_over(
    fired: list[int], room: int, portion: Portion
) -> None:
    found = backfilling.portion(opened(until=4), Stretch(at(0, 1, 2, 3), last=True), fired={*at(*fired)}, room=room)
    assert found == portion


def test_a_stretch_that_is_not_the_last_goes_on_behind_its_last_time() -> None:
    found = backfilling.portion(opened(until=999), Stretch(at(0, 1), last=False), fired={*at(0, 1)}, room=1)
    assert found == Portion([], *at(1), done=False)


@pytest.mark.parametrize(("until", "count", "last"), [(3, 4, True), (CHUNK - 1, CHUNK, True), (CHUNK, CHUNK, False)])
def test_a_stretch_is_bounded_and_knows_whether_it_is_the_last(until: int, count: int, last: bool) -> None:
    found = backfilling.stretch(opened(until=until), of())
    assert (list(found.times), found.last) == (at(*range(count)), last)


@pytest.mark.parametrize(
    ("task", "authorized", "busy", "under_way", "why"),
    [
        (of(), True, False, 0, None),
        (of(), False, False, 0, SkipReason.UNAUTHORIZED),
        (of(revision=None), True, False, 0, SkipReason.NOT_READY),
        (of("Forbid"), True, True, 0, SkipReason.STILL_RUNNING),
        (of("Forbid"), True, True, 1, None),
    ],
)
def test_what_keeps_a_backfill_waiting(
    task: BackfilledTask, authorized: bool, busy: bool, under_way: int, why: SkipReason | None
) -> None:
    assert backfilling.hindrance(task, authorized=authorized, busy=busy, under_way=under_way) == why


@pytest.mark.parametrize(
    ("policy", "under_way", "room"),
    [("Allow", 0, 5), ("Allow", 4, 1), ("Allow", 7, 0), ("Queue", 0, 1), ("Queue", 1, 0), ("Replace", 0, 1)],
)
def test_there_is_room_for_as_many_as_may_be_under_way(policy: str, under_way: int, room: int) -> None:
    assert backfilling.room(opened(until=9), of(policy), under_way=under_way) == room

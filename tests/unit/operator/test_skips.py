"""What is told of skipped times: one Event for many, not too often, nothing lost on the way, and in words that help."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from ordinaut.states import WHY_EVENT_SKIPPED, WHY_SKIPPED, EventSkipReason, SkipReason
from ordinaut_operator.skips import series
from ordinaut_operator.skips.event import change_of, event_of, message_of, name_of
from ordinaut_operator.skips.series import Bucket, Notice, Skipped, Untold

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NOTICE = Notice(7, "a", "briefing", "u7", "StillRunning", 1, NOON, NOON, NOON, NOON, made=False)


def skipped(task: int = 7, reason: str = "StillRunning", *, at: float = 0, count: int = 1) -> Skipped:
    """Return what a firing transaction skipped so many seconds after noon."""
    last = NOON + at * SECOND
    return Skipped(task, "a", f"t{task}", reason, count, last - (count - 1) * SECOND, last, last)


def knowing(*tasks: int) -> Untold:
    """Return a bookkeeping that knows which objects these tasks are."""
    untold = Untold()
    for task in tasks:
        untold.hear(skipped(task), now=-2)
        untold.know([task], {task: f"u{task}"})
        while notice := untold.next(now=-1):
            untold.forget(notice)
    return untold


def test_what_is_skipped_within_a_second_is_one_notice() -> None:
    untold = knowing(7)
    untold.hear(skipped(at=0, count=3), now=0)
    untold.hear(skipped(at=60, count=100), now=0.5)
    assert untold.next(now=0.9) is None
    assert untold.pause(now=0.9) == pytest.approx(0.1)

    notice = untold.next(now=1.0)

    assert notice == Notice(
        7, "a", "t7", "u7", "StillRunning", 103, NOON - 39 * SECOND, NOON + 60 * SECOND, NOON, NOON + 60 * SECOND, False
    )
    assert untold.next(now=1.0) is None
    assert untold.pause(now=1.0) is None


def test_later_times_raise_the_count_of_the_same_event() -> None:
    untold = knowing(7)
    untold.hear(skipped(), now=0)
    first = untold.next(now=1)
    assert first is not None
    untold.told(first, now=1)
    untold.hear(skipped(at=30), now=30)

    second = untold.next(now=31)

    assert second == replace(first, count=2, last=NOON + 30 * SECOND, latest=NOON + 30 * SECOND, made=True)
    assert name_of(second) == name_of(first)


def test_what_is_skipped_while_a_notice_is_posted_is_told_next() -> None:
    untold = knowing(7)
    untold.hear(skipped(), now=0)
    notice = untold.next(now=1)
    assert notice is not None
    untold.hear(skipped(at=2), now=2)
    untold.told(notice, now=2.5)
    following = untold.next(now=3)
    assert following is not None
    assert (following.count, following.made) == (2, True)


def test_reasons_and_tasks_have_events_of_their_own() -> None:
    untold = knowing(7, 8)
    for one in (skipped(7), skipped(7, "NotReady"), skipped(8)):
        untold.hear(one, now=0)
    notices = [untold.next(now=1) for _ in range(3)]
    assert {(one.task_id, one.reason) for one in notices if one} == {
        (7, "StillRunning"),
        (7, "NotReady"),
        (8, "StillRunning"),
    }
    assert len({name_of(one) for one in notices if one}) == 3


def test_an_event_ends_when_nothing_was_skipped_for_an_hour() -> None:
    untold = knowing(7)
    untold.hear(skipped(), now=0)
    first = untold.next(now=1)
    assert first is not None
    untold.told(first, now=1)
    untold.hear(skipped(at=3601), now=3601)
    second = untold.next(now=3602)
    assert second is not None
    assert (second.count, second.made) == (1, False)
    assert name_of(second) != name_of(first)


def test_a_task_that_skips_each_second_writes_at_first_each_time_and_then_every_five_minutes_and_tells_all() -> None:
    untold = knowing(7)
    written: list[tuple[int, int]] = []
    for second in range(1800):
        untold.hear(skipped(at=second), now=second)
        if notice := untold.next(now=second):
            untold.told(notice, now=second)
            written.append((second, notice.count))
    assert all(count == second + 1 for second, count in written)
    at_once, rest = written[: series.BURST], written[series.BURST :]
    assert [second for second, _ in at_once] == list(range(1, 2 * series.BURST, 2))
    assert len(rest) == 5
    assert all(later - earlier in {300, 301} for (earlier, _), (later, _) in pairwise(rest))


def test_two_reasons_of_a_task_share_its_limit() -> None:
    untold = knowing(7)
    posts = 0
    for second in range(100):
        for reason in ("StillRunning", "NotReady"):
            untold.hear(skipped(7, reason, at=second), now=second)
        while notice := untold.next(now=second):
            untold.told(notice, now=second)
            posts += 1
    assert posts == series.BURST


def test_all_tasks_together_have_a_limit_too() -> None:
    tasks = range(1, 201)
    untold = knowing(*tasks)
    for task in tasks:
        untold.hear(skipped(task), now=0)
    told = []
    for second in range(1, 31):
        while notice := untold.next(now=second):
            untold.told(notice, now=second)
            told.append((second, notice.task_id))
    assert [task for second, task in told if second == 1] == list(range(1, series.BURST_OF_ALL + 1))
    assert sorted(task for _, task in told) == list(tasks)
    assert max(second for second, _ in told) == pytest.approx(1 + 150 * series.REFILL_OF_ALL, abs=2)


def test_what_could_not_be_told_is_told_later_and_whole() -> None:
    untold = knowing(7)
    untold.hear(skipped(), now=0)
    notice = untold.next(now=1)
    assert notice is not None
    untold.again(notice, now=6, after=30)
    untold.hear(skipped(at=20), now=20)
    assert untold.next(now=35) is None
    again = untold.next(now=36)
    assert again is not None
    assert (again.count, name_of(again)) == (2, name_of(notice))


def test_what_is_no_news_any_more_is_dropped() -> None:
    untold = knowing(7, 8)
    for task in (7, 8):
        untold.hear(skipped(task), now=0)
        notice = untold.next(now=1)
        assert notice is not None
        untold.again(notice, now=1, after=30)
    untold.hear(skipped(8, at=500), now=500)
    told = untold.next(now=700)
    assert told is not None
    assert (told.task_id, told.count) == (8, 2)
    assert untold.next(now=700) is None
    assert untold.dropped == 1
    assert untold.pause(now=700) is None


def test_only_objects_are_told_of() -> None:
    untold = Untold()
    untold.hear(skipped(7), now=0)
    untold.hear(skipped(8), now=0)
    assert untold.next(now=1) is None
    assert untold.unknown() == [7, 8]
    untold.know([7, 8], {8: "u8"})
    assert untold.unknown() == []
    notice = untold.next(now=1)
    assert notice is not None
    assert (notice.task_id, notice.uid) == (8, "u8")
    untold.hear(skipped(7, at=5), now=5)
    assert untold.next(now=9) is None
    assert (untold.unknown(), untold.pause(now=9)) == ([], None)


def test_what_is_remembered_is_bounded() -> None:
    untold = Untold(tasks=100)
    for task in range(10_000):
        untold.hear(skipped(task), now=0)
    assert untold.dropped == 9_900
    assert list(untold.unknown()) == list(range(9_900, 10_000))
    assert len(untold._order) <= 2 * 100 + 1001
    untold.know(untold.unknown(), dict.fromkeys(range(10_000), "u"))
    assert [notice.task_id for notice in [untold.next(now=1)] if notice] == [9_900]


def test_a_bucket_is_full_at_first_and_fills_up_again() -> None:
    bucket = Bucket(2, refill=10)
    for _ in range(2):
        assert bucket.wait(0) == 0
        bucket.take(0)
    assert bucket.wait(0) == 10
    assert bucket.wait(4) == pytest.approx(6)
    assert bucket.wait(10) == 0
    bucket.take(1000)
    bucket.take(1000)
    assert bucket.wait(1000) == 10


def test_the_event_is_about_the_very_object() -> None:
    event = event_of(NOTICE, instance="operator-0")
    assert event["involvedObject"] == {
        "apiVersion": "ordinaut.io/v1alpha1",
        "kind": "Task",
        "namespace": "a",
        "name": "briefing",
        "uid": "u7",
    }
    assert (event["type"], event["reason"], event["action"]) == ("Warning", "StillRunning", "Skip")
    assert event["metadata"]["namespace"] == "a"
    assert (event["firstTimestamp"], event["lastTimestamp"], event["count"]) == (
        "2026-11-23T12:00:00Z",
        "2026-11-23T12:00:00Z",
        1,
    )


def test_the_message_names_times_reason_and_where_to_look() -> None:
    assert message_of(NOTICE) == (
        "Skipped 2026-11-23T12:00:00Z: a run was active, and concurrencyPolicy is Forbid."
        " `ordinaut why briefing` says more, `ordinaut fires briefing` lists all times"
    )
    many = replace(
        NOTICE, count=12, last=NOON + timedelta(minutes=11), latest=NOON + timedelta(minutes=11, seconds=0.4)
    )
    assert message_of(many).startswith("Skipped 12 times from 2026-11-23T12:00:00Z to 2026-11-23T12:11:00Z: ")
    assert change_of(many) == {
        "message": message_of(many),
        "count": 12,
        "lastTimestamp": "2026-11-23T12:11:00Z",
    }


@pytest.mark.parametrize("reason", SkipReason)
def test_every_reason_is_said_in_words(reason: SkipReason) -> None:
    message = message_of(replace(NOTICE, reason=reason.value))
    assert message.startswith(f"Skipped 2026-11-23T12:00:00Z: {WHY_SKIPPED[reason]}. ")


@pytest.mark.parametrize("reason", EventSkipReason)
def test_skipped_events_are_told_by_their_own_words(reason: EventSkipReason) -> None:
    one = replace(NOTICE, reason=reason.value, of_events=True)
    assert message_of(one) == (
        f"Skipped an event of 2026-11-23T12:00:00Z: {WHY_EVENT_SKIPPED[reason]}."
        " `ordinaut why briefing` says more, `ordinaut fires briefing --events` lists them"
    )
    many = replace(one, count=3, last=NOON + SECOND)
    assert message_of(many).startswith("Skipped 3 events from 2026-11-23T12:00:00Z to 2026-11-23T12:00:01Z: ")


def test_events_and_times_that_are_skipped_for_one_reason_are_told_apart() -> None:
    untold = knowing(7)
    untold.hear(skipped(count=2), now=0)
    untold.hear(replace(skipped(count=5), of_events=True), now=0)

    notices = [untold.next(now=1), untold.next(now=1)]

    assert [(one.count, one.of_events) for one in notices if one] == [(2, False), (5, True)]
    assert len({name_of(one) for one in notices if one}) == 2
    assert notices[1] is not None
    untold.again(notices[1], now=1, after=9)
    assert untold.pause(now=1) == pytest.approx(9)


def test_names_of_events_are_names() -> None:
    assert name_of(NOTICE) == name_of(replace(NOTICE, count=9, made=True))
    longest = name_of(replace(NOTICE, name="a" * 235 + "-" * 18))
    assert longest.startswith("a" * 235 + ".")
    assert len(longest) <= 253

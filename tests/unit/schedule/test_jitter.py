"""Jitter: the same delay for the same task and time, spread evenly over the others."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from ordinaut.schedule import jitter, jitter_of

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_the_delay_of_a_task_and_time_never_changes() -> None:
    """The figures stand for a promise: another version or machine must not move a start."""
    seen = [jitter(f"team/task-{number}", NOON, within=timedelta(seconds=30)).seconds for number in range(8)]

    assert seen == [4, 5, 24, 19, 24, 18, 11, 17]


def test_delays_are_whole_seconds_spread_evenly_with_both_ends() -> None:
    counts = Counter(jitter(f"team/task-{number}", NOON, within=timedelta(seconds=9)) for number in range(5000))

    assert sorted(counts) == [timedelta(seconds=seconds) for seconds in range(10)]
    assert all(400 < count < 600 for count in counts.values())


def test_another_time_of_the_same_task_gets_another_delay() -> None:
    within = timedelta(hours=1)

    assert len({jitter("team/t", NOON + timedelta(days=day), within=within) for day in range(50)}) > 40


def test_the_offset_of_a_time_does_not_count() -> None:
    there = NOON.astimezone(tz=None)

    assert jitter("team/t", there, within=timedelta(hours=1)) == jitter("team/t", NOON, within=timedelta(hours=1))


def test_what_has_no_nominal_time_is_delayed_by_its_own_name() -> None:
    within = timedelta(seconds=30)

    assert jitter_of(f"team/t@{int(NOON.timestamp())}", within=within) == jitter("team/t", NOON, within=within)
    assert len({jitter_of(f"team/t@{event}", within=timedelta(hours=1)) for event in range(50)}) > 40

"""What all schedules have in common: order, bounds, merging, and that it does not matter where one begins to ask."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordinaut.schedule import At, Bounded, Cron, Gap, Interval, RRule, Schedule, iter_fires, next_fires
from ordinaut.schedule.spec import Rule
from tests.unit.schedule.clocks import against_reference

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
ZONES = st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"])
GAPS = st.sampled_from(Gap)

SCHEDULES = st.one_of(
    st.builds(
        Cron,
        st.sampled_from(
            ["30 2 * * *", "*/20 * * * *", "0 0 * * 5", "@hourly", "15 10 2 * * *", "0 0 L * *", "0 3 13 * 5"]
        ),
        ZONES,
        GAPS,
    ),
    st.builds(
        lambda rule, zone, gap: RRule(rule, datetime(2026, 3, 1, 2, 30), zone=zone, gap=gap),
        st.sampled_from(
            [
                "FREQ=DAILY",
                "FREQ=DAILY;COUNT=300",
                "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,SU;BYHOUR=1,2,3",
                "FREQ=HOURLY;INTERVAL=7",
                "FREQ=MINUTELY;INTERVAL=45;BYHOUR=1,2,3;BYDAY=SA,SU",
                "FREQ=MONTHLY;BYDAY=-1FR;UNTIL=20261231",
            ]
        ),
        ZONES,
        GAPS,
    ),
    st.builds(
        Interval,
        st.integers(10, 100_000).map(lambda seconds: timedelta(seconds=seconds)),
        st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 1), timezones=st.just(UTC)),
    ),
    st.builds(At, st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 1), timezones=st.just(UTC))),
)
MOMENTS = st.datetimes(datetime(2026, 2, 20), datetime(2026, 11, 20), timezones=st.just(UTC))


@against_reference
@given(schedules=st.lists(SCHEDULES, max_size=3), after=MOMENTS, limit=st.integers(1, 40))
def test_instants_are_utc_whole_seconds_and_strictly_increase_after_after(
    schedules: list[Schedule], after: datetime, limit: int
) -> None:
    fires = next_fires(schedules, after=after, limit=limit)
    assert len(fires) <= limit
    assert all(fire.tzinfo is UTC and fire.microsecond == 0 for fire in fires)
    assert all(before < later for before, later in zip([after, *fires], fires, strict=False))


@against_reference
@given(schedules=st.lists(SCHEDULES, min_size=1, max_size=2), after=MOMENTS, cut=st.integers(0, 29))
def test_asking_again_after_any_instant_goes_on_with_the_same_list(
    schedules: list[Schedule], after: datetime, cut: int
) -> None:
    whole = next_fires(schedules, after=after, limit=30)
    if whole:
        from_here = whole[min(cut, len(whole) - 1)]
        rest = [fire for fire in whole if fire > from_here]
        assert next_fires(schedules, after=from_here, limit=30)[: len(rest)] == rest
        assert next_fires(schedules, after=from_here - SECOND, limit=1) == [from_here]


@against_reference
@given(schedules=st.lists(SCHEDULES, min_size=1, max_size=2), after=MOMENTS, limit=st.integers(1, 30))
def test_a_shorter_list_is_the_beginning_of_a_longer_one(
    schedules: list[Schedule], after: datetime, limit: int
) -> None:
    whole = list(islice(iter_fires(schedules, after=after), 30))
    assert next_fires(schedules, after=after, limit=limit) == whole[:limit]


@against_reference
@given(one=SCHEDULES, other=SCHEDULES, after=MOMENTS)
def test_several_schedules_fire_whenever_one_of_them_does_and_once_at_a_time(
    one: Schedule, other: Schedule, after: datetime
) -> None:
    both = {*next_fires(one, after=after, limit=20), *next_fires(other, after=after, limit=20)}
    assert next_fires([one, other], after=after, limit=20) == sorted(both)[:20]


def test_equal_schedules_fire_once() -> None:
    hourly, every_hour = Cron("@hourly"), Interval(HOUR, NOW)
    assert next_fires([hourly, every_hour, hourly], after=NOW, limit=2) == [NOW + HOUR, NOW + 2 * HOUR]


def test_no_schedules_never_fire() -> None:
    assert next_fires([], after=NOW, limit=1) == []


def test_after_is_exclusive_and_may_lie_between_two_seconds() -> None:
    every_second = Cron("* * * * * *")
    assert next_fires(every_second, after=NOW, limit=1) == [NOW + SECOND]
    assert next_fires(every_second, after=NOW + SECOND / 2, limit=1) == [NOW + SECOND]
    assert next_fires(every_second, after=NOW - SECOND / 2, limit=1) == [NOW]


def test_after_may_be_in_any_zone() -> None:
    after = NOW.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert next_fires(Cron("@hourly"), after=after, limit=1) == [NOW + HOUR]


def test_a_naive_after_is_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        next_fires(Cron("@hourly"), after=datetime(2026, 11, 23), limit=1)


@pytest.mark.parametrize("limit", [-1, 0, 10_001])
def test_a_limit_out_of_range_is_the_callers_mistake(limit: int) -> None:
    with pytest.raises(ValueError, match="allowed is 1-10000"):
        next_fires(Cron("@hourly"), after=NOW, limit=limit)


def test_an_interval_counts_elapsed_time_from_its_anchor_and_begins_with_it() -> None:
    interval = Interval(timedelta(minutes=90), NOW + HOUR)
    fires = [NOW + HOUR, NOW + timedelta(hours=2, minutes=30)]
    assert next_fires(interval, after=NOW, limit=2) == fires
    assert next_fires(interval, after=NOW + HOUR, limit=1) == fires[1:]


def test_a_single_time_fires_once_however_far_away() -> None:
    far = datetime(2190, 1, 1, tzinfo=UTC)
    assert next_fires(At(far), after=NOW, limit=5) == [far]
    assert next_fires(At(far), after=far, limit=5) == []


def test_bounds_are_included() -> None:
    bounded = Bounded(Cron("@hourly"), start=NOW, end=NOW + 2 * HOUR)
    assert next_fires(bounded, after=NOW - 24 * HOUR, limit=5) == [NOW, NOW + HOUR, NOW + 2 * HOUR]


def test_bounds_between_two_seconds_do_not_let_in_the_second_outside() -> None:
    bounded = Bounded(Cron("@hourly"), start=NOW + SECOND / 2, end=NOW + HOUR - SECOND / 2)
    assert next_fires(bounded, after=NOW - 24 * HOUR, limit=5) == []


def test_a_bound_does_not_begin_count_anew() -> None:
    rule = RRule("FREQ=DAILY;COUNT=3", datetime(2026, 11, 22, 9))
    bounded = Bounded(rule, start=datetime(2026, 11, 24, tzinfo=UTC))
    assert next_fires(bounded, after=NOW, limit=5) == [datetime(2026, 11, 24, 9, tzinfo=UTC)]


@pytest.mark.parametrize(
    "schedule", [At(NOW + HOUR), Interval(HOUR, NOW), Cron("@hourly"), Cron("0 * * * *", "Asia/Kathmandu")]
)
def test_every_kind_of_schedule_obeys_an_end_before_its_first_time(schedule: Rule) -> None:
    assert next_fires(Bounded(schedule, end=NOW), after=NOW, limit=1) == []


def test_the_search_looks_50_years_ahead() -> None:
    on_a_monday = RRule("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO", datetime(2016, 2, 29))
    fires = [datetime(year, 2, 29, tzinfo=UTC) for year in (2044, 2072)]
    assert next_fires(on_a_monday, after=NOW, limit=5) == fires
    assert next_fires(Cron("0 0 29 2 */7"), after=NOW, limit=5) == [
        datetime(year, 2, 29, tzinfo=UTC) for year in (2032, 2060)
    ]


@pytest.mark.parametrize("after", [datetime.min, datetime(1969, 1, 1), datetime(9998, 1, 1), datetime.max])
@pytest.mark.parametrize(
    "schedule",
    [
        Cron("30 2 * * *", "America/New_York"),
        Cron("* * * * *", "Pacific/Kiritimati"),
        RRule("FREQ=DAILY", datetime(9998, 12, 31, 23), zone="America/New_York"),
        RRule("FREQ=YEARLY;BYDAY=MO;BYSETPOS=-1", datetime(1970, 1, 1), zone="Pacific/Kiritimati"),
        RRule("FREQ=HOURLY;BYHOUR=1", datetime(9998, 12, 31, 23), zone="Pacific/Kiritimati"),
        Interval(HOUR, datetime(9998, 12, 31, 23, tzinfo=UTC)),
    ],
)
def test_the_ends_of_time_do_not_matter(schedule: Schedule, after: datetime) -> None:
    fires = next_fires(schedule, after=after.replace(tzinfo=UTC), limit=3)
    assert fires == sorted(fires)

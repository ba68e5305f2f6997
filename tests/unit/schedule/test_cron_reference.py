"""Cron around single changes of the clocks against walked time, and against cronsim on a clock without changes."""

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from cronsim import CronSim, CronSimError
from hypothesis import given
from hypothesis import strategies as st

from ordinaut.schedule import Cron, Gap, next_fires, parse_cron
from tests.unit.schedule import reference
from tests.unit.schedule.clocks import WINDOW, WINDOWS, against_reference
from tests.unit.schedule.drawn import EXPRESSIONS, fields

SECOND = timedelta(seconds=1)
HORIZON = timedelta(days=50 * 366)


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: f"{window[0]}-{window[1]:%Y-%m-%d}")
@pytest.mark.parametrize("gap", Gap)
@pytest.mark.parametrize(
    "expression",
    [
        "*/30 0 * * *",
        "15 * * * *",
        "*/20 1-3 * * *",
        "*/10 2 * * *",
        "0,30 0-3 * * *",
        "30 2 * * *",
        "0 0 * * *",
        "45 1 * * *",
        "59 23 * * *",
        "30 23,0 * * *",
        "0-59/7 0-23 * * *",
    ],
)
def test_agrees_with_walking_every_minute_around_a_change(
    expression: str, window: tuple[str, datetime], gap: Gap
) -> None:
    zone, start = window
    begin = start.replace(tzinfo=UTC)
    expected = reference.cron(expression, zone, begin, begin + WINDOW - SECOND, skip=gap is Gap.SKIP)
    fires = next_fires(Cron(expression, zone, gap), after=begin - SECOND, limit=len(expected) + 1)
    assert [fire for fire in fires if fire < begin + WINDOW] == expected


@against_reference
@given(
    expression=EXPRESSIONS,
    second=st.one_of(st.none(), fields(0, 59)),
    after=st.datetimes(datetime(2020, 1, 1), datetime(2050, 1, 1)),
)
def test_agrees_with_cronsim_where_no_clock_changes(expression: str, second: str | None, after: datetime) -> None:
    whole = expression if second is None else f"{second} {expression}"
    begin = after.replace(tzinfo=UTC)
    assert next_fires(Cron(whole), after=begin, limit=5) == by_cronsim(whole, begin, limit=5)


def by_cronsim(expression: str, after: datetime, *, limit: int) -> list[datetime]:
    try:
        found = islice(CronSim(expression, after), limit)
    except CronSimError:  # it sees that there is no such day
        return []
    return [fire for fire in found if fire <= after + HORIZON]


def test_six_fixed_fields_are_as_fixed_as_five() -> None:
    # cronsim takes every expression with seconds for a wildcard; a time is a time.
    after = datetime(2026, 3, 8, tzinfo=UTC)
    five, six = Cron("30 2 * * *", "America/New_York"), Cron("0 30 2 * * *", "America/New_York")
    assert next_fires(five, after=after, limit=3) == next_fires(six, after=after, limit=3)


def test_a_wildcard_finds_the_minutes_after_a_gap_that_does_not_end_on_the_hour() -> None:
    # 02:00-02:30 is missing on 4 October 2026; cronsim jumps over 02:30-02:59 as well.
    fires = next_fires(
        Cron("*/10 2 * * *", "Australia/Lord_Howe"), after=datetime(2026, 10, 3, 15, 20, tzinfo=UTC), limit=3
    )
    assert [f"{fire:%H:%M}" for fire in fires] == ["15:30", "15:40", "15:50"]


def test_a_wildcard_does_not_fire_at_a_midnight_that_is_left_out() -> None:
    # cronsim fires at the missing 00:00 of 24 April 2026.
    after = datetime(2026, 4, 23, 21, tzinfo=UTC)
    (fire,) = next_fires(Cron("*/30 0 * * *", "Africa/Cairo"), after=after, limit=1)
    assert fire == datetime(2026, 4, 24, 21, tzinfo=UTC)


def test_a_fixed_time_that_is_shown_twice_does_not_fire_again_the_second_time() -> None:
    between = datetime(2026, 11, 1, 5, 45, tzinfo=UTC)  # 01:45 EDT, before 01:30 comes again
    (fire,) = next_fires(Cron("30 1 * * *", "America/New_York"), after=between, limit=1)
    assert fire == datetime(2026, 11, 2, 6, 30, tzinfo=UTC)


def test_parsing_keeps_the_expression_as_it_was_written() -> None:
    assert parse_cron("@daily", time_zone="Asia/Kathmandu", gap=Gap.SKIP) == Cron("@daily", "Asia/Kathmandu", Gap.SKIP)

"""Recurrence rules against python-dateutil where it is right, against walked time where it is not, and by hand."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given
from hypothesis import strategies as st

from ordinaut.schedule import Gap, RRule, next_fires
from tests.unit.schedule.clocks import against_reference, steps_by_walking

NEW_YORK = "America/New_York"
SECOND = timedelta(seconds=1)


def expanded(
    rule: str, dtstart: str, *, zone: str = "UTC", after: str | None = None, limit: int = 5, **more: object
) -> list[str]:
    start = datetime.fromisoformat(dtstart)
    begin = (
        datetime.fromisoformat(after).replace(tzinfo=UTC) if after else start.replace(tzinfo=UTC) - timedelta(days=1)
    )
    spec = RRule(rule, start, zone=zone, **more)  # type: ignore[arg-type]
    return [f"{fire:%Y-%m-%d %H:%M}" for fire in next_fires(spec, after=begin, limit=limit)]


def some(values: st.SearchStrategy[int], *, most: int = 3) -> st.SearchStrategy[str]:
    return st.lists(values, min_size=1, max_size=most, unique=True).map(lambda found: ",".join(map(str, found)))


DAYS = st.lists(st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"]), min_size=1, max_size=3, unique=True)
NUMBERED = st.lists(st.sampled_from(["1MO", "2TU", "-1FR", "-2SU", "3WE"]), min_size=1, max_size=2, unique=True)


@st.composite
def rules(draw: st.DrawFn) -> str:
    """Draw a rule of DAILY or slower that fires, and that dateutil gets right."""
    freq = draw(st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY"]))
    parts = [f"FREQ={freq}", f"INTERVAL={draw(st.sampled_from([1, 1, 2, 3]))}"]
    calendar = draw(st.sampled_from(["", "day", "month day", "year day"]))
    if draw(st.booleans()) and (freq == "YEARLY" or (freq == "DAILY" and calendar != "month day")):
        parts.append(f"BYMONTH={draw(some(st.integers(1, 12)))}")
    if calendar == "day":
        numbered = freq in {"YEARLY", "MONTHLY"} and draw(st.booleans())
        parts.append(f"BYDAY={','.join(draw(NUMBERED if numbered else DAYS))}")
    elif calendar == "month day" and freq != "WEEKLY":
        parts.append(f"BYMONTHDAY={draw(some(st.one_of(st.integers(1, 28), st.integers(-28, -1))))}")
    elif calendar == "year day" and freq == "YEARLY" and "BYMONTH" not in parts[-1]:
        parts.append(f"BYYEARDAY={draw(some(st.one_of(st.integers(1, 365), st.integers(-365, -1))))}")
    if draw(st.booleans()):
        parts.append(f"BYHOUR={draw(some(st.integers(0, 23)))};BYMINUTE={draw(some(st.integers(0, 59)))}")
        if draw(st.booleans()):
            parts.append(f"BYSETPOS={draw(st.sampled_from(['1', '-1', '1,-1']))}")
    if draw(st.booleans()):
        parts.append(f"COUNT={draw(st.integers(1, 30))}")
    return ";".join(parts)


MONDAYS = st.integers(0, 300).map(lambda week: datetime(2020, 1, 6) + timedelta(weeks=week))
"""dateutil begins the first period of a weekly rule at DTSTART rather than at its Monday, which BYSETPOS shows."""


@against_reference
@given(rule=rules(), start=MONDAYS, hour=st.integers(0, 23), skipped=st.integers(0, 6))
def test_agrees_with_dateutil_on_a_clock_without_changes(rule: str, start: datetime, hour: int, skipped: int) -> None:
    dtstart = start.replace(hour=hour)
    begin = dtstart.replace(tzinfo=UTC) - SECOND
    found = (fire.replace(tzinfo=UTC) for fire in islice(rrulestr(rule, dtstart=dtstart), skipped + 6))
    expected = [fire for fire in found if fire < begin + timedelta(days=50 * 365)]
    spec = RRule(rule, dtstart)
    assert next_fires(spec, after=begin, limit=len(expected) + 1)[: len(expected)] == expected
    if len(expected) > skipped:  # the search may begin anywhere
        after, rest = expected[skipped], expected[skipped + 1 :]
        assert next_fires(spec, after=after, limit=len(rest) + 1)[: len(rest)] == rest


@pytest.mark.parametrize("week", [1, 2, 20, 51, 52, 53, -1, -2, -51, -52, -53])
@pytest.mark.parametrize("first_year", [1971, 2020])
def test_week_numbers_are_those_of_the_iso_calendar(week: int, first_year: int) -> None:
    # dateutil misses the days of week 52 or 53 that lie in January, and negative ones in December.
    first, end = date(first_year, 1, 1), date(first_year + 49, 1, 1)
    days = (first + timedelta(days=day) for day in range((end - first).days))
    expected = [datetime(day.year, day.month, day.day, 9, tzinfo=UTC) for day in days if week in iso_weeks(day)]
    spec = RRule(f"FREQ=YEARLY;BYWEEKNO={week};BYDAY=MO,TU,WE,TH,FR,SA,SU", datetime(1970, 1, 1, 9))
    before = datetime(first_year, 1, 1, tzinfo=UTC) - SECOND
    assert next_fires(spec, after=before, limit=len(expected)) == expected


@pytest.mark.parametrize(
    ("week_start", "first"), [("MO", "2027-01-04"), ("SU", "2027-01-03"), ("TH", "2026-12-31"), ("FR", "2027-01-01")]
)
def test_week_1_is_the_first_with_four_days_in_the_year_wherever_weeks_begin(week_start: str, first: str) -> None:
    rule = f"FREQ=YEARLY;BYWEEKNO=1;BYDAY={week_start};WKST={week_start}"
    assert expanded(rule, "2026-06-01T09:00", limit=1) == [f"{first} 09:00"]


def iso_weeks(day: date) -> tuple[int, int]:
    year, week, _ = day.isocalendar()
    return week, week - date(year, 12, 28).isocalendar().week - 1


def test_plain_and_numbered_weekdays_add_up() -> None:
    # dateutil finds nothing here: it asks for days that are both.
    assert expanded("FREQ=MONTHLY;BYDAY=SU,2TU", "2026-11-01T09:00", limit=7) == [
        "2026-11-01 09:00",
        "2026-11-08 09:00",
        "2026-11-10 09:00",
        "2026-11-15 09:00",
        "2026-11-22 09:00",
        "2026-11-29 09:00",
        "2026-12-06 09:00",
    ]


def test_set_positions_count_the_whole_week_that_dtstart_lies_in() -> None:
    assert expanded("FREQ=WEEKLY;BYDAY=MO,WE,FR;BYSETPOS=1", "2026-11-25T09:00", limit=2) == [
        "2026-11-30 09:00",
        "2026-12-07 09:00",
    ]


def test_set_positions_in_a_week_that_crosses_the_year() -> None:
    assert expanded("FREQ=WEEKLY;BYDAY=MO,FR;BYSETPOS=-1", "2026-12-21T09:00", limit=3) == [
        "2026-12-25 09:00",
        "2027-01-01 09:00",
        "2027-01-08 09:00",
    ]


def test_numbered_weekdays_count_in_the_year_without_bymonth() -> None:
    assert expanded("FREQ=YEARLY;BYDAY=53TH,-1MO", "2026-01-01T09:00", limit=3) == [
        "2026-12-28 09:00",
        "2026-12-31 09:00",
        "2027-12-27 09:00",
    ]


def test_until_is_included() -> None:
    assert expanded("FREQ=DAILY;UNTIL=20261103T090000Z", "2026-11-01T09:00") == [
        "2026-11-01 09:00",
        "2026-11-02 09:00",
        "2026-11-03 09:00",
    ]
    assert len(expanded("FREQ=DAILY;UNTIL=20261103T085959Z", "2026-11-01T09:00")) == 2


def test_until_a_day_lasts_until_that_day_is_over_on_the_wall() -> None:
    rule = "FREQ=DAILY;BYHOUR=0,23;UNTIL=20261102"
    assert expanded(rule, "2026-11-02T00:00", zone=NEW_YORK) == ["2026-11-02 05:00", "2026-11-03 04:00"]


def test_until_a_day_includes_an_hour_that_is_repeated_at_its_end() -> None:
    rule, zone = "FREQ=HOURLY;UNTIL=20261029", "Africa/Cairo"  # 23:00-24:00 comes twice that day
    assert expanded(rule, "2026-10-29T22:30", zone=zone) == ["2026-10-29 19:30", "2026-10-29 20:30", "2026-10-29 21:30"]


def test_count_counts_from_dtstart_wherever_the_search_begins() -> None:
    rule = "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;COUNT=6"
    whole = expanded(rule, "1997-08-05T09:00", limit=10)
    assert len(whole) == 6
    for passed in range(6):
        assert expanded(rule, "1997-08-05T09:00", after=whole[passed], limit=10) == whole[passed + 1 :]


def test_an_excluded_time_uses_up_count_and_is_not_brought_back_by_rdate() -> None:
    gone = datetime(2026, 11, 2, 9)
    more: dict[str, Any] = {"exdates": (gone,), "rdates": (gone, datetime(2026, 11, 2, 10))}
    assert expanded("FREQ=DAILY;COUNT=3", "2026-11-01T09:00", **more) == [
        "2026-11-01 09:00",
        "2026-11-02 10:00",
        "2026-11-03 09:00",
    ]


def test_exdates_and_rdates_may_be_instants() -> None:
    more: dict[str, Any] = {
        "exdates": (datetime(2026, 11, 2, 14, tzinfo=UTC),),
        "rdates": (datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, 14, tzinfo=UTC)),
    }
    assert expanded("FREQ=DAILY;COUNT=2", "2026-11-01T09:00", zone=NEW_YORK, after="2026-09-01", **more) == [
        "2026-10-01 00:00",
        "2026-11-01 14:00",
    ]


@pytest.mark.parametrize(
    ("gap", "times"),
    [(Gap.RUN, ["06:30", "07:00", "07:15", "07:30"]), (Gap.SKIP, ["06:30", "07:00", "07:15"])],
)
def test_times_of_a_gap_sort_in_among_those_after_it(gap: Gap, times: list[str]) -> None:
    # 02:30 is missing and read as 03:30 EDT, which is later than 03:00 and 03:15.
    rule = "FREQ=DAILY;BYHOUR=1,2,3;BYMINUTE=0,15,30;BYSETPOS=3,6,7,8"
    found = expanded(rule, "2026-03-08T00:00", zone=NEW_YORK, limit=len(times))
    skipped = expanded(rule, "2026-03-08T00:00", zone=NEW_YORK, limit=len(times), gap=gap)
    assert [time.split()[1] for time in (found if gap is Gap.RUN else skipped)] == times


def test_a_time_of_a_gap_is_found_from_within_the_hour_after_it() -> None:
    rule = "FREQ=DAILY;BYHOUR=2;BYMINUTE=30"
    assert expanded(rule, "2026-03-01T00:00", zone=NEW_YORK, after="2026-03-08T07:10", limit=1) == ["2026-03-08 07:30"]
    assert expanded(rule, "2026-03-01T00:00", zone=NEW_YORK, after="2026-03-08T07:30", limit=1) == ["2026-03-09 06:30"]


def test_a_time_of_a_gap_that_meets_another_time_fires_once() -> None:
    rule = "FREQ=DAILY;BYHOUR=2,3;BYMINUTE=30"
    assert expanded(rule, "2026-03-08T00:00", zone=NEW_YORK, limit=2) == ["2026-03-08 07:30", "2026-03-09 06:30"]


@pytest.mark.parametrize(("gap", "last"), [(Gap.RUN, "2026-03-10 06:30"), (Gap.SKIP, "2026-03-11 06:30")])
@pytest.mark.parametrize("after", ["2026-03-06", "2026-03-08T07:10", "2026-03-09T00:00", "2026-03-10T00:00"])
def test_skipped_times_do_not_use_up_count(gap: Gap, last: str, after: str) -> None:
    rule = "FREQ=DAILY;COUNT=4"
    assert expanded(rule, "2026-03-07T02:30", zone=NEW_YORK, after=after, gap=gap)[-1] == last


@pytest.mark.parametrize(
    "rule",
    ["FREQ=DAILY;INTERVAL=2;BYHOUR=1,2;COUNT=700", "FREQ=MONTHLY;BYDAY=SU;BYHOUR=2;BYSETPOS=1,2,-1;COUNT=60"],
)
def test_skipped_times_of_many_years_do_not_use_up_count(rule: str) -> None:
    spec = RRule(rule, datetime(2020, 1, 1, 2), zone=NEW_YORK, gap=Gap.SKIP)
    whole = next_fires(spec, after=datetime(2019, 1, 1, tzinfo=UTC), limit=1000)
    assert len(whole) == int(rule.rpartition("=")[2])
    for passed in (1, len(whole) // 2, len(whole) - 2):
        assert next_fires(spec, after=whole[passed], limit=1000) == whole[passed + 1 :]


FILTERS = st.lists(
    st.sampled_from(["BYHOUR=1,2,3", "BYMINUTE=0,15,30", "BYDAY=SU,MO", "BYMONTHDAY=1,8,29", "BYMONTH=3,10,11"]),
    unique_by=lambda part: part.partition("=")[0],
    max_size=3,
)
CHANGES = st.sampled_from(
    [
        (NEW_YORK, datetime(2026, 3, 6)),
        (NEW_YORK, datetime(2026, 10, 30)),
        ("Europe/Chisinau", datetime(2026, 10, 23)),
        ("Australia/Lord_Howe", datetime(2027, 4, 2)),
        ("UTC", datetime(2026, 3, 6)),
    ]
)


@against_reference
@given(
    freq=st.sampled_from([("HOURLY", 3600), ("MINUTELY", 60)]),
    interval=st.sampled_from([1, 2, 5, 7, 15, 25, 90]),
    filters=FILTERS,
    change=CHANGES,
    minute=st.integers(0, 59),
    later=st.integers(0, 5 * 24 * 60),
)
def test_elapsed_steps_agree_with_walking_them(
    freq: tuple[str, int], interval: int, filters: list[str], change: tuple[str, datetime], minute: int, later: int
) -> None:
    (name, unit), (zone, start) = freq, change
    if name == "HOURLY":  # there BYMINUTE multiplies, which has a test of its own
        filters = [part for part in filters if not part.startswith("BYMINUTE")]
    rule = ";".join([f"FREQ={name};INTERVAL={interval}", *filters])
    dtstart = start.replace(minute=minute)
    anchor = dtstart.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    after = anchor + timedelta(minutes=later)
    walked = steps_by_walking(anchor, timedelta(seconds=interval * unit), zone, timedelta(days=6))
    expected = [instant for instant, wall in walked if instant > after and admits(filters, wall)]
    fires = next_fires(RRule(rule, dtstart, zone=zone), after=after, limit=len(expected) + 1)
    assert [fire for fire in fires if fire < anchor + timedelta(days=6)] == expected


def admits(filters: list[str], wall: datetime) -> bool:
    shown = {
        "BYHOUR": wall.hour,
        "BYMINUTE": wall.minute,
        "BYSECOND": wall.second,
        "BYDAY": ["MO", "TU", "WE", "TH", "FR", "SA", "SU"][wall.weekday()],
        "BYMONTHDAY": wall.day,
        "BYMONTH": wall.month,
    }
    wanted = (part.partition("=")[::2] for part in filters)
    return all(str(shown[name]) in values.split(",") for name, values in wanted)


@against_reference
@given(
    interval=st.sampled_from([7, 10, 45, 61, 293, 2723, 86_399]),
    filters=st.sampled_from(["BYHOUR=1,2,3", "BYSECOND=0,30", "BYHOUR=9;BYMINUTE=0,1;BYSECOND=0,7", "BYDAY=SU", ""]),
    after=st.integers(0, 3 * 86_400),
)
def test_steps_of_seconds_agree_with_walking_them(interval: int, filters: str, after: int) -> None:
    anchor, length = datetime(2026, 10, 30, 4, tzinfo=UTC), timedelta(days=4)
    walked = steps_by_walking(anchor, interval * SECOND, NEW_YORK, length)
    parts = filters.split(";") if filters else []
    begin = anchor + after * SECOND
    expected = [instant for instant, wall in walked if instant > begin and admits(parts, wall)][:50]
    rule = f"FREQ=SECONDLY;INTERVAL={interval}" + (f";{filters}" if filters else "")
    fires = next_fires(RRule(rule, datetime(2026, 10, 30), zone=NEW_YORK), after=begin, limit=50)
    assert [fire for fire in fires if fire < anchor + length] == expected


def expand_hours(anchor: datetime, zone: str, minutes: list[int], *, hours: int) -> Iterator[datetime]:
    for step in range(hours):
        slot = (anchor + timedelta(hours=step)).astimezone(ZoneInfo(zone))
        for minute in minutes:
            yield (slot.astimezone(UTC) + timedelta(minutes=minute - slot.minute)).astimezone(UTC)


@pytest.mark.parametrize("start", [datetime(2026, 3, 7, 22, 20), datetime(2026, 10, 31, 22, 20)])
def test_minutes_multiply_an_hourly_rule(start: datetime) -> None:
    anchor = start.replace(tzinfo=ZoneInfo(NEW_YORK)).astimezone(UTC)
    expected = [fire for fire in expand_hours(anchor, NEW_YORK, [0, 30], hours=12) if fire >= anchor]
    spec = RRule("FREQ=HOURLY;BYMINUTE=0,30", start, zone=NEW_YORK)
    assert next_fires(spec, after=anchor - SECOND, limit=len(expected)) == expected


def test_seconds_multiply_a_minutely_rule_and_positions_choose_among_them() -> None:
    assert [
        f"{fire:%H:%M:%S}"
        for fire in next_fires(
            RRule("FREQ=MINUTELY;INTERVAL=2;BYSECOND=0,20,40;BYSETPOS=1,-1", datetime(2026, 1, 1, 0, 0, 30)),
            after=datetime(2026, 1, 1, tzinfo=UTC),
            limit=4,
        )
    ] == ["00:00:40", "00:02:00", "00:02:40", "00:04:00"]


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=HOURLY;INTERVAL=5;COUNT=200",
        "FREQ=HOURLY;BYHOUR=1,2,9;BYMINUTE=0,30;COUNT=333",
        "FREQ=MINUTELY;INTERVAL=7;BYDAY=SU;COUNT=400",
        "FREQ=SECONDLY;INTERVAL=2723;BYHOUR=3;COUNT=77",
    ],
)
def test_count_of_an_elapsed_rule_counts_from_dtstart_wherever_the_search_begins(rule: str) -> None:
    spec = RRule(rule, datetime(2026, 2, 1, 0, 15), zone=NEW_YORK)
    whole = next_fires(spec, after=datetime(2026, 1, 1, tzinfo=UTC), limit=1000)
    assert len(whole) == int(rule.rpartition("=")[2])
    for passed in (0, 1, len(whole) // 2, len(whole) - 2, len(whole) - 1):
        assert next_fires(spec, after=whole[passed], limit=1000) == whole[passed + 1 :]


def test_an_elapsed_rule_begins_at_dtstart_even_if_its_hour_has_begun() -> None:
    assert expanded("FREQ=HOURLY;BYMINUTE=0,30", "2026-11-01T09:15", limit=2) == [
        "2026-11-01 09:30",
        "2026-11-01 10:00",
    ]


@pytest.mark.parametrize(("gap", "fires"), [(Gap.RUN, ["2026-03-08 07:30"]), (Gap.SKIP, [])])
def test_an_added_time_that_is_missing_is_read_like_one_of_the_rule(gap: Gap, fires: list[str]) -> None:
    missing = (datetime(2026, 3, 8, 2, 30),)
    rule, start = "FREQ=YEARLY;COUNT=1", "2026-03-01T09:00"
    assert expanded(rule, start, zone=NEW_YORK, after="2026-03-02", rdates=missing, gap=gap) == fires
    assert expanded(rule, start, zone=NEW_YORK, after="2026-03-02", rdates=missing, exdates=missing, gap=gap) == []

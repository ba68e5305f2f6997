"""From what a user wrote to a schedule, or to every mistake in it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ordinaut.errors import FieldError, Invalid, Mistake
from ordinaut.schedule import (
    At,
    Bounded,
    Cron,
    Gap,
    Interval,
    RRule,
    Schedule,
    Written,
    next_fires,
    parse_at,
    parse_cron,
    parse_interval,
    parse_rrule,
    parse_schedule,
)

CREATED = datetime(2026, 11, 23, 10, 20, 30, 400_000, tzinfo=UTC)
CHISINAU = "Europe/Chisinau"


def parsed(**fields: Any) -> Schedule:
    return parse_schedule(Written(**fields), created=CREATED)


def mistakes(**fields: Any) -> dict[str, FieldError]:
    with pytest.raises(Invalid) as caught:
        parsed(**fields)
    assert all(error.remedy or error.mistake is Mistake.UNSUPPORTED for error in caught.value.errors)
    return {error.field: error for error in caught.value.errors}


def test_cron() -> None:
    assert parsed(cron="30 8 * * 1-5", time_zone=CHISINAU, dst_gap="Skip") == Cron("30 8 * * 1-5", CHISINAU, Gap.SKIP)


def test_rrule_with_its_dates() -> None:
    schedule = parsed(
        rrule="FREQ=DAILY",
        dtstart="2026-11-23T09:00:00",
        exdates=["2026-11-24T09:00:00"],
        rdates=["2026-11-24T07:30:00Z"],
        time_zone=CHISINAU,
    )
    assert schedule == RRule(
        "FREQ=DAILY",
        datetime(2026, 11, 23, 9),
        (datetime(2026, 11, 24, 9),),
        (datetime(2026, 11, 24, 7, 30, tzinfo=UTC),),
        CHISINAU,
    )


def test_a_dtstart_that_is_an_instant_is_what_the_wall_shows_then() -> None:
    rule = parse_rrule("FREQ=DAILY", dtstart="2026-07-01T06:00:00Z", time_zone=CHISINAU)
    assert rule.dtstart == datetime(2026, 7, 1, 9)


def test_without_dtstart_a_rule_counts_from_the_minute_it_was_made_in() -> None:
    schedule = parsed(rrule="FREQ=DAILY", time_zone=CHISINAU)
    assert isinstance(schedule, RRule)
    assert schedule.dtstart == datetime(2026, 11, 23, 12, 20)


def test_an_interval_counts_from_the_second_it_was_made_in_or_from_its_start() -> None:
    assert parsed(interval="1h30m") == Interval(timedelta(minutes=90), datetime(2026, 11, 23, 10, 20, 30, tzinfo=UTC))
    start = datetime(2026, 12, 1, 7, tzinfo=UTC)
    assert parsed(interval="15m", start="2026-12-01T09:00:00", time_zone=CHISINAU) == Bounded(
        Interval(timedelta(minutes=15), start), start
    )


@pytest.mark.parametrize(
    "text", ["2026-12-01T09:00:00", "2026-12-01T07:00:00Z", "2026-12-01T08:00:00+01:00"], ids=["wall", "UTC", "offset"]
)
def test_at_is_a_wall_time_or_an_instant(text: str) -> None:
    assert parsed(at=text, time_zone=CHISINAU) == At(datetime(2026, 12, 1, 7, tzinfo=UTC))


def test_at_a_time_that_is_left_out_is_read_with_the_offset_before_or_refused() -> None:
    missing = {"at": "2026-03-29T03:30:00", "time_zone": CHISINAU}
    assert parsed(**missing) == At(datetime(2026, 3, 29, 1, 30, tzinfo=UTC))
    assert "never fires" in mistakes(**missing, dst_gap="Skip")["at"].message


def test_bounds_are_wall_times_or_instants() -> None:
    assert parsed(
        cron="@daily", start="2026-12-01T00:00:00", end="2026-12-31T00:00:00Z", time_zone=CHISINAU
    ) == Bounded(Cron("@daily", CHISINAU), datetime(2026, 11, 30, 22, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC))


def test_all_mistakes_come_at_once_under_the_names_that_the_user_wrote() -> None:
    found = mistakes(
        rrule="FREQ=NEVER",
        dtstart="tomorrow",
        exdates=["2026-11-24T09:00:00", "2026-02-30T09:00:00"],
        rdates=["2026-11-24"],
        time_zone="Mars/Olympus",
        dst_gap="Jump",
        start="2026-13-01T00:00:00Z",
        end="2026-12-01T25:00:00Z",
    )
    assert set(found) == {"rrule", "dtstart", "exdates[1]", "rdates[0]", "timeZone", "dstGap", "start", "end"}
    assert found["exdates[1]"].value == "2026-02-30T09:00:00"


@pytest.mark.parametrize("fields", [{}, {"cron": "@daily", "at": "2026-12-01T09:00:00Z"}])
def test_exactly_one_kind_of_schedule_must_be_given(fields: dict[str, str]) -> None:
    assert mistakes(**fields)[""].remedy == "give exactly one of cron, rrule, interval, at"


def test_dates_belong_to_a_rule() -> None:
    found = mistakes(cron="@daily", dtstart="2026-11-23T09:00:00", exdates=["2026-11-23T09:00:00"])
    assert set(found) == {"dtstart", "exdates"}


@pytest.mark.parametrize("year", ["0001", "1969", "9999"])
@pytest.mark.parametrize("field", ["dtstart", "start", "end"])
def test_years_out_of_range_are_refused(field: str, year: str) -> None:
    found = mistakes(rrule="FREQ=DAILY", **{field: f"{year}-01-01T00:00:00"})
    assert f"the year {int(year)} is out of range: allowed is 1970-9998" in found[field].message


@pytest.mark.parametrize("field", ["exdates", "rdates"])
def test_more_than_a_thousand_dates_are_refused(field: str) -> None:
    dates = ["2026-11-23T09:00:00"] * 1000
    assert parsed(rrule="FREQ=DAILY;COUNT=2", **{field: dates})
    assert "at most 1000" in mistakes(rrule="FREQ=DAILY", **{field: [*dates, dates[0]]})[field].message


def test_an_end_before_the_start_is_refused() -> None:
    found = mistakes(cron="@daily", start="2026-12-01T00:00:00Z", end="2026-11-30T00:00:00Z")
    assert "before start" in found["end"].message


def test_bounds_that_let_nothing_through_are_refused() -> None:
    found = mistakes(cron="0 0 1 1 *", start="2026-12-01T00:00:00Z", end="2026-12-31T00:00:00Z")
    assert "never fires" in found["end"].message


@pytest.mark.parametrize(
    "expression", ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 */31 * 1#2", "0 0 30 2 */2", "0 0 31 4 *,1#1"]
)
def test_cron_that_never_fires_is_refused(expression: str) -> None:
    with pytest.raises(Invalid, match="never fires"):
        parse_cron(expression)


@pytest.mark.parametrize(
    "expression", ["0 0 29 2 1", "0 0 29 2 */7", "0 0 30 2 1", "0 0 * 2 1#5", "0 0 31 * *", "0 0 L 2 *"]
)
def test_cron_that_fires_rarely_is_accepted(expression: str) -> None:
    cron = parse_cron(expression)
    assert next_fires(cron, after=CREATED, limit=1)


@pytest.mark.parametrize(
    ("rule", "more"),
    [
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", {}),
        ("FREQ=DAILY;BYMONTH=4;BYMONTHDAY=31", {}),
        ("FREQ=MONTHLY;BYDAY=6MO", {}),
        ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6", {}),
        ("FREQ=DAILY;BYHOUR=9,10;BYSETPOS=3", {}),
        ("FREQ=MONTHLY;INTERVAL=12;BYMONTHDAY=30", {"dtstart": "2026-02-01T09:00:00"}),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=TU", {}),
        ("FREQ=HOURLY;INTERVAL=2;BYHOUR=1,3", {"dtstart": "2026-11-23T00:00:00"}),
        ("FREQ=MINUTELY;INTERVAL=7;BYDAY=MO;BYHOUR=3;BYMINUTE=1", {"dtstart": "2026-11-23T03:02:00"}),
        ("FREQ=DAILY;UNTIL=20261122", {}),
        ("FREQ=DAILY;COUNT=1", {"exdates": ["2026-11-23T09:00:00"]}),
        (
            "FREQ=YEARLY;BYMONTH=3;BYDAY=2SU",  # the day on which 02:30 is missing, every year
            {"dtstart": "2026-03-08T02:30:00", "time_zone": "America/New_York", "gap": Gap.SKIP},
        ),
    ],
)
def test_a_rule_that_never_fires_is_refused(rule: str, more: dict[str, Any]) -> None:
    fields = {"dtstart": "2026-11-23T09:00:00", **more}
    with pytest.raises(Invalid, match="never fires"):
        parse_rrule(rule, **fields)


def test_a_rule_that_is_over_is_accepted_and_has_no_future() -> None:
    rule = parse_rrule("FREQ=DAILY;COUNT=3", dtstart="2020-01-01T09:00:00")
    assert next_fires(rule, after=CREATED, limit=1) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"rrule": "FREQ=DAILY;UNTIL=20260601"},
        {"rrule": "FREQ=DAILY", "start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"},
    ],
)
def test_what_was_admitted_before_its_beginning_was_known_may_be_over(fields: dict[str, str]) -> None:
    early, late = datetime(2025, 12, 31, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)
    assert next_fires(parse_schedule(Written(**fields), created=early), after=early, limit=1)
    with pytest.raises(Invalid, match="never fires"):
        parse_schedule(Written(**fields), created=late)
    assert next_fires(parse_schedule(Written(**fields), created=late, admitted=True), after=late, limit=1) == []
    with pytest.raises(Invalid):
        parse_schedule(Written(cron="0 0 30 2 *"), created=late, admitted=True)


def test_a_rule_of_which_only_added_dates_remain_is_accepted() -> None:
    dates: dict[str, Any] = {"exdates": ["2026-11-23T09:00:00"], "rdates": ["2026-11-20T09:00:00"]}
    assert parse_rrule("FREQ=DAILY;COUNT=1", dtstart="2026-11-23T09:00:00", **dates)


@pytest.mark.parametrize(
    ("expression", "shortest"),
    [
        ("* * * * * *", 1),
        ("*/5 * * * * *", 5),
        ("0,55 * * * * *", 5),
        ("0,55 59,0 23,0 * * *", 5),
        ("7,9 0 0 1 1 *", 2),
    ],
)
def test_cron_that_fires_too_often_is_refused(expression: str, shortest: int) -> None:
    with pytest.raises(Invalid, match=f"fires as often as every {shortest}s"):
        parse_cron(expression)
    assert parse_cron(expression, min_interval=timedelta(seconds=shortest))


@pytest.mark.parametrize("expression", ["*/10 * * * * *", "0,55 */2 * * * *", "0,55 59,0 */2 * * *", "30 * * * * *"])
def test_cron_that_fires_often_enough_is_accepted(expression: str) -> None:
    assert parse_cron(expression)


@pytest.mark.parametrize(
    ("rule", "shortest"),
    [
        ("FREQ=SECONDLY", 1),
        ("FREQ=SECONDLY;INTERVAL=9", 9),
        ("FREQ=SECONDLY;INTERVAL=7;BYSECOND=0,7", 7),
        ("FREQ=SECONDLY;BYSECOND=0,55", 5),
        ("FREQ=MINUTELY;BYSECOND=0,55", 5),
        ("FREQ=MINUTELY;INTERVAL=2;BYSECOND=0,3", 3),
        ("FREQ=HOURLY;BYMINUTE=0,1;BYSECOND=0,55", 5),
        ("FREQ=HOURLY;INTERVAL=2;BYMINUTE=0;BYSECOND=1,2", 1),
        ("FREQ=DAILY;BYHOUR=1;BYMINUTE=0;BYSECOND=1,2", 1),
    ],
)
def test_a_rule_that_fires_too_often_is_refused(rule: str, shortest: int) -> None:
    with pytest.raises(Invalid, match=f"fires as often as every {shortest}s"):
        parse_rrule(rule, dtstart="2026-11-23T09:00:00")
    assert parse_rrule(rule, dtstart="2026-11-23T09:00:00", min_interval=timedelta(seconds=shortest))


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=SECONDLY;INTERVAL=10",
        "FREQ=SECONDLY;BYSECOND=0",
        "FREQ=SECONDLY;INTERVAL=30;BYSECOND=0,5",  # from second 0 it never reaches second 5
        "FREQ=SECONDLY;INTERVAL=61",
        "FREQ=MINUTELY;INTERVAL=2;BYSECOND=0,55",
        "FREQ=HOURLY;BYMINUTE=0;BYSECOND=0,55",
    ],
)
def test_a_rule_that_fires_often_enough_is_accepted(rule: str) -> None:
    assert parse_rrule(rule, dtstart="2026-11-23T09:00:00")


@pytest.mark.parametrize("text", ["9s", "0s", "500ms", "10001ms", "18251d", "5", "PT5M", ""])
def test_an_interval_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_interval(text, anchor=CREATED)
    assert [error.field for error in caught.value.errors] == ["interval"]


def test_the_least_interval_concerns_only_what_is_shorter_than_a_minute() -> None:
    hour = timedelta(hours=1)
    assert parse_interval("1m", anchor=CREATED, min_interval=hour).every == timedelta(minutes=1)
    assert parse_cron("* * * * *", min_interval=hour)
    with pytest.raises(Invalid):
        parse_interval("59s", anchor=CREATED, min_interval=hour)


def test_each_parser_names_a_wrong_zone() -> None:
    wrong: dict[str, Any] = {"time_zone": "UTC+3"}
    for parse in (
        lambda: parse_cron("@daily", **wrong),
        lambda: parse_at("2026-12-01T09:00:00Z", **wrong),
        lambda: parse_rrule("FREQ=DAILY", dtstart="2026-12-01T09:00:00", **wrong),
    ):
        with pytest.raises(Invalid) as caught:
            parse()
        assert [error.field for error in caught.value.errors] == ["timeZone"]

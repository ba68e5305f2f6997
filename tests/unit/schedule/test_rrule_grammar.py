"""What a recurrence rule may say, and what the refusal of the rest tells its author."""

from datetime import UTC, date, datetime

import pytest

from ordinaut.errors import Invalid
from ordinaut.schedule.rrule_text import Freq, Recurrence, Weekday, read_rrule


def refusal(rule: str) -> str:
    with pytest.raises(Invalid) as caught:
        read_rrule(rule)
    (error,) = caught.value.errors
    assert (error.field, error.value) == ("rrule", rule)
    assert error.remedy
    return error.message


def test_every_part_is_read() -> None:
    rule = (
        "FREQ=YEARLY;INTERVAL=2;COUNT=9;BYSECOND=0,30;BYMINUTE=5;BYHOUR=8,9;BYDAY=MO,2TU,-1FR;BYMONTHDAY=1,-1;"
        "BYYEARDAY=100,-1;BYMONTH=1,12;BYSETPOS=1,-1;WKST=SU"
    )
    assert read_rrule(rule) == Recurrence(
        freq=Freq.YEARLY,
        interval=2,
        count=9,
        by_second=(0, 30),
        by_minute=(5,),
        by_hour=(8, 9),
        by_day=(Weekday(0), Weekday(1, 2), Weekday(4, -1)),
        by_month_day=(-1, 1),
        by_year_day=(-1, 100),
        by_month=(1, 12),
        by_set_pos=(-1, 1),
        week_start=6,
    )
    assert read_rrule("FREQ=YEARLY;BYWEEKNO=20,-1").by_week_no == (-1, 20)


@pytest.mark.parametrize("rule", ["freq=daily;interval=2", "RRULE:FREQ=DAILY;INTERVAL=2", " INTERVAL=2;FREQ=DAILY; "])
def test_case_order_and_the_name_of_the_property_do_not_matter(rule: str) -> None:
    assert read_rrule(rule) == Recurrence(freq=Freq.DAILY, interval=2)


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("20270102T030405Z", datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("20270102", date(2027, 1, 2)),
        ("99991231T235959Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_until_is_an_instant_or_a_day(text: str, until: datetime | date) -> None:
    assert read_rrule(f"FREQ=DAILY;UNTIL={text}").until == until


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("INTERVAL=2", "FREQ is missing"),
        ("FREQ=FORTNIGHTLY", 'FREQ "FORTNIGHTLY" is unknown'),
        ("FREQ=DAILY;INTERVAL=0", 'INTERVAL "0" is not a whole number of at least 1'),
        ("FREQ=DAILY;COUNT=-1", 'COUNT "-1" is not a whole number of at least 1'),
        ("FREQ=DAILY;BYHOUR=24", 'BYHOUR "24" is out of range: allowed is 0-23'),
        ("FREQ=DAILY;BYMINUTE=60", 'BYMINUTE "60" is out of range: allowed is 0-59'),
        ("FREQ=DAILY;BYSECOND=60", 'BYSECOND "60" is out of range: allowed is 0-59; leap seconds never fire'),
        ("FREQ=DAILY;BYMONTH=13", 'BYMONTH "13" is out of range: allowed is 1-12'),
        ("FREQ=MONTHLY;BYMONTHDAY=0", 'BYMONTHDAY "0" is out of range: allowed is 1-31 or -31 to -1'),
        ("FREQ=YEARLY;BYYEARDAY=367", 'BYYEARDAY "367" is out of range: allowed is 1-366 or -366 to -1'),
        ("FREQ=YEARLY;BYWEEKNO=-54", 'BYWEEKNO "-54" is out of range: allowed is 1-53 or -53 to -1'),
        ("FREQ=DAILY;COUNT=2;UNTIL=20270101", "COUNT and UNTIL exclude each other"),
        ("FREQ=DAILY;FREQ=DAILY", "FREQ is given twice"),
        ("FREQ=DAILY;INTERVAL=18251", "INTERVAL 18251 is out of range: allowed is 1-18250 with FREQ=DAILY"),
        ("FREQ=YEARLY;INTERVAL=51", "INTERVAL 51 is out of range: allowed is 1-50 with FREQ=YEARLY"),
        ("FREQ=MONTHLY;BYWEEKNO=20", "BYWEEKNO is not allowed with FREQ=MONTHLY"),
        ("FREQ=DAILY;BYYEARDAY=1", "BYYEARDAY is not allowed with FREQ=DAILY"),
        ("FREQ=WEEKLY;BYMONTHDAY=13", "BYMONTHDAY is not allowed with FREQ=WEEKLY"),
        ("FREQ=MONTHLY;BYSETPOS=1", "BYSETPOS needs another BY part to choose from"),
    ],
)
def test_the_refusal_names_the_part_the_value_and_the_allowed_range(rule: str, words: str) -> None:
    assert refusal(rule) == words


@pytest.mark.parametrize(
    "rule",
    [
        "",
        ";",
        "DAILY",
        "FREQ",
        "FREQ=",
        "FREQ=DAILY;;INTERVAL=2",
        "FREQ=DAILY;INTERVAL=1.5",
        "FREQ=DAILY;INTERVAL=" + "9" * 400,
        "FREQ=DAILY;BYEASTER=0",
        "FREQ=DAILY;X-NAME=1",
        "FREQ=DAILY;RSCALE=GREGORIAN",
        "FREQ=DAILY;BYHOUR=",
        "FREQ=DAILY;BYHOUR=1,,2",
        "FREQ=DAILY;BYHOUR=+1",
        "FREQ=DAILY;BYDAY=XX",
        "FREQ=DAILY;BYDAY=1MO",
        "FREQ=WEEKLY;BYDAY=MO,-1FR",
        "FREQ=YEARLY;BYWEEKNO=20;BYDAY=1MO",
        "FREQ=MONTHLY;BYDAY=0MO",
        "FREQ=MONTHLY;BYDAY=54MO",
        "FREQ=DAILY;WKST=1MO",
        "FREQ=DAILY;UNTIL=20270230",
        "FREQ=DAILY;UNTIL=20270101T000000",
        "FREQ=DAILY;UNTIL=2027-01-01",
        "FREQ=DAILY;UNTIL=18991231",
        "FREQ=DAILY;UNTIL=00000101",
        "FREQ=DAILY;INTERVAL=\uff12",
        "FREQ=DAILY;BYHOUR=\u0661",
        "FREQ=DAILY\r\nRRULE:FREQ=HOURLY",
        "FREQ=DAILY\nEXDATE:20270101T000000",
        "FREQ=DAILY\x00",
        "EXRULE:FREQ=DAILY",
        "DTSTART:20270101T000000 RRULE:FREQ=DAILY",
        "RRULE:RRULE:FREQ=DAILY",
        "FREQ=DAILY;BYHOUR=" + ",".join(["1"] * 367),
        "FREQ=DAILY;BYHOUR=" + ",".join(["1"] * 1024),
    ],
)
def test_whatever_else_there_is_in_the_world_is_refused(rule: str) -> None:
    assert refusal(rule)


@pytest.mark.parametrize(
    ("positions", "size", "indexes"),
    [("1", 3, [0]), ("-1", 3, [2]), ("1,-1,5", 3, [0, 2]), ("3,-1", 3, [2]), ("4", 3, [])],
)
def test_set_positions_count_from_either_end(positions: str, size: int, indexes: list[int]) -> None:
    rule = read_rrule(f"FREQ=MONTHLY;BYDAY=MO;BYSETPOS={positions}")
    assert list(rule.positions_in(size)) == indexes

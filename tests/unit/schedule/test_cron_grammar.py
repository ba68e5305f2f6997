"""What a cron expression may say, and what the refusal of the rest tells its author."""

import pytest

from ordinaut.errors import Invalid
from ordinaut.schedule.cron_text import LAST_DAY, LAST_OF_MONTH, LAST_WEEKDAY, CronFields, read_cron


def refusal(expression: str) -> str:
    with pytest.raises(Invalid) as caught:
        read_cron(expression)
    (error,) = caught.value.errors
    assert (error.field, error.value) == ("cron", expression)
    assert error.remedy
    return error.message


def test_five_fields_fire_at_second_zero() -> None:
    assert read_cron("1 2 3 4 5") == CronFields(
        seconds=frozenset({0}),
        minutes=frozenset({1}),
        hours=frozenset({2}),
        days=frozenset({3}),
        months=frozenset({4}),
        weekdays=frozenset({5}),
        nth_weekdays=frozenset(),
        wildcard=False,
        either_day=True,
    )


def test_a_sixth_field_is_the_seconds_and_stands_in_front() -> None:
    assert read_cron("30 1 2 3 4 5").seconds == {30}
    assert read_cron("30 1 2 3 4 5").minutes == {1}


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("*/20", {0, 20, 40}),
        ("5-59/20", {5, 25, 45}),
        ("50/5", {50, 55}),
        ("7-7/2", {7}),
        ("1,3-5,4", {1, 3, 4, 5}),
        ("*/90", {0}),
        ("007", {7}),
        ("1-3,*", set(range(60))),
    ],
)
def test_lists_ranges_and_steps(text: str, minutes: set[int]) -> None:
    assert read_cron(f"{text} * * * *").minutes == minutes


@pytest.mark.parametrize("names", ["jan,MAR,Dec", "JAN,mar,dEC"])
def test_names_of_months_in_any_case(names: str) -> None:
    assert read_cron(f"0 0 1 {names} *").months == {1, 3, 12}


@pytest.mark.parametrize("sunday", ["0", "7", "sun", "SUN", "0,7", "*/7"])
def test_every_way_to_say_sunday(sunday: str) -> None:
    assert read_cron(f"0 0 * * {sunday}").weekdays == {0}


def test_a_range_of_weekdays_may_end_on_sunday_written_as_7() -> None:
    assert read_cron("0 0 * * fri-7").weekdays == {5, 6, 0}


def test_last_day_and_last_weekday_of_the_month() -> None:
    assert read_cron("0 0 1,L,LW * *").days == {1, LAST_DAY, LAST_WEEKDAY}


@pytest.mark.parametrize("text", ["5L,1#2", "fril,MON#2"])
def test_last_and_nth_weekday_of_the_month(text: str) -> None:
    assert read_cron(f"0 0 * * {text}").nth_weekdays == {(5, LAST_OF_MONTH), (1, 2)}


@pytest.mark.parametrize(
    ("macro", "expression"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
    ],
)
def test_macros_stand_for_expressions(macro: str, expression: str) -> None:
    assert read_cron(macro) == read_cron(expression)


def test_spaces_around_and_between_fields_do_not_matter() -> None:
    assert read_cron("  0  9 * * 1-5 ") == read_cron("0 9 * * 1-5")


@pytest.mark.parametrize(
    ("expression", "wildcard"),
    [
        ("0 * * * *", True),
        ("*/5 9 * * *", True),
        ("* 0 9 * * *", True),
        ("0-59 0-23 * * *", False),
        ("5,* 9 * * *", False),
        ("0 9 * * *", False),
        ("0 0 9 * * *", False),
    ],
)
def test_a_time_field_that_begins_with_a_star_makes_a_wildcard(expression: str, wildcard: bool) -> None:
    assert read_cron(expression).wildcard is wildcard


@pytest.mark.parametrize(
    ("days", "either"),
    [("13 * 5", True), ("* * 5", False), ("13 * *", False), ("*/2 * 1", False), ("1-31 * 1", True), ("L * 1", True)],
)
def test_days_are_alternatives_only_if_neither_field_begins_with_a_star(days: str, either: bool) -> None:
    assert read_cron(f"0 0 {days}").either_day is either


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("60 * * * *", "minute: 60 is out of range: allowed is 0-59"),
        ("60 0 * * * *", "second: 60 is out of range: allowed is 0-59"),
        ("0 24 * * *", "hour: 24 is out of range: allowed is 0-23"),
        ("0 0 0 * *", "day of month: 0 is out of range: allowed is 1-31"),
        ("0 0 32 * *", "day of month: 32 is out of range: allowed is 1-31"),
        ("0 0 1 13 *", "month: 13 is out of range: allowed is 1-12 or JAN-DEC"),
        ("0 0 * * 8", "day of week: 8 is out of range: allowed is 0-7 or SUN-SAT"),
        ("0 0 * * 8L", "day of week: 8 is out of range: allowed is 0-7 or SUN-SAT"),
        ("0 0 * * 1#6", 'day of week: #"6" is out of range: allowed is #1-#5'),
        ("*/0 * * * *", 'minute: the step of "*/0" is 0'),
        ("0 0-23/00 * * *", 'hour: the step of "0-23/00" is 0'),
        ("10-5 * * * *", 'minute: the range "10-5" runs backwards: allowed is 0-59'),
        ("0 0 * * FRI-MON", 'day of week: the range "FRI-MON" runs backwards: allowed is 0-7 or SUN-SAT'),
        ("0 0 * JULY *", 'month: can\'t read "JULY": allowed is 1-12 or JAN-DEC'),
        ("0 0 * * MONDAY", 'day of week: can\'t read "MONDAY": allowed is 0-7 or SUN-SAT'),
        ("0 MON * * *", 'hour: can\'t read "MON": allowed is 0-23'),
    ],
)
def test_the_refusal_names_the_field_the_value_and_the_allowed_range(expression: str, words: str) -> None:
    assert refusal(expression) == words


@pytest.mark.parametrize(
    "expression",
    [
        "",
        " ",
        "* * * *",
        "* * * * * * *",
        "0 0 12 * * ?",
        "0 0 15W * *",
        "0 0 W * *",
        "0 0 L-3 * *",
        "0 0 * * L",
        "0 0 * L *",
        "H 0 * * *",
        "H/15 * * * *",
        "@reboot",
        "@every 5m",
        "@Daily",
        "@HOURLY",
        "@",
        "TZ=UTC * * * * *",
        "CRON_TZ=Europe/Chisinau 0 9 * * *",
        "1,,2 * * * *",
        ", * * * *",
        "1- * * * *",
        "-1 * * * *",
        "+1 * * * *",
        "1.5 * * * *",
        "*-5 * * * *",
        "*/-5 * * * *",
        "*/2/3 * * * *",
        "1-5-7 * * * *",
        "** * * * *",
        "0 0 * * 1#",
        "0 0 * * #2",
        "0 0 * * 1#2#3",
        "0 0 1#2 * *",
        "\uff11 * * * *",
        "* * * * \u0661",
        "0\u00a09 * * *",
        "0\t9 * * *",
        "* * * * *\n",
        "* * * *\n*",
        "* * * * \x00",
        "1" * 10_000,
        "," * 10_240,
        "0 0 * * " + ",".join(["1"] * 500),
        "9" * 200 + " * * * *",
    ],
)
def test_whatever_else_there_is_in_the_world_is_refused(expression: str) -> None:
    assert refusal(expression)


@pytest.mark.parametrize(
    ("expression", "remedy"),
    [
        ("0 12 * * ?", "write * instead of ?"),
        ("0 22-2 * * *", "write 22-23,0-2"),
        ("0 0 * * FRI-SUN", "write 5-7"),
        ("@every 5m", "use interval instead of cron"),
        ("TZ=UTC * * * * *", "put it into timeZone"),
    ],
)
def test_the_remedy_says_what_to_write_instead(expression: str, remedy: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_cron(expression)
    assert caught.value.errors[0].remedy == remedy

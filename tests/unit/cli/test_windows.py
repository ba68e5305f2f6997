"""Reading the ends of a window: days, wall times of a zone, and instants."""

import pytest

from ordinaut_cli import windows
from ordinaut_cli.errors import WRONG_INPUT, CommandError


@pytest.mark.parametrize(
    ("text", "zone", "first", "last"),
    [
        ("2026-11-01", "UTC", "2026-11-01T00:00:00Z", "2026-11-01T23:59:59Z"),
        ("2026-11-01", "Europe/Chisinau", "2026-10-31T22:00:00Z", "2026-11-01T21:59:59Z"),
        ("2026-11-01Z", "Europe/Chisinau", "2026-11-01T00:00:00Z", "2026-11-01T23:59:59Z"),
        ("2026-11-01T08:00", "UTC", "2026-11-01T08:00:00Z", "2026-11-01T08:00:00Z"),
        ("2026-11-01 08:00", "America/New_York", "2026-11-01T13:00:00Z", "2026-11-01T13:00:00Z"),
        ("2026-11-01T01:30:05", "America/New_York", "2026-11-01T05:30:05Z", "2026-11-01T05:30:05Z"),
        ("2026-11-01T08:00:00Z", "America/New_York", "2026-11-01T08:00:00Z", "2026-11-01T08:00:00Z"),
        ("2026-11-01T08:00+02:00", "America/New_York", "2026-11-01T06:00:00Z", "2026-11-01T06:00:00Z"),
    ],
)
def test_a_day_is_all_of_it_and_a_time_without_offset_is_of_the_zone(
    text: str, zone: str, first: str, last: str
) -> None:
    found = [windows.read(text, option="--from", zone=zone, last=one).timestamp() for one in (False, True)]
    assert found == [windows.read(one, option="--from", zone="UTC").timestamp() for one in (first, last)]


@pytest.mark.parametrize(
    ("text", "zone", "said"),
    [
        (
            "yesterday",
            "UTC",
            '--to: Invalid value: "yesterday": not a day, nor a time of one; write it as 2026-11-01, ',
        ),
        ("", "UTC", "not a day, nor a time of one"),
        ("2026-02-30", "UTC", '--to: Invalid value: "2026-02-30": not a date and time; write it as 2026-11-01, '),
        ("2026-11-01T25:00", "UTC", '--to: Invalid value: "2026-11-01T25:00": '),
        ("2026-11-01T08:00:00.5Z", "UTC", "not a day, nor a time of one"),
        ("0001-01-01", "UTC", "--to: "),
        ("2026-11-01", "Mars/Base", '--tz: Invalid value: "Mars/Base": not a time zone of tzdata'),
        ("2026-11-01", "europe/berlin", "did you mean Europe/Berlin?"),
    ],
)
def test_what_is_no_time_is_refused_with_the_option_and_a_remedy(text: str, zone: str, said: str) -> None:
    with pytest.raises(CommandError) as refused:
        windows.read(text, option="--to", zone=zone)
    assert refused.value.exit_code == WRONG_INPUT
    (line,) = refused.value.lines
    assert said in line

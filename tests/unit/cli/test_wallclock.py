"""What the clocks on people's walls show, and what they have done to a nominal time."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ordinaut_cli import wallclock

ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def notes(at: str, *schedules: dict[str, Any], zone: str = "Europe/Berlin") -> tuple[str, ...]:
    (found,) = wallclock.readings([instant(at)], schedules, anchor=ANCHOR, zone_name=zone)
    return found.notes


GAP = "2027-03-28T01:00:00Z"
"""In Berlin, 03:00 on the day on which 02:00 to 03:00 does not exist."""


@pytest.mark.parametrize(
    ("schedule", "at", "wall"),
    [
        ({"cron": "30 2 * * *"}, GAP, "02:30"),
        ({"cron": "15 30 2 * * *"}, GAP, "02:30"),
        ({"cron": "0,30 2 * * *"}, GAP, "02:00"),
        ({"cron": "30 2 * * *", "end": "2028-01-01T00:00:00Z"}, GAP, "02:30"),
        ({"rrule": "FREQ=DAILY", "dtstart": "2027-03-01T02:30:00"}, "2027-03-28T01:30:00Z", "02:30"),
        ({"at": "2027-03-28T02:10:00"}, "2027-03-28T01:10:00Z", "02:10"),
    ],
)
def test_a_time_that_was_moved_out_of_a_gap_says_which_one(schedule: dict[str, Any], at: str, wall: str) -> None:
    berlin = {**schedule, "timeZone": "Europe/Berlin"}
    assert notes(at, berlin) == (f"moved: {wall} does not exist that day",)
    assert notes(at, berlin, zone="UTC") == (f"moved: {wall} does not exist that day in Europe/Berlin",)
    assert notes(at, {"cron": "@daily"}, berlin)[-1].startswith("moved: ")


@pytest.mark.parametrize(
    ("schedule", "at"),
    [
        ({"cron": "0 3 * * *"}, GAP),
        ({"cron": "0,30 2,3 * * *"}, GAP),
        ({"cron": "*/30 * * * *"}, GAP),
        ({"cron": "30 2 * * *", "dstGap": "Skip"}, GAP),
        ({"cron": "30 2 * * *"}, "2027-03-29T00:30:00Z"),
        ({"rrule": "FREQ=HOURLY", "dtstart": "2027-03-28T00:30:00"}, "2027-03-28T01:30:00Z"),
        ({"rrule": "FREQ=DAILY", "dtstart": "2027-03-01T03:30:00"}, "2027-03-28T01:30:00Z"),
        ({"interval": "1h", "start": "2027-03-28T00:00:00Z"}, GAP),
        ({"at": "2027-03-28T01:10:00Z"}, "2027-03-28T01:10:00Z"),
        ({"at": "2027-03-28T03:10:00"}, "2027-03-28T01:10:00Z"),
    ],
)
def test_a_time_that_was_not_moved_says_nothing(schedule: dict[str, Any], at: str) -> None:
    assert notes(at, {**schedule, "timeZone": "Europe/Berlin"}) == ()


def test_half_an_hour_and_seconds_are_told_exactly() -> None:
    lord_howe = {"cron": "45 1,2 * * *", "timeZone": "Australia/Lord_Howe"}
    found = wallclock.readings(
        [instant("2026-04-03T15:45:00Z"), instant("2026-04-04T14:45:00Z")],
        [lord_howe],
        anchor=ANCHOR,
        zone_name="Australia/Lord_Howe",
    )
    assert found[1].notes == ("the first of two 01:45 that day",)
    later = [instant("2026-04-04T14:45:00Z"), instant("2026-04-04T16:15:00Z")]
    found = wallclock.readings(later, [lord_howe], anchor=ANCHOR, zone_name="Australia/Lord_Howe")
    assert (found[1].offset, found[1].local) == ("+10:30", "Sun 2026-04-05 02:45:00")
    assert found[1].notes == ("clocks have gone back 30m",)
    assert wallclock.written_offset(-12_600) == "-03:30"
    assert wallclock.written_offset(-44) == "-00:00:44"


def test_the_zone_of_a_table_is_the_first_that_is_not_utc() -> None:
    assert wallclock.shown_zone([]) == "UTC"
    assert wallclock.shown_zone([{"cron": "@daily"}, {"cron": "@daily", "timeZone": "Asia/Tokyo"}]) == "Asia/Tokyo"


def test_the_zone_of_this_machine_has_its_name(tmp_path: Path) -> None:
    link, elsewhere = tmp_path / "localtime", tmp_path / "nowhere"
    link.symlink_to("/usr/share/zoneinfo/Europe/Chisinau")
    assert wallclock.machines_zone({}, link=link) == "Europe/Chisinau"
    assert wallclock.machines_zone({"TZ": ":Asia/Tokyo"}, link=link) == "Asia/Tokyo"
    assert wallclock.machines_zone({"TZ": "CET-1CEST"}, link=link) == "UTC"
    assert wallclock.machines_zone({}, link=elsewhere) == "UTC"

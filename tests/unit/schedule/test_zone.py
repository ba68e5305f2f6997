"""Zones: names, and the mapping between wall clocks and UTC, against zoneinfo itself."""

import os
import subprocess
import sys
import zoneinfo
from datetime import UTC, datetime, timedelta
from importlib import metadata
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordinaut.errors import Invalid
from ordinaut.schedule import parse_zone, tzdata_version
from ordinaut.schedule.seconds import DAY, clock, instant_of, utc, wall_of
from ordinaut.schedule.zone import zone
from tests.unit.schedule.clocks import against_reference

NAMES = sorted(zoneinfo.available_timezones() - {"Factory"})
INSTANTS = st.datetimes(datetime(1970, 1, 2), datetime(2080, 1, 1), timezones=st.just(UTC))


@pytest.mark.parametrize("name", ["UTC", "Europe/Chisinau", "America/Argentina/Buenos_Aires", "Etc/GMT+3", "EST5EDT"])
def test_iana_names_are_accepted(name: str) -> None:
    assert parse_zone(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Factory",
        "posixrules",
        "localtime",
        "../../etc/passwd",
        "/etc/localtime",
        "Europe",
        "Europe/",
        "UTC+3",
        "EST5EDT,M3.2.0,M11.1.0",
        "<+03>-3",
        "America/new_york",
        "europe/chisinau",
        "Europe/Chisinau ",
        "Europe/Chisinau\n",
        "Europe\\Chisinau",
        "Europe/Chi\u015fin\u0103u",
        "tzdata.zi",
        "UTC\x00",
        "x" * 4096,
    ],
)
def test_everything_else_is_refused(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_zone(name)
    (error,) = caught.value.errors
    assert (error.field, error.value) == ("timeZone", name)
    assert tzdata_version() in error.message


@pytest.mark.parametrize(
    ("name", "meant"), [("america/new_york", "America/New_York"), ("Europe/Chisnau", "Europe/Chisinau")]
)
def test_the_remedy_guesses_what_was_meant(name: str, meant: str) -> None:
    with pytest.raises(Invalid, match=f"did you mean {meant}"):
        parse_zone(name)


def test_only_the_pinned_time_zone_data_counts() -> None:
    # A machine's own data would be found through PYTHONTZPATH; here it holds no zone at all but would be asked first.
    program = "import zoneinfo, ordinaut.schedule; print(zoneinfo.TZPATH, zoneinfo.ZoneInfo('Europe/Chisinau'))"
    environment = {**os.environ, "PYTHONTZPATH": "/usr/share/zoneinfo"}
    shown = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["()", "Europe/Chisinau"]


def test_the_version_is_that_of_the_installed_package() -> None:
    year, number = metadata.version("tzdata").split(".")[:2]
    assert tzdata_version() == f"{year}{chr(ord('a') + int(number) - 1)}"


@against_reference
@given(name=st.sampled_from(NAMES), moment=INSTANTS)
def test_shows_the_wall_time_that_zoneinfo_shows(name: str, moment: datetime) -> None:
    shown = moment.astimezone(ZoneInfo(name)).replace(tzinfo=None, microsecond=0)
    assert clock(zone(name).wall_at(instant_of(moment))) == shown


@against_reference
@given(name=st.sampled_from(NAMES), wall=st.datetimes(datetime(1970, 1, 2), datetime(2080, 1, 1)))
def test_reads_a_wall_time_as_pep_495_does(name: str, wall: datetime) -> None:
    assert_read_as_pep_495(name, wall)


@pytest.mark.parametrize(
    "name", ["America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Gaza", "Africa/Cairo"]
)
@pytest.mark.parametrize("year", [1994, 2011, 2012, 2026, 2040, 2072])
def test_reads_the_wall_times_around_every_change_as_pep_495_does(name: str, year: int) -> None:
    here = zone(name)
    first, last = (instant_of(datetime(one, 1, 1, tzinfo=UTC)) for one in (year, year + 1))
    for _, end, offset in here.periods(first, last - 1):
        for seconds in (-DAY, -3600, -1800, -1, 0, 1, 1799, 1800, 3599, 3600, DAY):
            assert_read_as_pep_495(name, clock(end + offset + seconds))


def assert_read_as_pep_495(name: str, wall: datetime) -> None:
    reading = zone(name).read(wall_of(wall))
    local = wall.replace(tzinfo=ZoneInfo(name))
    offsets = [local.utcoffset(), local.replace(fold=1).utcoffset()]
    assert [timedelta(seconds=reading.before), timedelta(seconds=reading.after)] == offsets
    exists = local.astimezone(UTC).astimezone(ZoneInfo(name)).replace(tzinfo=None, microsecond=0) == wall.replace(
        microsecond=0
    )
    assert reading.missing is not exists


@against_reference
@given(name=st.sampled_from(NAMES), start=INSTANTS, days=st.integers(0, 800))
def test_periods_cover_a_span_without_a_break_and_with_the_right_offset(name: str, start: datetime, days: int) -> None:
    first = instant_of(start)
    last = first + days * DAY
    periods = list(zone(name).periods(first, last))
    assert (periods[0].start, periods[-1].end) == (first, last + 1)
    for before, after in pairwise(periods):
        assert before.end == after.start
    for begin, end, offset in periods:
        for instant in (begin, (begin + end) // 2, end - 1):
            assert utc(instant).astimezone(ZoneInfo(name)).utcoffset() == timedelta(seconds=offset)


@pytest.mark.parametrize("name", ["Asia/Gaza", "Africa/Casablanca", "America/New_York"])
def test_no_change_is_missed(name: str) -> None:
    here, zone_info = zone(name), ZoneInfo(name)
    first, last = (instant_of(datetime(year, 1, 1, tzinfo=UTC)) for year in (2040, 2042))
    for start, end, offset in here.periods(first, last):
        for instant in range(start, end, 3 * 3600):
            assert utc(instant).astimezone(zone_info).utcoffset() == timedelta(seconds=offset)


def test_a_gap_ends_at_the_first_instant_after_it() -> None:
    here = zone("America/New_York")
    reading = here.read(wall_of(datetime(2026, 3, 8, 2, 30)))
    assert reading.missing
    assert utc(here.gap_end(reading)) == datetime(2026, 3, 8, 7, tzinfo=UTC)
    assert utc(reading.instant) == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)


def test_a_whole_day_may_be_missing() -> None:
    here = zone("Pacific/Apia")
    reading = here.read(wall_of(datetime(2011, 12, 30, 12)))
    assert reading.missing
    assert utc(here.gap_end(reading)) == datetime(2011, 12, 30, 10, tzinfo=UTC)


def test_a_repeated_time_is_the_earlier_one_and_its_latest_is_the_later_one() -> None:
    reading = zone("America/New_York").read(wall_of(datetime(2026, 11, 1, 1, 30)))
    assert not reading.missing
    assert utc(reading.instant) == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    assert utc(reading.latest) == datetime(2026, 11, 1, 6, 30, tzinfo=UTC)

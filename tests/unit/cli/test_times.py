"""Times as people read them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ordinaut_cli import times

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.9, "0s"),
        (59, "59s"),
        (60, "1m"),
        (61, "1m1s"),
        (9 * 60 + 59, "9m59s"),
        (10 * 60 + 59, "10m"),
        (3600, "1h"),
        (3 * 3600 + 20 * 60 + 5, "3h20m"),
        (23 * 3600 + 59 * 60, "23h"),
        (86_400 + 3 * 3600, "1d3h"),
        (86_400 + 59, "1d"),
        (400 * 86_400, "400d"),
        (-61, "1m1s"),
    ],
)
def test_a_span_is_told_in_its_largest_units(seconds: float, text: str) -> None:
    assert times.span(seconds) == text


@pytest.mark.parametrize(("offset", "text"), [(300, "in 5m"), (-7200, "2h ago"), (0, "0s ago")])
def test_a_distance_has_a_direction(offset: int, text: str) -> None:
    assert times.distance((NOW + timedelta(seconds=offset)).isoformat(), now=NOW) == text


def test_no_time_is_a_dash() -> None:
    assert times.distance(None, now=NOW) == times.age(None, now=NOW) == times.duration(None, None, now=NOW) == "-"


@pytest.mark.parametrize(
    ("seconds", "text"), [(-0.001, "0ms"), (0.0124, "12ms"), (1, "1.00s"), (59.994, "59.99s"), (185, "3m5s")]
)
def test_a_measured_duration_is_told_with_the_precision_that_matters(seconds: float, text: str) -> None:
    assert times.measured(seconds) == text


def test_a_duration_without_an_end_lasts_until_now() -> None:
    assert times.duration("2026-03-01T11:59:00.000Z", None, now=NOW) == "1m"
    assert times.duration("2026-03-01T11:59:00.000Z", "2026-03-01T11:59:00.250Z", now=NOW) == "250ms"


def test_local_time_is_that_of_the_zone() -> None:
    assert times.local("2026-03-02T06:30:00Z", ZoneInfo("Europe/Chisinau")) == "Mon 2026-03-02 08:30:00"

"""
What the tests that hold schedules against slow references share: how many examples, and where the clocks change.

``ORDINAUT_TEST_EXAMPLES`` multiplies the examples; the references themselves are in ``reference``.
"""

import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import settings

EXAMPLES = int(os.environ.get("ORDINAUT_TEST_EXAMPLES", "1"))

# The references are slow on purpose, and the machines that run this are shared.
against_reference = settings(deadline=None, max_examples=60 * EXAMPLES)

DAY = timedelta(days=1)

WINDOWS = (
    ("America/New_York", datetime(2026, 3, 6)),  # gap 02:00-03:00
    ("America/New_York", datetime(2026, 10, 30)),  # fold 01:00-02:00
    ("Europe/Chisinau", datetime(2026, 3, 27)),  # gap 03:00-04:00
    ("Europe/Dublin", datetime(2026, 3, 27)),  # winter is the daylight saving time
    ("Australia/Lord_Howe", datetime(2026, 10, 2)),  # gap of 30 minutes
    ("Australia/Lord_Howe", datetime(2027, 4, 2)),  # fold of 30 minutes
    ("Africa/Cairo", datetime(2026, 4, 22)),  # midnight does not exist
    ("Africa/Cairo", datetime(2026, 10, 28)),  # the hour before midnight is repeated
    ("America/Havana", datetime(2025, 10, 31)),  # the hour after midnight is repeated
    ("America/Sao_Paulo", datetime(2018, 2, 16)),  # fold 23:00-24:00
    ("America/Sao_Paulo", datetime(2018, 11, 2)),  # midnight does not exist
    ("Africa/Casablanca", datetime(2026, 2, 13)),
    ("Pacific/Apia", datetime(2011, 12, 28)),  # 30 December does not exist
    ("Pacific/Kiritimati", datetime(1994, 12, 30)),  # 31 December 1994 (local) does not exist
    ("Asia/Kathmandu", datetime(2026, 11, 22)),  # +05:45
    ("Asia/Gaza", datetime(2040, 10, 19)),  # two changes within seven days
    ("UTC", datetime(2028, 2, 27)),
)
"""Zones, and the UTC days from which a window of five days is walked."""

WINDOW = 5 * DAY


def steps_by_walking(
    anchor: datetime, step: timedelta, zone: str, length: timedelta
) -> Iterator[tuple[datetime, datetime]]:
    """Yield (UTC instant, naive wall time) of anchor + k x step."""
    here, instant = ZoneInfo(zone), anchor
    while instant < anchor + length:
        yield instant, instant.astimezone(here).replace(tzinfo=None)
        instant += step

"""The text form of points in time."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from ordinaut.resources.moment import format_instant

EAST = timezone(timedelta(hours=2))


@pytest.mark.parametrize("zones", [(EAST, UTC), (UTC, EAST)])
def test_equal_instants_are_written_alike_whoever_is_first(zones: tuple[timezone, timezone]) -> None:
    format_instant.cache_clear()
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)

    assert [format_instant(noon.astimezone(zone)) for zone in zones] == ["2026-03-01T12:00:00Z"] * 2

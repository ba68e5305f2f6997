"""Searching in what happened: page by page, also where hardly anything fits, whatever ids publishers give."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ordinaut.store import event_lists
from ordinaut.store.event_lists import Wanted
from ordinaut.store.pool import Pool
from tests.integration.following import published, write

TOPICS = frozenset(["rare.*"])


async def pages(pool: Pool, wanted: Wanted, *, limit: int) -> list[list[Any]]:
    """Return the data of the events of all pages."""
    found, before = list[list[Any]](), None
    while True:
        async with pool.connection() as connection:
            page = await event_lists.list_(connection, wanted, limit=limit, before=before)
        found.append([one.event["data"] for one in page.events])
        if (before := page.before) is None:
            return found


async def test_a_search_finds_all_that_fits_in_its_order(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_lists, "NARROW", 7)
    monkeypatch.setattr(event_lists, "WIDE", 20)
    monkeypatch.setattr(event_lists, "AT_ONCE", 3)
    await write(pool, *[published("often", n) + published("rare.one", n, -n) for n in range(40)])
    await write(pool, *[published("often", n) for n in range(60)])
    expected = [value for n in reversed(range(40)) for value in (-n, n)]

    for limit in (1, 7, 500):
        found = await pages(pool, Wanted("default", topics=TOPICS), limit=limit)
        assert [one for page in found for one in page] == expected
        assert max(map(len, found)) <= limit
    assert await pages(pool, Wanted("other", topics=TOPICS), limit=9) == [[]]


async def test_a_search_that_takes_long_comes_back_and_goes_on(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_lists, "NARROW", 10)
    monkeypatch.setattr(event_lists, "WIDE", 10)
    await write(pool, published("rare.one", "old"), *[published("often", n) for n in range(30)])
    monkeypatch.setattr(event_lists, "PATIENCE", 0.0)  # one look each

    found = await pages(pool, Wanted("default", topics=TOPICS), limit=5)

    assert [one for page in found for one in page] == ["old"]
    assert found[0] == []


async def test_times_bound_a_search(pool: Pool) -> None:
    await write(pool, published("a.b", 1))
    hour, now = timedelta(hours=1), datetime.now(UTC)
    for after, before, expected in (
        (now - hour, now + hour, [1]),
        (now + hour, None, []),
        (None, now - hour, []),
        (now - hour, None, [1]),
    ):
        wanted = Wanted("default", created_after=after, created_before=before)
        assert await pages(pool, wanted, limit=9) == [expected]


async def test_pages_are_turned_by_places_also_where_events_have_ids_of_their_own(pool: Pool) -> None:
    await write(pool, *[published("a.b", n, id="the same", source="https://a.example") for n in range(5)])
    for wanted in (Wanted("default"), Wanted("default", topics=frozenset(["a.*"]))):
        found = await pages(pool, wanted, limit=2)
        assert [one for page in found for one in page] == [4, 3, 2, 1, 0]

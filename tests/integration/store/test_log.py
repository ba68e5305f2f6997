"""The log of events: one order that only grows at its end, whoever writes and however late they commit."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ordinaut.events.envelope import Event
from ordinaut.store import events, log
from ordinaut.store.log import LogPlace, LogRow
from ordinaut.store.pool import Pool, open_pool


def happened(namespace: str, *tasks: str, type_: str = "run.created") -> list[dict[str, Any]]:
    return [Event(type_, namespace, task).compact() for task in tasks]


async def append(pool: Pool, *rows: list[dict[str, Any]]) -> None:
    async with pool.connection() as connection:
        for one in rows:
            await events.append(connection, one)


async def take_in(pool: Pool, *, limit: int = 100) -> list[LogRow]:
    async with pool.connection() as connection, connection.transaction():
        return await log.take_in(connection, limit=limit) if await log.lock(connection, log.MOVER) else []


async def read(pool: Pool, position: int = 0, **chosen: Any) -> list[str]:
    """Return the tasks that the events behind a position are about."""
    async with pool.connection() as connection:
        rows = await log.after(connection, position, **{"limit": 100, **chosen})
    return [one["task"] for row in rows for one in row.events]


async def test_rows_get_their_positions_in_the_order_of_the_outbox(pool: Pool) -> None:
    await append(pool, happened("default", "a", "b"), happened("default", "c"), happened("default", "d"))

    first, second = await take_in(pool, limit=2), await take_in(pool, limit=2)

    assert [len(first), len(second)] == [2, 1]
    positions = [row.position for row in [*first, *second]]
    assert positions == sorted(set(positions))
    assert await read(pool) == ["a", "b", "c", "d"]
    assert await read(pool, positions[0]) == ["c", "d"]
    assert await take_in(pool) == []


async def test_what_commits_late_stands_behind_what_was_read(pool: Pool, database: str) -> None:
    async with open_pool(database, application="late", size=1) as other, other.connection() as connection:
        async with connection.transaction():
            await events.append(connection, happened("default", "late"))
            await append(pool, happened("default", "early"))
            (row,) = await take_in(pool)
        assert await read(pool) == ["early"]

    await take_in(pool)

    assert await read(pool, row.position) == ["late"]


async def test_only_one_moves_at_a_time(pool: Pool) -> None:
    await append(pool, *(happened("default", str(number)) for number in range(50)))
    async with pool.connection() as connection, connection.transaction():
        assert await log.lock(connection, log.MOVER)
        assert await take_in(pool) == []

    taken = await asyncio.gather(*(take_in(pool, limit=10) for _ in range(8)))
    while await take_in(pool, limit=10):
        pass

    assert all(len(one) in (0, 10) for one in taken)
    assert await read(pool) == [str(number) for number in range(50)]


async def test_a_read_takes_no_more_than_fits(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [str(number) * 1000 for number in range(6)]
    await append(pool, *(happened("default", name) for name in names))
    monkeypatch.setattr(log, "SIZE", 2500)

    taken = [len(await take_in(pool)) for _ in range(3)]

    assert taken == [3, 3, 0]
    assert await read(pool) == names[:3]
    monkeypatch.setattr(log, "SIZE", 1)
    assert await read(pool) == names[:1]  # one comes always, however large


async def test_texts_come_where_somebody_subscribes(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("INSERT INTO subscription_version VALUES ('default', 1)")
    await append(pool, happened("default", "a"), happened("other", "b"))

    first, second = await take_in(pool)

    assert [one["task"] for one in first.events] == ["a"]
    assert second.text is None
    assert second.events == []
    assert list(second.about) == ["other", "other/run.created"]


async def test_a_reader_goes_on_where_it_was_and_never_back(pool: Pool) -> None:
    await append(pool, happened("default", "a"), happened("default", "b"))
    first, second = await take_in(pool)

    async with pool.connection() as connection:
        assert (await log.progress(connection, "stream")).is_behind
        await log.move_cursor(connection, "stream", first.position)
        await log.move_cursor(connection, "stream", 0)
        progress = await log.progress(connection, "stream")
        assert (progress.position, progress.end) == (first.position, second.position)
        await log.move_cursor(connection, "stream", second.position)
        assert not (await log.progress(connection, "stream")).is_behind
        assert await log.end(connection) == second.position
        assert (await log.progress(connection, "triggers")).position == 0


async def test_a_day_is_kept_until_all_readers_have_read_it(pool: Pool) -> None:
    day = (datetime.now(UTC) - timedelta(days=40)).date()
    dropped: list[bool] = []
    async with pool.connection() as connection:
        await connection.execute("SELECT ensure_partition('event_log', %s)", [day])
        await connection.execute(
            "INSERT INTO event_log (created_at, id, events) VALUES (%s::date + interval '1 hour', 7, '[]')", [day]
        )
        end = await log.end(connection)
        for readers in ([], ["stream"], ["triggers"]):
            for reader in readers:
                await log.move_cursor(connection, reader, end)
            row = await (
                await connection.execute("SELECT drop_partition('event_log', %s)", [f"event_log_{day:%Y%m%d}"])
            ).fetchone()
            assert row is not None
            dropped.append(row[0])

    assert dropped == [False, False, True]


@settings(max_examples=50)
@given(st.integers(0, 2**40), st.integers(0, 10_000))
def test_places_are_written_and_read(position: int, place: int) -> None:
    assert LogPlace.parse(str(LogPlace(position, place))) == LogPlace(position, place)


def test_places_are_in_the_order_of_the_log() -> None:
    places = [LogPlace(*one) for one in itertools.product((9, 10), (2, 11))]

    assert sorted(places) == places

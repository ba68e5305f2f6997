"""
What lies in the past stays there: long absences are decided by the rules, and edits never fire what is over.

Driven by a database that has its own now(); what must come of it is counted by hand.
"""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests import lawful
from tests.declaring import declare, pause, resume, task
from tests.virtualtime import VirtualTime, open_virtual

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
DAILY = [{"cron": "0 9 * * *", "timeZone": "Europe/Chisinau"}]
HOURLY = [{"cron": "@hourly"}]

CATCH_UPS: dict[str, dict[str, Any]] = {
    "none": {"catchUp": {"policy": "None"}},
    "latest": {"catchUp": {"policy": "Latest"}},
    "all": {"catchUp": {"policy": "All"}},
    "few": {"catchUp": {"policy": "All", "max": 7}},
    "none-2d": {"catchUp": {"policy": "None"}, "startingDeadlineSeconds": 172_800},
    "latest-2d": {"catchUp": {"policy": "Latest"}, "startingDeadlineSeconds": 172_800},
    "all-2d": {"catchUp": {"policy": "All"}, "startingDeadlineSeconds": 172_800},
    "latest-1m": {"catchUp": {"policy": "Latest"}, "startingDeadlineSeconds": 60},
    "all-1m": {"catchUp": {"policy": "All"}, "startingDeadlineSeconds": 60},
}


@pytest.fixture
async def time(database: str) -> AsyncIterator[VirtualTime]:
    """A database in which it is BEGIN."""
    async with open_virtual(database, now=BEGIN) as opened:
        yield opened


async def declare_all(time: VirtualTime, schedules: list[dict[str, Any]], **more: Any) -> None:
    await declare(time.pool, *(task(name, LOG, schedules=schedules, **one, **more) for name, one in CATCH_UPS.items()))


async def outcomes(time: VirtualTime, *, after: datetime = BEGIN) -> dict[str, Counter[str]]:
    """Return how often each task fired, or was skipped for which reason, at nominal times after an instant."""
    await lawful.assert_law(time.pool)
    found: dict[str, Counter[str]] = {name: Counter() for name in CATCH_UPS}
    async with time.pool.connection() as connection:
        rows = await connection.execute(
            "SELECT t.name, coalesce(f.reason, 'Fired') FROM fire f JOIN task t USING (task_id)"
            " WHERE f.scheduled_at > %s",
            [after],
        )
        async for name, outcome in rows:
            found[name][outcome] += 1
    return found


async def fired(time: VirtualTime, name: str) -> list[datetime]:
    async with time.pool.connection() as connection:
        rows = await connection.execute(
            "SELECT f.scheduled_at FROM fire f JOIN task t USING (task_id) WHERE f.outcome = 'Fired' AND t.name = %s"
            " ORDER BY 1",
            [name],
        )
        return [row[0] for row in await rows.fetchall()]


async def test_a_hundred_missed_days(time: VirtualTime) -> None:
    await declare_all(time, DAILY)
    back = BEGIN + 100 * DAY + 5 * HOUR
    await time.fire(back)

    assert await outcomes(time) == {
        "none": {"NotCaughtUp": 100},
        "latest": {"Coalesced": 99, "Fired": 1},
        "all": {"Fired": 100},
        "few": {"Fired": 7, "CatchUpLimit": 93},
        "none-2d": {"DeadlineExceeded": 98, "NotCaughtUp": 2},
        "latest-2d": {"DeadlineExceeded": 98, "Coalesced": 1, "Fired": 1},
        "all-2d": {"DeadlineExceeded": 98, "Fired": 2},
        "latest-1m": {"DeadlineExceeded": 100},
        "all-1m": {"DeadlineExceeded": 100},
    }
    assert (await fired(time, "few"))[0] == datetime(2026, 3, 2, 7, tzinfo=UTC)
    (newest,) = await fired(time, "latest")
    assert newest == datetime(2026, 6, 9, 6, tzinfo=UTC)

    # It goes on as if nothing had been: the next time fires, on time, of every task.
    await time.fire(datetime(2026, 6, 10, 6, 0, 1, tzinfo=UTC))
    assert await outcomes(time, after=back) == {name: {"Fired": 1} for name in CATCH_UPS}


async def test_a_month_asleep(time: VirtualTime) -> None:
    """More than a hundred missed times stop no schedule, and are worked off in parts that decide as one."""
    await declare_all(time, HOURLY)
    await time.fire(BEGIN + 30 * DAY + 30 * MINUTE)

    assert await outcomes(time) == {
        "none": {"NotCaughtUp": 720},
        "latest": {"Coalesced": 719, "Fired": 1},
        "all": {"Fired": 100, "CatchUpLimit": 620},
        "few": {"Fired": 7, "CatchUpLimit": 713},
        "none-2d": {"DeadlineExceeded": 672, "NotCaughtUp": 48},
        "latest-2d": {"DeadlineExceeded": 672, "Coalesced": 47, "Fired": 1},
        "all-2d": {"DeadlineExceeded": 672, "Fired": 48},
        "latest-1m": {"DeadlineExceeded": 720},
        "all-1m": {"DeadlineExceeded": 720},
    }
    back = BEGIN + 30 * DAY + HOUR
    await time.fire(back)
    assert await outcomes(time, after=back - HOUR) == {name: {"Fired": 1} for name in CATCH_UPS}


EDITS: list[list[dict[str, Any]]] = [
    [{"cron": "*/5 * * * *"}],
    [{"interval": "7m"}],
    [{"interval": "7m", "start": "2026-01-01T00:00:00Z"}],
    [{"rrule": "FREQ=HOURLY", "dtstart": "2020-01-01T00:30:00"}],
    [{"rrule": "FREQ=DAILY", "dtstart": "2020-01-01T00:00:00", "rdates": ["2026-03-02T03:00:00"]}],
    [{"at": "2026-03-02T11:00:00Z"}, {"cron": "0 0 1 1 *"}],
    [{"cron": "@hourly", "timeZone": "Asia/Kathmandu"}],
]


@pytest.mark.parametrize("edit", range(len(EDITS)))
async def test_an_edit_never_fires_the_past(time: VirtualTime, edit: int) -> None:
    """Neither what the old schedule still owed, nor what the new one would have named."""
    await declare_all(time, HOURLY)
    edited = BEGIN + DAY + 30 * SECOND
    await time.set(edited)
    await declare_all(time, EDITS[edit])
    await time.fire(edited)
    assert await outcomes(time) == {name: {} for name in CATCH_UPS}

    await time.fire(edited + 2 * HOUR)
    async with time.pool.connection() as connection:
        row = await (await connection.execute("SELECT min(scheduled_at), count(*) FROM fire")).fetchone()
    assert row is not None
    assert (row[0] is None) == (row[1] == 0)
    assert row[0] is None or row[0] > edited


async def test_editing_something_else_loses_no_time_that_is_due(time: VirtualTime) -> None:
    await declare_all(time, HOURLY)
    await time.set(BEGIN + 3 * HOUR)
    await declare_all(time, HOURLY, priority=9)
    await time.fire(BEGIN + 3 * HOUR)
    assert {name: found.total() for name, found in (await outcomes(time)).items()} == dict.fromkeys(CATCH_UPS, 3)


async def test_unsuspending_fires_the_past_with_all_only(time: VirtualTime) -> None:
    """And what is made up for is bounded by deadline and limit like anything that was missed."""
    await declare_all(time, HOURLY)
    await time.fire(BEGIN + HOUR)
    await declare_all(time, HOURLY, suspend=True)
    assert (await time.fire(BEGIN + 3 * DAY)).claimed == 0
    woken = BEGIN + 5 * DAY + 10 * MINUTE
    await time.set(woken)
    await declare_all(time, HOURLY)
    await time.fire(woken)

    assert await outcomes(time, after=BEGIN + HOUR) == {
        **{name: {} for name in CATCH_UPS if not name.startswith(("all", "few"))},
        "all": {"Fired": 100, "CatchUpLimit": 19},
        "few": {"Fired": 7, "CatchUpLimit": 112},
        "all-2d": {"DeadlineExceeded": 71, "Fired": 48},
        "all-1m": {"DeadlineExceeded": 119},
    }
    await time.fire(BEGIN + 5 * DAY + HOUR)
    assert await outcomes(time, after=woken) == {name: {"Fired": 1} for name in CATCH_UPS}


async def test_a_schedule_that_is_edited_while_suspended_owes_nothing(time: VirtualTime) -> None:
    await declare_all(time, HOURLY, suspend=True)
    await time.set(BEGIN + 2 * DAY)
    await declare_all(time, [{"cron": "30 * * * *"}], suspend=True)
    woken = BEGIN + 2 * DAY + SECOND
    await time.set(woken)
    await declare_all(time, [{"cron": "30 * * * *"}])
    await time.fire(woken)
    assert await outcomes(time) == {name: {} for name in CATCH_UPS}


async def test_resuming_is_like_unsuspending(time: VirtualTime) -> None:
    await declare_all(time, HOURLY)
    for name in CATCH_UPS:
        await pause(time.pool, name)
    assert (await time.fire(BEGIN + DAY)).claimed == 0
    for name in CATCH_UPS:
        await resume(time.pool, name)
    await time.fire(BEGIN + DAY)
    found = {name for name, counted in (await outcomes(time)).items() if counted}
    assert found <= {"all", "few", "all-2d", "all-1m"}

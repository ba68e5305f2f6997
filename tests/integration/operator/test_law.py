"""
The law of the ledger on live data: whatever happens to a task keeps it, and whatever breaks it is found and named.

Driven by a database that has its own now(), and by the real statements of firing, declaring, pausing and recomputing.
"""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from ordinaut.store import ledger
from ordinaut.store.invariants import Invariant
from ordinaut.store.queries import SQL
from ordinaut_operator import fire, janitor
from ordinaut_operator.invariants import Checker
from tests import lawful
from tests.declaring import declare, pause, resume, snooze, task
from tests.virtualtime import VirtualTime, open_virtual

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
BEGIN = datetime(2026, 3, 27, 12, 0, 30, tzinfo=UTC)
"""Two days before the clocks change in Europe."""
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

HOURLY = [{"cron": "0 * * * *", "timeZone": "Europe/Berlin"}]
OFTEN = [{"cron": "*/2 * * * *", "timeZone": "Europe/Berlin"}]
"""Owes more within hours than one transaction decides."""

HALF_HOURLY = [{"cron": "*/30 * * * *", "timeZone": "Europe/Berlin"}, {"interval": "40m"}]
POLICIES: dict[str, dict[str, Any]] = {
    "none": {"catchUp": {"policy": "None"}},
    "latest": {"catchUp": {"policy": "Latest"}},
    "all": {"catchUp": {"policy": "All"}},
    "few": {"catchUp": {"policy": "All", "max": 3}},
    "deadline": {"catchUp": {"policy": "All"}, "startingDeadlineSeconds": 7200},
}
SUSPENDED_ALL = {"all", "few", "deadline"}


@pytest.fixture
async def time(database: str) -> AsyncIterator[VirtualTime]:
    """A database in which it is BEGIN."""
    async with open_virtual(database, now=BEGIN) as opened:
        yield opened


async def declare_all(time: VirtualTime, schedules: list[dict[str, Any]], **more: Any) -> None:
    await declare(time.pool, *(task(name, LOG, schedules=schedules, **one, **more) for name, one in POLICIES.items()))


async def live(time: VirtualTime, hours: int) -> None:
    """Fire on time, every hour."""
    for number in range(1, hours + 1):
        await time.fire(BEGIN + number * HOUR)


async def execute(time: VirtualTime, statement: str, *params: object) -> None:
    async with time.pool.connection() as connection:
        await connection.execute(statement.encode(), params)


async def counts(time: VirtualTime) -> dict[str, tuple[int, int, int, int]]:
    """Hold the law against all of each ledger; return the sums of nominal, fired, skipped and pending times."""
    found = await lawful.whole(time.pool, lines=60)
    added = {}
    for name, parts in found.items():
        assert [breach.text for part in parts for breach in part.breaches] == [], name
        added[name] = (
            sum(part.nominal for part in parts),
            sum(part.fired for part in parts),
            sum(part.skipped for part in parts),
            sum(part.pending for part in parts),
        )
        assert added[name][0] == sum(added[name][1:])
    await lawful.assert_law(time.pool)
    return added


async def test_the_law_holds_from_the_first_moment_over_fires_and_skips(time: VirtualTime) -> None:
    await declare_all(time, HOURLY)
    assert await counts(time) == dict.fromkeys(POLICIES, (0, 0, 0, 0))

    await time.set(BEGIN + 3 * DAY)
    # 72 hours, one of which does not exist on the clock of Berlin and costs no firing.
    assert await counts(time) == dict.fromkeys(POLICIES, (72, 0, 0, 72))

    await time.fire(BEGIN + 3 * DAY)
    assert await counts(time) == {
        "none": (72, 1, 71, 0),
        "latest": (72, 1, 71, 0),
        "all": (72, 72, 0, 0),
        "few": (72, 3, 69, 0),
        "deadline": (72, 2, 70, 0),
    }


async def test_the_law_holds_between_the_parts_of_a_backlog(time: VirtualTime) -> None:
    await declare_all(time, OFTEN)
    await time.set(BEGIN + 12 * HOUR)
    pending = []
    while (await fire.fire_due(time.pool)).claimed:
        found = await counts(time)
        assert {sums[0] for sums in found.values()} == {360}
        pending.append(found["all"][3])
    assert pending == [260, 160, 60, 0]


async def test_an_edit_counts_anew_and_owes_nothing_of_before(time: VirtualTime) -> None:
    await declare_all(time, HOURLY)
    await live(time, 5)
    await time.set(BEGIN + 9 * HOUR)
    await declare_all(time, HALF_HOURLY)
    assert await counts(time) == dict.fromkeys(POLICIES, (0, 0, 0, 0))
    await time.set(BEGIN + 10 * HOUR)
    assert {sums[0] for sums in (await counts(time)).values()} == {4}  # the interval has its anchor where it began
    await time.fire(BEGIN + 2 * DAY)
    found = await counts(time)
    assert len({sums[0] for sums in found.values()}) == 1
    # Editing something else moves nothing.
    await time.set(BEGIN + 2 * DAY + HOUR)
    await declare_all(time, HALF_HOURLY, priority=9)
    assert {name: sums[0] - found[name][0] for name, sums in (await counts(time)).items()} == dict.fromkeys(POLICIES, 3)


Change = Callable[[VirtualTime], Awaitable[None]]


async def suspend(time: VirtualTime) -> None:
    await declare_all(time, HOURLY, suspend=True)


async def unsuspend(time: VirtualTime) -> None:
    await declare_all(time, HOURLY)


async def pause_all(time: VirtualTime) -> None:
    for name in POLICIES:
        await pause(time.pool, name)


async def resume_all(time: VirtualTime) -> None:
    for name in POLICIES:
        await resume(time.pool, name)


@pytest.mark.parametrize(("rest", "go_on"), [(suspend, unsuspend), (pause_all, resume_all)])
@pytest.mark.parametrize("late", [timedelta(0), 2 * HOUR], ids=["on time", "owing two times"])
async def test_what_sleeps_owes_nothing_unless_it_makes_up_for_all(
    time: VirtualTime, rest: Change, go_on: Change, late: timedelta
) -> None:
    await declare_all(time, HOURLY)
    await live(time, 5)
    await time.set(BEGIN + 5 * HOUR + late)
    await rest(time)
    # What was owed is given up; nothing is pending while it sleeps.
    assert {sums[3] for sums in (await counts(time)).values()} == {0}
    await time.fire(BEGIN + 20 * HOUR)
    assert {sums[3] for sums in (await counts(time)).values()} == {0}
    await go_on(time)
    slept = int((timedelta(hours=15) - late) / HOUR)
    assert {name: sums[3] for name, sums in (await counts(time)).items()} == {
        name: slept if name in SUSPENDED_ALL else 0 for name in POLICIES
    }
    await time.fire(BEGIN + 22 * HOUR)
    found = await counts(time)
    assert {sums[3] for sums in found.values()} == {0}
    assert found["latest"][0] == 2
    await time.fire(BEGIN + 23 * HOUR)
    assert {name: sums[0] - found[name][0] for name, sums in (await counts(time)).items()} == dict.fromkeys(POLICIES, 1)


@pytest.mark.parametrize(("rest", "go_on"), [(suspend, unsuspend), (pause_all, resume_all)])
async def test_a_schedule_that_ends_while_it_sleeps_owes_nothing_either(
    time: VirtualTime, rest: Change, go_on: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "HOURLY", [{"cron": "0 * * * *", "end": "2026-03-27T16:00:00Z"}])
    await declare_all(time, HOURLY)
    await live(time, 2)
    await rest(time)
    await time.set(BEGIN + 9 * HOUR)
    await go_on(time)
    assert {name: sums[3] for name, sums in (await counts(time)).items()} == {
        name: 2 if name in SUSPENDED_ALL else 0 for name in POLICIES
    }
    await time.fire(BEGIN + 9 * HOUR)
    await unsuspend(time)
    assert {sums[3] for sums in (await counts(time)).values()} == {0}


@pytest.mark.parametrize("ends", [False, True], ids=["it ends by itself", "somebody ends it"])
async def test_what_a_snooze_holds_back_is_pending(time: VirtualTime, ends: bool) -> None:
    await declare_all(time, OFTEN)
    await live(time, 1)
    for name in POLICIES:
        await snooze(time.pool, name, BEGIN + 10 * HOUR)
    for hours in (2, 9):
        await time.fire(BEGIN + hours * HOUR)
        found = await counts(time)
        assert {(sums[0], sums[3]) for sums in found.values()} == {(hours * 30, hours * 30 - 30)}
    if ends:
        await resume_all(time)
        await counts(time)
    else:
        await time.set(BEGIN + 11 * HOUR)
    while (await fire.fire_due(time.pool)).claimed:
        await counts(time)
    assert {sums[3] for sums in (await counts(time)).values()} == {0}


@pytest.mark.parametrize("fires_first", [False, True])
async def test_new_time_zone_data_count_from_when_they_came(time: VirtualTime, fires_first: bool) -> None:
    """What older data have decided can't be computed anew; until the new ones have come, it can't be told."""
    await declare_all(time, HOURLY)
    await live(time, 5)
    await execute(time, "UPDATE fire SET scheduled_at = scheduled_at - interval '7 min'")
    await execute(time, "UPDATE task_clock SET tzdata = '1999z'")
    assert set((await lawful.newest(time.pool)).values()) == {None}

    await time.set(BEGIN + 7 * HOUR)
    if fires_first:
        await time.fire(BEGIN + 7 * HOUR)
    await janitor.recompute_times(time.pool)
    found = await counts(time)
    assert {sums[0] for sums in found.values()} == {2}
    assert {sums[3] for sums in found.values()} == {0 if fires_first else 2}


async def test_unsuspending_under_new_data_counts_from_there(time: VirtualTime) -> None:
    await declare_all(time, HOURLY)
    await live(time, 5)
    await suspend(time)
    await execute(time, "UPDATE task_clock SET tzdata = '1999z'")
    await time.set(BEGIN + 7 * HOUR)
    await unsuspend(time)
    assert {name: sums[0] for name, sums in (await counts(time)).items()} == {
        name: 2 if name in SUSPENDED_ALL else 0 for name in POLICIES
    }


async def test_a_clock_that_is_set_back_owes_nothing_twice(time: VirtualTime) -> None:
    await declare_all(time, HOURLY)
    await live(time, 5)
    await time.set(BEGIN + 2 * HOUR)
    assert await counts(time) == dict.fromkeys(POLICIES, (5, 5, 0, 0))
    await declare_all(time, HALF_HOURLY)
    assert await counts(time) == dict.fromkeys(POLICIES, (0, 0, 0, 0))
    await time.fire(BEGIN + 4 * HOUR)
    assert await counts(time) == dict.fromkeys(POLICIES, (0, 0, 0, 0))
    await time.fire(BEGIN + 6 * HOUR)
    assert {sums[0] for sums in (await counts(time)).values()} == {4}


async def test_a_process_of_the_release_before_may_start_a_clock(time: VirtualTime) -> None:
    """It knows nothing of what the law is checked by; a rolling upgrade must not look like a broken ledger."""
    await declare_all(time, HOURLY)
    await live(time, 5)
    await execute(
        time,
        "INSERT INTO task_clock AS c (task_id, schedule_key, evaluated_at, next_fire_at, tzdata)"
        " SELECT task_id, 'other', %s, NULL, tzdata FROM task_clock ON CONFLICT (task_id) DO UPDATE SET"
        " schedule_key = excluded.schedule_key, next_fire_at = excluded.next_fire_at, tzdata = excluded.tzdata,"
        " evaluated_at = greatest(c.evaluated_at, excluded.evaluated_at), as_of = NULL, kept = 0",
        BEGIN + 9 * HOUR,
    )
    async with time.pool.connection() as connection:
        rows = await (await connection.execute("SELECT counted_from, evaluated_at FROM task_clock")).fetchall()
    assert set(rows) == {(BEGIN + 9 * HOUR, BEGIN + 9 * HOUR)}


async def test_what_a_backfill_made_breaks_no_law(time: VirtualTime) -> None:
    await declare_all(time, HOURLY)
    await live(time, 5)
    lines = (
        "INSERT INTO fire (task_id, scheduled_at, outcome, run_id, backfill_id)"
        " SELECT task_id, at, 'Fired', gen_random_uuid(), %s FROM task, unnest(%s::timestamptz[]) at"
    )
    before, pending = BEGIN.replace(second=0) - 3 * DAY, BEGIN.replace(minute=0, second=0) + 6 * HOUR
    await execute(time, lines, uuid4(), [before, before + HOUR, pending])
    assert await counts(time) == dict.fromkeys(POLICIES, (6, 6, 0, 0))
    await time.fire(BEGIN + 7 * HOUR)
    assert {sums[0] for sums in (await counts(time)).values()} == {7}


# ---------------------------------------------------------------- what breaks it


def counted(invariant: Invariant) -> float:
    value = REGISTRY.get_sample_value("ordinaut_invariant_violations_total", {"invariant": invariant.value})
    assert value is not None
    return value


LINE = (
    "INSERT INTO fire (task_id, scheduled_at, outcome, reason)"
    " SELECT task_id, '2026-03-27T15:07Z', 'Skipped', 'NotReady' FROM task WHERE name = 'all'"
)
LOST = (
    "DELETE FROM fire USING task WHERE task.task_id = fire.task_id AND name = 'all'"
    " AND scheduled_at = '2026-03-27T15:00Z'"
)
NEXT = "UPDATE task_clock SET next_fire_at = {} WHERE task_id = (SELECT task_id FROM task WHERE name = 'all')"

DAMAGES: dict[str, tuple[str, Invariant, str]] = {
    "lost": (
        LOST,
        Invariant.UNACCOUNTED_TIME,
        "task default/all: 2026-03-27T15:00:00Z is a nominal time, and the ledger has no line for it",
    ),
    "added": (
        LINE,
        Invariant.INVENTED_TIME,
        "task default/all: 2026-03-27T15:07:00Z is skipped in the ledger, and no schedule names it",
    ),
    "late": (
        NEXT.format("next_fire_at + interval '1 hour'"),
        Invariant.WRONG_NEXT_TIME,
        "task default/all: the clock is set to 2026-03-27T19:00:00Z, and the schedules say 2026-03-27T18:00:00Z",
    ),
    "early": (
        NEXT.format("next_fire_at - interval '7 min'"),
        Invariant.WRONG_NEXT_TIME,
        "task default/all: the clock is set to 2026-03-27T17:53:00Z, and the schedules say 2026-03-27T18:00:00Z",
    ),
    "never": (
        NEXT.format("NULL"),
        Invariant.WRONG_NEXT_TIME,
        "task default/all: the clock is set to no time, and the schedules say 2026-03-27T18:00:00Z",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_what_breaks_the_law_is_counted_once_and_named(time: VirtualTime, damage: str) -> None:
    statement, invariant, words = DAMAGES[damage]
    await declare_all(time, HOURLY)
    await live(time, 5)
    checker = Checker(time.pool)
    assert [await checker.check() for _ in range(3)] == [0, 0, 0]
    before = {one: counted(one) for one in Invariant}

    await execute(time, statement)
    with capture_logs() as logs:
        assert [await checker.check() for _ in range(4)] == [0, 1, 0, 0]

    assert {one: counted(one) - before[one] for one in Invariant} == {one: one is invariant for one in Invariant}
    (told,) = [entry for entry in logs if entry["event"] == "invariant violated"]
    assert (told["invariant"], told["found"]) == (invariant.value, [words])


async def test_a_violation_that_is_mended_in_between_does_not_count(time: VirtualTime) -> None:
    await declare_all(time, HOURLY)
    checker = Checker(time.pool)
    await execute(time, NEXT.format("NULL"))
    assert await checker.check() == 0
    await execute(time, NEXT.format("'2026-03-27T13:00Z'"))
    assert [await checker.check() for _ in range(3)] == [0, 0, 0]


async def test_every_ledger_of_many_is_looked_at_in_turn(time: VirtualTime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordinaut_operator.invariants.LEDGERS", 2)
    await declare_all(time, HOURLY)
    await execute(time, "UPDATE task_clock SET next_fire_at = NULL")
    checker = Checker(time.pool)
    assert [await checker.check() for _ in range(8)] == [0, 2, 0, 2, 0, 1, 0, 0]


async def test_of_very_much_that_is_broken_a_bounded_part_is_told(
    time: VirtualTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordinaut_operator.invariants.LINES", 200)
    await declare_all(time, HOURLY)
    await time.fire(BEGIN + 8 * DAY)
    await execute(time, "UPDATE fire SET scheduled_at = scheduled_at + interval '1 min'")
    checker = Checker(time.pool)
    assert [await checker.check() for _ in range(4)] == [0, 200, 0, 0]


async def test_a_look_reads_its_lines_by_the_key(time: VirtualTime) -> None:
    """However long the ledgers are."""
    await declare_all(time, HOURLY)
    await execute(
        time,
        "INSERT INTO fire (task_id, scheduled_at, outcome, reason)"
        " SELECT task_id, %s + i * interval '1 min', 'Skipped', 'NotReady' FROM task, generate_series(1, 4000) i",
        BEGIN,
    )
    await execute(time, "ANALYZE fire")
    async with time.pool.connection() as connection:
        tasks = await ledger.clocks_after(connection, 0, limit=10)
        for after in (None, BEGIN + DAY):
            explained = await connection.execute(
                b"EXPLAIN (ANALYZE, FORMAT JSON) " + SQL["ledger_accounts"].encode(),
                {"task_ids": tasks, "lines": 10, "after": after},
            )
            (((plan,),),) = [await explained.fetchall()]
            assert 0 < lines_read(plan[0]["Plan"]) <= 10 * len(POLICIES) + len(POLICIES)


def lines_read(node: dict[str, Any]) -> float:
    """Return how many rows of `fire` a plan has read, with those that it left out."""
    read = 0.0
    if node.get("Relation Name") == "fire":
        left_out = sum(value for name, value in node.items() if name.startswith("Rows Removed by"))
        read = (node["Actual Rows"] + left_out) * node["Actual Loops"]
    return read + sum(map(lines_read, node.get("Plans", ())))


def test_the_pages_name_every_invariant() -> None:
    docs = Path(__file__).parents[3] / "docs"
    for page in (docs / "metrics.md", docs / "runbooks" / "OrdinautInvariantViolated.md"):
        text = page.read_text(encoding="utf-8")
        assert [one for one in Invariant if f"| `{one}` |" not in text] == []

"""
A process that starts with newer time zone data: future times move, are counted, and nothing fires twice or never.

The older process is a real one that has an older copy of the data; the times before and after are those of the oracle.
"""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from ordinaut.schedule import tzdata_version
from ordinaut_operator import janitor
from tests import lawful, oldzones
from tests.declaring import declare, task
from tests.unit.schedule.test_oracle import MOVED
from tests.virtualtime import Life, VirtualTime, open_virtual

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
ZONES = sorted({case["tz"] for case in MOVED})


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an older copy of the data."""
    return oldzones.older_copy(tmp_path_factory.mktemp("older"))


async def live_before(older: Path, life: Life) -> None:
    """Let a process with the older data declare and fire."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.virtualtime"),
        env=oldzones.environment(older),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    answer, errors = await process.communicate(life.model_dump_json().encode())
    assert answer.decode().strip() == oldzones.VERSION, errors.decode()


def instants(texts: list[str]) -> list[datetime]:
    return [datetime.fromisoformat(text) for text in texts]


def times_of(case: dict[str, Any]) -> tuple[list[datetime], list[datetime]]:
    """Return a case's times by the older data and by the pinned ones."""
    return instants(case["expected_utc_with_tzdata_2025b"]), instants(case["expected_utc"])


def document(case: dict[str, Any], **more: Any) -> dict[str, Any]:
    kind = {"cron": case["expr"]} if case["kind"] == "cron" else {"rrule": case["expr"], "dtstart": case["dtstart"]}
    catch_up = {"catchUp": {"policy": "All"}}
    return task(case["id"], LOG, schedules=[{**kind, "timeZone": case["tz"]}], **catch_up, **more)


def moved_tasks() -> float:
    return REGISTRY.get_sample_value("ordinaut_tzdata_moved_tasks_total") or 0.0


async def rows(time: VirtualTime, query: str) -> list[tuple[Any, ...]]:
    async with time.pool.connection() as connection:
        return await (await connection.execute(query.encode())).fetchall()


async def fired(time: VirtualTime) -> dict[str, list[datetime]]:
    """Return each task's ledger, every line of which must have its run."""
    found: dict[str, list[datetime]] = {}
    query = (
        "SELECT name, f.scheduled_at, r.scheduled_at"
        " FROM fire f JOIN task USING (task_id) LEFT JOIN run r USING (run_id) ORDER BY 1, 2"
    )
    for name, at, run_at in await rows(time, query):
        assert run_at == at
        found.setdefault(name, []).append(at)
    return found


@pytest.mark.parametrize("zone", ZONES)
async def test_future_times_move_and_nothing_else(database: str, older: Path, zone: str) -> None:
    cases = [case for case in MOVED if case["tz"] == zone]
    begin = max(datetime.fromisoformat(case["after"]) for case in cases)
    common = max(
        max(
            a
            for a, b in zip(*times_of(case), strict=True)
            if a == b and a < min({*times_of(case)[0]} ^ {*times_of(case)[1]})
        )
        for case in cases
    )
    change = common + SECOND
    still = {"timeZone": "UTC", "cron": "0 0 1 1 *"}
    others = [
        task("unmoved", LOG, schedules=[still]),
        task("asleep", LOG, schedules=[{"cron": "*/30 * * * *", "timeZone": zone}], suspend=True),
        task("interval", LOG, schedules=[{"interval": "1000h"}]),
    ]
    await live_before(
        older,
        Life(url=database, documents=[*map(document, cases), *others], moments=[begin, change]),
    )

    async with open_virtual(database, now=change) as time:
        made = {case["id"]: [at for at in times_of(case)[0] if at <= change] for case in cases}
        assert await fired(time) == made
        work = await rows(time, "SELECT * FROM live_work ORDER BY run_id")
        runs = await rows(time, "SELECT run_id, scheduled_at, phase FROM run ORDER BY run_id")
        assert len(work) == sum(map(len, made.values()))
        assert {row[0] for row in await rows(time, "SELECT tzdata FROM task_clock")} == {oldzones.VERSION}
        before = moved_tasks()

        nominal = {case["id"]: min(at for at in times_of(case)[0] if at > change) for case in cases}
        clocks = "SELECT name, next_fire_at FROM task JOIN task_clock USING (task_id)"
        was = dict(await rows(time, clocks))
        assert {name: was[name] for name in nominal} == nominal
        differ = {
            case["id"] for case in cases if min(at for at in times_of(case)[1] if at > change) != nominal[case["id"]]
        }
        assert differ

        assert await janitor.recompute_times(time.pool) == len(differ)
        assert moved_tasks() - before == len(differ)
        assert await janitor.recompute_times(time.pool) == 0

        await lawful.assert_law(time.pool)
        now = dict(await rows(time, clocks))
        assert {name for name in now if now[name] != was[name]} == differ
        assert {row[0] for row in await rows(time, "SELECT tzdata FROM task_clock")} == {tzdata_version()}
        # What is in the queue stays as it is.
        assert await rows(time, "SELECT * FROM live_work ORDER BY run_id") == work
        assert await rows(time, "SELECT run_id, scheduled_at, phase FROM run ORDER BY run_id") == runs

        last = max(at for case in cases for at in times_of(case)[1])
        for hours in range(int((last - change) / HOUR) + 2):
            await time.fire(change + hours * HOUR)
        await lawful.assert_law(time.pool)
        found = await fired(time)
        for case in cases:
            right = made[case["id"]] + [at for at in times_of(case)[1] if at > change]
            assert found[case["id"]][: len(right)] == right


@pytest.mark.parametrize("recomputed", [True, False])
async def test_a_time_that_moved_into_the_past_is_caught_up_once(database: str, older: Path, recomputed: bool) -> None:
    """The clock may fire before the times are computed anew: it lives by the new data at once."""
    (case,) = [case for case in MOVED if case["tz"] == "America/Vancouver"]
    old, new = times_of(case)
    begin, between = datetime.fromisoformat(case["after"]), new[1] + HOUR / 2
    assert new[1] < between < old[1]
    await live_before(older, Life(url=database, documents=[document(case)], moments=[begin, old[0] + SECOND]))

    async with open_virtual(database, now=between) as time:
        assert await fired(time) == {case["id"]: old[:1]}
        if recomputed:
            assert await janitor.recompute_times(time.pool) == 1
            assert (await time.fire(between)).fired == 1
        for hours in range(1, 49):
            await time.fire(between + hours * HOUR)
        await janitor.recompute_times(time.pool)
        await lawful.assert_law(time.pool)
        assert (await fired(time))[case["id"]][:3] == new[:3]


async def test_new_data_leave_a_backlog_to_be_worked_off_as_it_was_found(database: str, older: Path) -> None:
    """An edit, a backlog and new data at once: each nominal time has one line."""
    zone = "Africa/Casablanca"
    begin = datetime(2026, 9, 1, tzinfo=UTC)
    documents = [task("t", LOG, schedules=[{"cron": "0 */6 * * *", "timeZone": zone}], catchUp={"policy": "Latest"})]
    await live_before(older, Life(url=database, documents=documents, moments=[begin]))
    async with open_virtual(database, now=begin + 30 * DAY) as time:
        await janitor.recompute_times(time.pool)
        await time.fire(begin + 30 * DAY)
        await declare(time.pool, *documents)
        lines = await rows(time, "SELECT scheduled_at, outcome FROM fire ORDER BY 1")
        # Four a day, at +01:00 until 20 September and at +00:00 afterwards: the change costs no time and doubles none.
        assert len(lines) == 120
        assert [outcome for _, outcome in lines] == ["Skipped"] * 119 + ["Fired"]

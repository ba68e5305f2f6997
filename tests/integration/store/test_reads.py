"""What is read for statuses and the API: tasks, pipelines, tools, runs, the ledger."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg
import pytest

from ordinaut.declaration.apply import remove
from ordinaut.states import Origin, RunPhase, StepPhase, Trigger
from ordinaut.store import clock, declared, runs, status, work
from ordinaut.store.clock import Fire
from ordinaut.store.ids import new_run_id
from ordinaut.store.pool import Connection, Pool, open_pool
from ordinaut.store.settle import RunResult, Settlement, StepResult, settle
from ordinaut.store.status import TaskRow
from ordinaut.store.work import LeasedWork
from tests.declaring import cancel, declare, manifest, pipeline, run_now, task, tool
from tests.integration.rows import make_runs, make_task

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
LONG = timedelta(minutes=5)


async def lease(connection: Connection, *, limit: int = 1) -> list[LeasedWork]:
    return await work.lease(connection, worker="w", limit=limit, ttl=LONG)


async def end(connection: Connection, leased: LeasedWork, phase: RunPhase, *steps: StepResult) -> None:
    """Settle one run of a lease for good."""
    await settle(connection, [Settlement(leased, steps=steps, run=RunResult(phase))], done=[])


async def task_row(connection: Connection, name: str) -> TaskRow:
    return await status.task_named(connection, namespace="default", name=name)


async def test_a_task_row_tells_its_clock_and_its_runs(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[{"cron": "* * * * *"}]))
    async with pool.connection() as connection:
        fresh = await task_row(connection, "t")
        assert (fresh.ready, fresh.active, fresh.run_id, fresh.last_success_at) == (True, 0, None, None)
        assert fresh.next_fire_at is not None
        assert fresh.evaluated_at is not None
        assert fresh.next_fire_at > fresh.evaluated_at
        assert fresh.last_schedule_at is None

        older, newer, newest = [await run_now(pool, namespace="default", name="t") for _ in range(3)]
        for phase in (RunPhase.SUCCEEDED, RunPhase.FAILED):
            await end(connection, (await lease(connection))[0], phase)
        at = fresh.now.replace(microsecond=0)
        await clock.record(connection, [Fire(fresh.task_id, at, run_id=older)])
        row = await task_row(connection, "t")
        assert (row.run_id, row.run_phase, row.run_trigger, row.active) == (newest, "Pending", "manual", 1)
        assert row.last_schedule_at == at
        succeeded = await runs.get(connection, namespace="default", run_id=older)
        assert succeeded is not None
        assert row.last_success_at == succeeded.finished_at

        (leased,) = await lease(connection)
        row = await task_row(connection, "t")
        assert (row.run_phase, row.run_started_at, row.active) == ("Running", leased.leased_at, 1)

        await end(connection, leased, RunPhase.TIMED_OUT)
        row = await task_row(connection, "t")
        assert (row.run_phase, row.active) == ("TimedOut", 0)
        assert row.run_finished_at is not None
        assert newer != newest


async def test_tasks_are_listed_by_name_and_page(pool: Pool) -> None:
    await declare(pool, *(task(name, LOG) for name in ("b", "d", "a", "c")))
    await declare(pool, manifest("Task", "b", {"pipeline": {"steps": [LOG]}}, namespace="other"))
    async with pool.connection() as connection:
        first = await status.list_tasks(connection, namespace="default", limit=3)
        rest = await status.list_tasks(connection, namespace="default", limit=3, after="c")

        assert [row.name for row in first] == ["a", "b", "c"]
        assert [row.name for row in rest] == ["d"]
        assert await status.task_named(connection, namespace="default", name="e") is None


async def test_a_deleted_task_is_gone_from_lists_and_stays_in_its_history(pool: Pool) -> None:
    await declare(pool, task("t", LOG))
    run_id = await run_now(pool, namespace="default", name="t")
    async with pool.connection() as connection:
        gone = await declared.incarnations(connection, origin=Origin.API)
        await remove(pool, gone, origin=Origin.API)

        assert await status.list_tasks(connection, namespace="default", limit=9) == []
        assert await status.task_ids(connection, origin=Origin.API) == []
        (run,) = await runs.list_(connection, namespace="default", limit=9, task="t")
        assert (run.run_id, run.task) == (run_id, "t")


async def test_runs_are_listed_newest_first_and_page(pool: Pool) -> None:
    async with pool.connection() as connection:
        made = await make_runs(connection, await make_task(connection), 5)

        first = await runs.list_(connection, namespace="default", limit=3)
        rest = await runs.list_(connection, namespace="default", limit=3, before=first[-1].run_id)

        assert [run.run_id for run in first + rest] == made[::-1]
        assert await runs.list_(connection, namespace="other", limit=3) == []


async def listed(connection: Connection, **filters: Any) -> list[UUID]:
    return [run.run_id for run in await runs.list_(connection, namespace="default", limit=99, **filters)][::-1]


async def test_runs_are_found_by_task_phase_and_trigger(pool: Pool) -> None:
    async with pool.connection() as connection:
        one, two = await make_task(connection, "one"), await make_task(connection, "two")
        ended, running, pending = await make_runs(connection, one, 3)
        now = await clock.now(connection)
        scheduled = runs.NewRun(new_run_id(now), "default", two, b"\x01" * 32, 5, {}, scheduled_at=now)
        await runs.create(connection, [scheduled], trigger=Trigger.SCHEDULE)
        first, _ = await lease(connection, limit=2)
        await end(connection, first, RunPhase.SUCCEEDED)

        assert await listed(connection, task="one") == [ended, running, pending]
        assert await listed(connection, task="two") == [scheduled.run_id]
        assert await listed(connection, task="three") == []
        assert await listed(connection, phase="Succeeded") == [ended]
        assert await listed(connection, phase="Running") == [running]
        assert await listed(connection, phase="Pending") == [pending, scheduled.run_id]
        assert await listed(connection, trigger="schedule") == [scheduled.run_id]
        assert await listed(connection, trigger="manual", phase="Pending", task="one") == [pending]


async def test_a_run_is_read_in_its_own_namespace_only(pool: Pool) -> None:
    async with pool.connection() as connection:
        (run_id,) = await make_runs(connection, await make_task(connection))

        found = await runs.get(connection, namespace="default", run_id=run_id)
        assert found is not None
        assert (found.phase, found.worker, found.started_at, found.finished_at) == ("Pending", None, None, None)
        assert await runs.get(connection, namespace="other", run_id=run_id) is None
        assert await runs.get(connection, namespace="default", run_id=new_run_id(datetime.now(UTC))) is None


async def test_a_run_that_was_cancelled_while_running_is_not_shown_as_running(pool: Pool) -> None:
    async with pool.connection() as connection:
        (run_id,) = await make_runs(connection, await make_task(connection))
        (leased,) = await lease(connection)
        await cancel(pool, namespace="default", run_id=run_id)

        found = await runs.get(connection, namespace="default", run_id=run_id)
        assert found is not None
        assert (found.phase, found.started_at) == ("Cancelled", leased.leased_at)
        assert await listed(connection, phase="Running") == []


async def test_steps_are_listed_in_their_order(pool: Pool) -> None:
    now = monotonic()

    def step(seq: int, phase: StepPhase, output: bytes | None = None) -> StepResult:
        return StepResult(seq, f"s{seq}", phase, 1, started=now, finished=now, output=output)

    async with pool.connection() as connection:
        (run_id,) = await make_runs(connection, await make_task(connection))
        (leased,) = await lease(connection)
        good = step(0, StepPhase.SUCCEEDED, b'{"n":[1,null]}')
        await end(connection, leased, RunPhase.FAILED, step(2, StepPhase.FAILED), good, step(1, StepPhase.SKIPPED))

        assert [(one.step_id, one.phase, one.output) for one in await runs.steps(connection, run_id=run_id)] == [
            ("s0", "Succeeded", {"n": [1, None]}),
            ("s1", "Skipped", None),
            ("s2", "Failed", None),
        ]


async def test_the_ledger_is_read_newest_first_before_a_time(pool: Pool) -> None:
    async with pool.connection() as connection:
        task_id = await make_task(connection)
        times = [datetime(2026, 3, 1, hour, tzinfo=UTC) for hour in range(5)]
        run_id = new_run_id(times[0])
        assert await clock.record(connection, [Fire(task_id, at, run_id=run_id) for at in times[:3]]) == set()
        known = await clock.record(connection, [Fire(task_id, at, run_id=run_id) for at in times])
        assert known == {(task_id, at) for at in times[:3]}

        first = await status.fires(connection, namespace="default", name="task", limit=3)
        rest = await status.fires(connection, namespace="default", name="task", limit=3, before=first[-1].scheduled_at)

        assert [fire.scheduled_at for fire in first + rest] == times[::-1]


async def test_pipelines_name_the_tools_that_they_lack(pool: Pool) -> None:
    await declare(
        pool,
        tool("there", "http://127.0.0.1:9"),
        pipeline("whole", {"id": "a", "uses": "there"}),
        pipeline("lacking", *({"id": name, "uses": name} for name in ("there", "gone", "away"))),
    )
    async with pool.connection() as connection:
        found = {row.name: row.missing_tools for row in await status.pipelines(connection, origin=Origin.API)}
        tools = [row.name for row in await status.tools(connection, origin=Origin.API)]

        assert found == {"whole": None, "lacking": "away, gone"}
        assert tools == ["there"]
        assert await status.pipelines(connection, origin=Origin.KUBERNETES) == []
        listed_ = await status.list_declared(connection, "Pipeline", namespace="default", limit=1, after="lacking")
        assert [row.name for row in listed_] == ["whole"]
        (only,) = await status.list_declared(connection, "Tool", namespace="default", limit=9, name="there")
        assert only.spec["http"]["url"] == "http://127.0.0.1:9/there"


@pytest.fixture
def listening(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("LISTEN ordinaut_status")
        yield connection


@pytest.mark.parametrize(("tasks", "payload"), [([7, 3, 7], "3,7"), (list(range(10_000)), "")])
async def test_changed_tasks_are_named_while_they_fit_a_notification(
    pool: Pool, listening: psycopg.Connection[Any], tasks: list[int], payload: str
) -> None:
    async with pool.connection() as connection:
        await status.notify(connection, tasks)

    (heard,) = listening.notifies(timeout=20, stop_after=1)
    assert heard.payload == payload


async def rows_read_in_passing(connection: Connection) -> int:
    """Return how many rows of runs and steps were read by going through whole partitions so far."""
    await connection.execute("SELECT pg_stat_force_next_flush()")
    row = await (
        await connection.execute(
            "SELECT coalesce(sum(seq_tup_read), 0)::int FROM pg_stat_user_tables WHERE relname ~ '^(run|step)_'"
        )
    ).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("process", ["operator", "worker"])
async def test_firing_leasing_and_settling_do_not_read_the_history(pool: Pool, database: str, process: str) -> None:
    await declare(pool, *(task(f"t{n}", LOG, schedules=[{"cron": "* * * * *"}]) for n in range(20)))
    work_once = claim_and_advance if process == "operator" else lease_and_settle
    async with (
        open_pool(
            database, application="test", size=1, by_key=process == "worker", planned_once=process == "worker"
        ) as single,
        single.connection() as connection,
        pool.connection() as elsewhere,
    ):
        task_id = (await status.task_ids(connection, origin=Origin.API))[0]
        if process == "operator":
            await declare(pool, task("alone", LOG, concurrencyPolicy="Forbid"))
            await run_now(pool, namespace="default", name="alone")
        # As often as it takes for the server to keep a plan, while there is next to nothing.
        for _ in range(8):
            if process == "worker":
                await make_runs(elsewhere, task_id, 20)
            await work_once(connection)
        for _ in range(4):
            await make_runs(elsewhere, task_id, 1000)
        before = await rows_read_in_passing(connection)

        for _ in range(10):
            await work_once(connection)

        assert await rows_read_in_passing(connection) - before < 1000


async def lease_and_settle(connection: Connection) -> None:
    """Lease some runs and commit their results, as a worker does."""
    now = monotonic()
    step = StepResult(0, "a", StepPhase.SUCCEEDED, 1, started=now, finished=now, output=b"1")
    leased = await lease(connection, limit=20)
    settled = [Settlement(one, steps=[step], run=RunResult(RunPhase.SUCCEEDED)) for one in leased]
    assert len(await settle(connection, settled, done=[leased[0].lease_id])) == 20


async def claim_and_advance(connection: Connection) -> None:
    """Make all tasks with schedules due, claim them and move their clocks on, as firing does."""
    await connection.execute("UPDATE task_clock SET next_fire_at = now() WHERE next_fire_at IS NOT NULL")
    async with connection.transaction():
        claimed = await clock.claim_due(connection, limit=500)
        advances = [clock.Advance(one.task_id, one.now, None, 0, one.now + LONG) for one in claimed]
        await clock.advance(connection, advances, tzdata="x")
    assert len(claimed) == 20

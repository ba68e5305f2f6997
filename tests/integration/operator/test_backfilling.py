"""Backfills: every missing fire of a window gets its run, none twice, a few at a time and behind everything else."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from ordinaut.access.caller import Authority, Caller
from ordinaut.declaration import backfill as backfills
from ordinaut.declaration.apply import remove
from ordinaut.errors import Conflict, Invalid, NotFound
from ordinaut.states import BackfillPhase, Origin, RunPhase, Trigger
from ordinaut.store import backfill, declared, runs, work
from ordinaut.store.backfill import Backfill
from ordinaut.store.pool import Pool
from ordinaut.store.runs import Run
from ordinaut.store.settle import RunResult, Settlement, settle
from ordinaut_operator import backfilling, fire, janitor
from ordinaut_operator.backfilling import Backfilling
from ordinaut_operator.rights import Rights
from tests.declaring import declare, pause, pipeline, resume, run_now, task
from tests.integration.operator.test_fire import LOG, ledger, rewind

pytestmark = pytest.mark.integration

HOURLY = {"cron": "0 * * * *"}
HOUR = timedelta(hours=1)
LAST = datetime(2026, 3, 1, 12, tzinfo=UTC)
"""Some hour in the past."""


def hour(ago: int) -> datetime:
    """Return the hour so many hours before the last one."""
    return LAST - ago * HOUR


def hours(first: int, last: int) -> list[datetime]:
    """Return whole hours, both ends included, oldest first."""
    return [hour(ago) for ago in range(first, last - 1, -1)]


async def declared_task(pool: Pool, name: str = "t", **spec: Any) -> None:
    await declare(pool, task(name, LOG, **{"schedules": [HOURLY], **spec}))


async def planned(pool: Pool, since: datetime, until: datetime | None = None, *, name: str = "t") -> backfills.Plan:
    async with pool.connection() as connection:
        return await backfills.plan(connection, namespace="default", name=name, since=since, until=until)


async def start(
    pool: Pool, since: datetime, until: datetime | None = None, *, name: str = "t", max_active: int = 100
) -> UUID:
    """Ask for a backfill in a transaction of its own; returns its key."""
    async with pool.connection() as connection, connection.transaction():
        plan = await backfills.plan(connection, namespace="default", name=name, since=since, until=until)
        return await backfills.start(connection, plan, max_active=max_active, by="me")


async def cancel(pool: Pool, backfill_id: UUID) -> None:
    async with pool.connection() as connection, connection.transaction():
        await backfills.cancel(connection, namespace="default", backfill_id=backfill_id)


async def shown(pool: Pool, backfill_id: UUID) -> Backfill:
    async with pool.connection() as connection:
        found = await backfill.get(connection, namespace="default", backfill_id=backfill_id)
    assert found is not None
    return found


async def made(pool: Pool) -> list[Run]:
    """Return the runs of backfills, in the order in which they were made."""
    async with pool.connection() as connection:
        found = await runs.list_(connection, namespace="default", limit=20_000, trigger=Trigger.BACKFILL)
    return found[::-1]


async def over(pool: Pool, *, limit: int = 1000) -> list[UUID]:
    """Let a worker end what is in the queue; returns the runs in the order in which it got them."""
    async with pool.connection() as connection:
        leased = await work.lease(connection, worker="w", limit=limit, ttl=HOUR)
        results = [Settlement(one, run=RunResult(RunPhase.SUCCEEDED, output=b"{}")) for one in leased]
        if results:
            await settle(connection, results, done=sorted({one.lease_id for one in leased}))
    return [one.run_id for one in leased]


async def violations(pool: Pool) -> list[object]:
    """Return what of the ledger has no run of its own, or the other way around."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT f.scheduled_at, r.run_id FROM fire f"
            " FULL JOIN (SELECT * FROM run WHERE trigger IN ('schedule', 'backfill')) r"
            " ON r.run_id = f.run_id AND r.task_id = f.task_id AND r.scheduled_at = f.scheduled_at"
            " WHERE (f.outcome = 'Fired') IS DISTINCT FROM (r.run_id IS NOT NULL)"
        )
        return await cursor.fetchall()


@pytest.fixture(autouse=True)
async def _ledger_and_runs_agree(pool: Pool) -> AsyncIterator[None]:
    yield
    assert await violations(pool) == []


async def test_a_window_before_the_task_existed_is_made_up_for(pool: Pool) -> None:
    await declared_task(pool)
    made_up = await start(pool, hour(9), hour(5))

    assert await Backfilling(pool).advance() == 5

    found = await made(pool)
    assert [run.scheduled_at for run in found] == hours(9, 5), "the oldest first, both ends included"
    assert {(run.priority, run.trigger, run.phase) for run in found} == {(0, "backfill", "Pending")}
    lines = await ledger(pool, "t")
    assert [(line.scheduled_at, line.outcome, line.reason, line.run_id, line.backfill_id) for line in lines] == [
        (run.scheduled_at, "Fired", None, run.run_id, made_up) for run in found
    ]
    async with pool.connection() as connection:
        (told,) = await (
            await connection.execute("SELECT events FROM outbox WHERE events::text LIKE '%run.created%'")
        ).fetchall()
    assert [event["data"] for event in told[0]] == [
        {"trigger": "backfill", "scheduledTime": f"{run.scheduled_at:%Y-%m-%dT%H:%M:%SZ}", "backfill": str(made_up)}
        for run in found
        if run.scheduled_at
    ]
    row = await shown(pool, made_up)
    assert (row.reason, row.times, row.missing, row.made, row.active) == ("Completed", 5, 5, 5, 5)
    assert await Backfilling(pool).advance() == 0
    await over(pool)
    assert (await shown(pool, made_up)).active == 0


async def test_what_was_skipped_fires_after_all_and_what_has_fired_does_not_fire_again(pool: Pool) -> None:
    await declared_task(pool)
    await rewind(pool, "t", 6 * HOUR)
    await fire.fire_due(pool)
    before = {line.scheduled_at: line for line in await ledger(pool, "t")}
    assert sorted(line.outcome for line in before.values()) == ["Fired"] + ["Skipped"] * (len(before) - 1)

    first, last = min(before) - 2 * HOUR, max(before)
    made_up = await start(pool, first, last)
    await Backfilling(pool).advance()

    after = await ledger(pool, "t")
    assert [line.scheduled_at for line in after] == [first + n * HOUR for n in range(len(before) + 2)]
    assert {(line.outcome, line.reason) for line in after} == {("Fired", None)}
    (newest,) = [line for line in before.values() if line.outcome == "Fired"]
    assert [line for line in after if line.backfill_id is None] == [newest], "the one that had fired is left alone"
    row = await shown(pool, made_up)
    assert (row.times, row.missing, row.made) == (len(after), len(after) - 1, len(after) - 1)


async def test_never_more_runs_are_under_way_than_were_asked_for(pool: Pool) -> None:
    await declared_task(pool)
    made_up = await start(pool, hour(20), hour(11), max_active=3)
    operator, seen = Backfilling(pool), []
    while (row := await shown(pool, made_up)).finished_at is None or row.active:
        await operator.advance()
        await operator.advance()
        seen.append((await shown(pool, made_up)).active)
        await over(pool, limit=2)

    assert max(seen) == 3
    assert len(await made(pool)) == 10
    assert (await shown(pool, made_up)).reason == "Completed"


async def test_two_operators_and_overlapping_backfills_fire_each_time_once(pool: Pool) -> None:
    await declared_task(pool)
    keys = [await start(pool, hour(400), hour(100)), await start(pool, hour(300), hour(2))]

    counted: list[int] = []
    async with asyncio.timeout(30):
        while sum(counted) < 399:
            counted += await asyncio.gather(*(Backfilling(pool).advance() for _ in range(4)))
            await over(pool)

    found = await made(pool)
    assert sorted(run.scheduled_at for run in found if run.scheduled_at) == hours(400, 2)
    assert sum(counted) == len(found) == 399
    rows = [await shown(pool, key) for key in keys]
    assert sum(row.made for row in rows) == 399


async def test_a_crash_in_the_middle_makes_nothing_twice_and_forgets_nothing(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await declared_task(pool)
    made_up = await start(pool, hour(9), hour(0))

    async def crash(*_: object, **__: object) -> None:
        raise RuntimeError("the power is gone")

    with monkeypatch.context() as patched:
        patched.setattr(backfilling.events, "add", crash)
        with pytest.raises(RuntimeError):
            await Backfilling(pool).advance()
    assert (await made(pool), await ledger(pool, "t")) == ([], [])

    assert await Backfilling(pool).advance() == 10
    assert (await shown(pool, made_up)).made == 10


async def test_the_ledger_is_the_second_lock(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    await declared_task(pool)
    keys = [await start(pool, hour(9), hour(0)), await start(pool, hour(12), hour(5))]

    async def nothing(*_: object, **__: object) -> set[datetime]:
        return set()

    with monkeypatch.context() as patched:
        patched.setattr(backfilling.backfill, "fired", nothing)
        assert await Backfilling(pool).advance() == 13

    assert [run.scheduled_at for run in await made(pool)] == [*hours(9, 0), *hours(12, 10)]
    assert [(await shown(pool, key)).made for key in keys] == [10, 3]


async def test_a_backfill_until_now_and_the_clock_fire_each_time_once(pool: Pool) -> None:
    """What the clock has not decided yet is the clock's."""
    await declare(pool, task("t", LOG, schedules=[{"cron": "* * * * *"}], catchUp={"policy": "All"}))
    await rewind(pool, "t", timedelta(minutes=30))

    plan = await planned(pool, datetime.now(UTC) - timedelta(hours=1))
    await start(pool, plan.since)
    await asyncio.gather(Backfilling(pool).advance(), fire.fire_due(pool))
    await fire.fire_due(pool)
    await Backfilling(pool).advance()

    assert plan.message is not None
    assert "still for the task's clock to decide" in plan.message
    assert plan.until < datetime.now(UTC) - timedelta(minutes=29)
    lines = await ledger(pool, "t")
    assert {line.outcome for line in lines} == {"Fired"}
    assert {line.backfill_id is None for line in lines if line.scheduled_at > plan.until} == {True}
    assert {line.backfill_id is None for line in lines if line.scheduled_at <= plan.until} == {False}


async def test_scheduled_work_goes_first(pool: Pool) -> None:
    await declared_task(pool)
    await declare(pool, task("humble", LOG, schedules=[HOURLY], priority=1))
    await start(pool, hour(9), hour(0))
    await Backfilling(pool).advance()
    await rewind(pool, "humble", 2 * HOUR)
    await fire.fire_due(pool)

    order = await over(pool)

    async with pool.connection() as connection:
        (scheduled,) = await runs.list_(connection, namespace="default", limit=9, task="humble")
    assert order[0] == scheduled.run_id
    assert order[1:] == [run.run_id for run in await made(pool)]


@pytest.mark.parametrize("policy", ["Forbid", "Replace", "Queue"])
async def test_a_task_that_allows_one_run_gets_one_after_the_other(pool: Pool, policy: str) -> None:
    await declared_task(pool, concurrencyPolicy=policy)
    by_hand = await run_now(pool, namespace="default", name="t")
    made_up = await start(pool, hour(3), hour(0))
    operator = Backfilling(pool)

    assert [await operator.advance() for _ in range(2)] == [0, 0], "it replaces nothing, skips nothing, and waits"
    assert (await shown(pool, made_up)).waiting == "StillRunning"
    assert await over(pool) == [by_hand]
    for count in (1, 2, 3, 4):
        assert [await operator.advance(), await operator.advance()] == [1, 0]
        assert (await shown(pool, made_up)).waiting is None
        assert len(await over(pool)) == 1
        assert len(await made(pool)) == count

    assert {run.phase for run in await made(pool)} == {"Succeeded"}
    assert (await shown(pool, made_up)).reason == "Completed"


async def test_a_task_that_is_not_ready_is_waited_for(pool: Pool) -> None:
    await declare(pool, task("t", pipelineRef={"name": "later"}, schedules=[HOURLY]))
    made_up = await start(pool, hour(1), hour(0))
    operator = Backfilling(pool)

    assert await operator.advance() == 0
    row = await shown(pool, made_up)
    assert (row.waiting, row.task_reason) == ("NotReady", "PipelineNotFound")
    assert await ledger(pool, "t") == []
    async with pool.connection() as connection:
        assert await backfill.pending(connection, limit=9) == [], "nobody looks at it until something changes"

    await declare(pool, pipeline("later", LOG))
    assert await operator.advance() == 2
    assert (await shown(pool, made_up)).waiting is None


async def test_a_task_whose_creator_may_not_run_it_is_waited_for(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[HOURLY]), by=Caller(Authority.TOKENS, "agent"))
    made_up = await start(pool, hour(1), hour(0))

    async def review(_caller: Caller, _namespace: str) -> bool:
        raise AssertionError("nobody is asked")

    asked = Rights([Authority.TOKENS, Authority.KUBERNETES], review=review)
    assert await Backfilling(pool, rights=asked).advance() == 0
    assert (await shown(pool, made_up)).waiting == "Unauthorized"
    assert await Backfilling(pool, rights=Rights()).advance() == 2
    assert (await shown(pool, made_up)).waiting is None


async def test_a_creator_who_is_not_known_yet_is_neither_trusted_nor_blamed(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[HOURLY]), by=Caller(Authority.KUBERNETES, "agent"))
    made_up = await start(pool, hour(1), hour(0))

    async def review(_caller: Caller, _namespace: str) -> bool:
        return True

    rights = Rights([Authority.KUBERNETES], review=review)
    operator = Backfilling(pool, rights=rights)
    assert await operator.advance() == 0
    assert (await shown(pool, made_up)).waiting is None
    answered = asyncio.Event()
    asking = asyncio.create_task(rights.run(answered=answered.set))
    await asyncio.wait_for(answered.wait(), 10)
    asking.cancel()
    assert await operator.advance() == 2


async def test_a_backfill_that_fails_holds_up_no_other(pool: Pool) -> None:
    await declared_task(pool, "broken")
    await declared_task(pool, "t")
    await start(pool, hour(1), hour(0), name="broken")
    await start(pool, hour(1), hour(0))
    async with pool.connection() as connection:
        await connection.execute("UPDATE task SET spec = jsonb_set(spec, '{schedules}', '7') WHERE name = 'broken'")

    with pytest.raises(TypeError):
        await Backfilling(pool).advance()

    assert {run.task for run in await made(pool)} == {"t"}


@pytest.mark.parametrize("spec", [{"suspend": True}, {}])
async def test_a_task_at_rest_is_made_up_for_all_the_same(pool: Pool, spec: dict[str, Any]) -> None:
    await declared_task(pool, **spec)
    if not spec:
        await pause(pool, "t")
    async with pool.connection() as connection:
        await connection.execute("UPDATE task_clock SET evaluated_at = now() - interval '5 h'")

    since = datetime.now(UTC) - 8 * HOUR
    await start(pool, since)

    count = await Backfilling(pool).advance()
    assert count in (8, 9), "also those since it rests, which nobody else will fire"
    await (declared_task(pool) if spec else resume(pool, "t"))
    await fire.fire_due(pool)
    lines = await ledger(pool, "t")
    assert len([line for line in lines if line.backfill_id]) == count
    assert [line for line in lines if line.outcome == "Skipped"] == []


async def test_edited_schedules_end_a_backfill_and_other_edits_do_not(pool: Pool) -> None:
    await declared_task(pool)
    made_up = await start(pool, hour(9), hour(0), max_active=2)
    await Backfilling(pool).advance()
    await declared_task(pool, priority=7)
    await over(pool)
    await Backfilling(pool).advance()
    assert (await shown(pool, made_up)).finished_at is None

    await declared_task(pool, schedules=[{"cron": "30 * * * *"}])
    await over(pool)
    await Backfilling(pool).advance()

    row = await shown(pool, made_up)
    assert (row.reason, row.made) == ("ScheduleChanged", 4)
    assert len(await ledger(pool, "t")) == 4


async def test_a_deleted_task_ends_its_backfills(pool: Pool) -> None:
    await declared_task(pool)
    made_up = await start(pool, hour(9), hour(0), max_active=1)
    await Backfilling(pool).advance()
    async with pool.connection() as connection:
        gone = [one for one in await declared.incarnations(connection, origin=Origin.API) if one.key.name == "t"]
    await remove(pool, gone, origin=Origin.API)
    await Backfilling(pool).advance()

    row = await shown(pool, made_up)
    assert (row.reason, row.made, row.active) == ("TaskDeleted", 1, 0)


async def test_a_cancelled_backfill_makes_no_more_runs_and_leaves_those_under_way(pool: Pool) -> None:
    await declared_task(pool)
    made_up = await start(pool, hour(9), hour(0), max_active=2)
    await Backfilling(pool).advance()
    await cancel(pool, made_up)
    with pytest.raises(Conflict, match=f"backfill {made_up} is over already: Cancelled"):
        await cancel(pool, made_up)
    with pytest.raises(NotFound):
        await cancel(pool, UUID(int=7))

    row = await shown(pool, made_up)
    assert (row.reason, row.made, row.active) == ("Cancelled", 2, 2)
    assert len(await over(pool)) == 2
    assert await Backfilling(pool).advance() == 0


async def test_ten_thousand_times_are_made_up_for_and_more_are_refused(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[{"cron": "* * * * *"}]))
    last = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)
    first = last - timedelta(minutes=backfills.MAX_TIMES - 1)
    made_up = await start(pool, first, last, max_active=1000)
    with pytest.raises(Invalid) as refused:
        await planned(pool, first - timedelta(minutes=1), last)

    (mistake,) = refused.value.errors
    assert (mistake.field, mistake.message) == ("to", "the window has more than 10000 nominal times")
    assert f"{last - timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}" in mistake.remedy
    assert await Backfilling(pool).advance() == 1000
    async with pool.connection() as connection:
        await connection.execute("UPDATE backfill SET max_active = 1000")
        # As if the others had been made already: what has fired is passed over, however much it is.
        await connection.execute(
            "INSERT INTO fire (task_id, scheduled_at, outcome, run_id)"
            " SELECT task_id, x, 'Fired', gen_random_uuid() FROM task,"
            " generate_series(%s::timestamptz, %s::timestamptz, interval '1 minute') x ON CONFLICT DO NOTHING",
            [first, last - timedelta(minutes=1)],
        )
    await over(pool)
    assert await Backfilling(pool).advance() == 1
    assert [run.scheduled_at for run in await made(pool)][-1] == last
    assert (await shown(pool, made_up)).reason == "Completed"
    async with pool.connection() as connection:
        await connection.execute("DELETE FROM fire WHERE backfill_id IS NULL")


async def test_a_task_has_ten_open_backfills_at_most(pool: Pool) -> None:
    await declared_task(pool)
    found: Sequence[UUID | BaseException] = await asyncio.gather(
        *(start(pool, hour(9), hour(0)) for _ in range(backfills.MAX_OPEN + 2)), return_exceptions=True
    )
    assert sum(isinstance(one, UUID) for one in found) == backfills.MAX_OPEN
    assert {str(one) for one in found if isinstance(one, BaseException)} == {
        "Task default/t has 10 backfills that are not over; wait for one or cancel it"
    }
    await Backfilling(pool).advance()
    nothing = await start(pool, hour(9), hour(0))
    assert (await shown(pool, nothing)).reason == BackfillPhase.COMPLETED, "with nothing to make it is over at once"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"schedules": []}, "the task has no schedules"),
        (
            {"schedules": [{"at": "2020-01-01T00:00:00Z"}]},
            "the schedules have no nominal time in the window, nor after it",
        ),
        (
            {"schedules": [{"cron": "0 0 1 1 *", "start": "2040-01-01T00:00:00Z"}]},
            "the next one after its beginning is",
        ),
        (
            {"schedules": [{"interval": "1h", "start": "2040-01-01T00:00:00Z"}]},
            "the next one after its beginning is",
        ),
        (
            {"schedules": [{"rrule": "FREQ=HOURLY", "dtstart": "2040-01-01T00:00:00Z"}]},
            "the next one after its beginning is",
        ),
        ({"schedules": [{"interval": "1h"}]}, "count from when the task was created"),
        ({"schedules": [{"rrule": "FREQ=HOURLY"}]}, "a start or dtstart in the spec has them begin earlier"),
    ],
)
async def test_a_plan_says_why_there_is_nothing_to_make_up_for(pool: Pool, spec: dict[str, Any], message: str) -> None:
    await declared_task(pool, **spec)

    plan = await planned(pool, hour(9), hour(1))

    assert (plan.times, list(plan.missing)) == (0, [])
    assert plan.message is not None
    assert message in plan.message


async def test_start_and_end_bound_the_window(pool: Pool) -> None:
    bounds = {"start": hour(5).isoformat().replace("+00:00", "Z"), "end": hour(3).isoformat().replace("+00:00", "Z")}
    await declared_task(pool, schedules=[{"interval": "1h", **bounds}])

    plan = await planned(pool, hour(30) + timedelta(seconds=1))

    assert list(plan.missing) == hours(5, 3)


async def test_the_spec_of_a_task_must_be_usable(pool: Pool) -> None:
    with pytest.raises(NotFound):
        await planned(pool, hour(9), name="nobody")
    await declared_task(pool)
    async with pool.connection() as connection:
        await connection.execute("UPDATE task SET invalid = 'no good'")
    with pytest.raises(Conflict, match="Task default/t can't be used: no good"):
        await planned(pool, hour(9))


async def test_backfills_are_forgotten_with_the_history_of_their_time(pool: Pool) -> None:
    await declared_task(pool)
    old, new = await start(pool, hour(9), hour(8)), await start(pool, hour(7), hour(6))
    await start(pool, hour(1), hour(0), max_active=1)
    await Backfilling(pool).advance()
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE backfill SET finished_at = now() - interval '31 d' WHERE backfill_id = %s", [old]
        )

    assert await janitor.forget_backfills(pool, days=30) == 1

    async with pool.connection() as connection:
        assert await backfill.get(connection, namespace="default", backfill_id=old) is None
    assert (await shown(pool, new)).made == 2
    assert len(await ledger(pool, "t")) == 5, "what it fired stays"

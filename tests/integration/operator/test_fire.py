"""Firing: every nominal time exactly once in the ledger, whatever happens around it."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from ordinaut.declaration.apply import remove
from ordinaut.errors import Conflict
from ordinaut.states import Origin
from ordinaut.store import clock, declared, runs, status
from ordinaut.store.pool import Pool
from ordinaut.store.status import Fire
from ordinaut_operator import fire
from tests.declaring import declare, pipeline, run_now, task, tool
from tests.relaying import in_outbox

pytestmark = pytest.mark.usefixtures("early_in_a_minute")

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
MINUTELY = {"cron": "* * * * *"}


async def rewind(pool: Pool, name: str, ago: timedelta) -> None:
    """Let a task's clock stand where it stood some time ago, as if nothing had looked since."""
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE task_clock c SET evaluated_at = now() - %s, next_fire_at = now() - %s + interval '1 s'"
            " FROM task t WHERE t.task_id = c.task_id AND t.name = %s",
            [ago, ago, name],
        )


async def ledger(pool: Pool, name: str) -> list[Fire]:
    """Return a task's ledger, oldest first."""
    async with pool.connection() as connection:
        return (await status.fires(connection, namespace="default", name=name, limit=10_000))[::-1]


async def due_task(pool: Pool, name: str = "t", *, ago: timedelta = timedelta(minutes=10), **spec: Any) -> None:
    """Declare a minutely task whose last ``ago`` was missed."""
    await declare(pool, task(name, LOG, schedules=[MINUTELY], **spec))
    await rewind(pool, name, ago)


async def active(pool: Pool, name: str) -> int:
    """Return how many runs of a task have not ended."""
    async with pool.connection() as connection:
        row = await status.task_named(connection, namespace="default", name=name)
    return row.active


def made(uid: str, at: str) -> dict[str, Any]:
    """Return a task as the API server sends one of two incarnations."""
    document = task("t", LOG)
    document["metadata"] |= {"uid": uid, "creationTimestamp": at, "generation": 1}
    return document


def minutes(until: datetime, count: int) -> list[datetime]:
    """Return the last whole minutes up to a moment, oldest first."""
    last = until.replace(second=0, microsecond=0)
    return [last - timedelta(minutes=n) for n in range(count)][::-1]


async def test_a_missed_time_fires_once_by_default_and_the_others_are_recorded(pool: Pool) -> None:
    await due_task(pool)

    done = await fire.fire_due(pool)

    times = await ledger(pool, "t")
    assert [entry.scheduled_at for entry in times] == minutes(datetime.now(UTC), len(times))
    assert [entry.outcome for entry in times] == ["Skipped"] * (len(times) - 1) + ["Fired"]
    assert {entry.reason for entry in times[:-1]} == {"Coalesced"}
    assert (done.fired, done.skipped) == (1, len(times) - 1)
    async with pool.connection() as connection:
        (run,) = await runs.list_(connection, namespace="default", limit=9)
    assert (run.run_id, run.trigger, run.scheduled_at) == (times[-1].run_id, "schedule", times[-1].scheduled_at)


async def test_many_operators_fire_each_time_once(pool: Pool) -> None:
    for n in range(20):
        await due_task(pool, f"t{n}", catchUp={"policy": "All"})

    rounds = await asyncio.gather(*(fire.fire_due(pool) for _ in range(4)))

    fired = sum(one.fired for one in rounds)
    async with pool.connection() as connection:
        row = await (await connection.execute("SELECT count(*) FROM run")).fetchone()
        twice = await (
            await connection.execute("SELECT task_id, scheduled_at FROM run GROUP BY 1, 2 HAVING count(*) > 1")
        ).fetchall()
    assert row is not None
    assert row[0] == fired
    assert fired >= 20 * 9
    assert twice == []


async def test_a_crash_in_the_firing_transaction_fires_neither_twice_nor_never(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await due_task(pool)

    async def crash(*_: object, **__: object) -> None:
        raise RuntimeError("the power is gone")

    with monkeypatch.context() as patched:
        patched.setattr(fire.clock, "advance", crash)
        with pytest.raises(RuntimeError):
            await fire.fire_due(pool)
    assert await ledger(pool, "t") == []

    await fire.fire_due(pool)

    assert [entry.outcome for entry in await ledger(pool, "t")].count("Fired") == 1


async def test_more_than_a_transaction_takes_fires_at_once_and_each_time_once(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"t{n}" for n in range(17)]
    for name in names:
        await due_task(pool, name)
    monkeypatch.setattr(fire, "BATCH", 3)

    done = await fire.fire_due(pool)

    assert (done.claimed, done.fired) == (17, 17)
    for name in names:
        assert [entry.outcome for entry in await ledger(pool, name)].count("Fired") == 1
    async with pool.connection() as connection:
        assert len(await runs.list_(connection, namespace="default", limit=99)) == 17


async def test_a_crash_among_several_transactions_spoils_no_other_and_is_told(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"t{n}" for n in range(17)]
    for name in names:
        await due_task(pool, name)
    monkeypatch.setattr(fire, "BATCH", 3)
    advance, calls = fire.clock.advance, itertools.count(1)

    async def crash_once(*args: Any, **more: Any) -> None:
        if next(calls) == 3:
            raise RuntimeError("the connection broke")
        await advance(*args, **more)

    with monkeypatch.context() as patched:
        patched.setattr(fire.clock, "advance", crash_once)
        with pytest.raises(RuntimeError, match="broke"):
            await fire.fire_due(pool)
    before = {name for name in names if await ledger(pool, name)}
    assert before

    done = await fire.fire_due(pool)

    assert done.fired == 17 - len(before)
    for name in names:
        assert [entry.outcome for entry in await ledger(pool, name)].count("Fired") == 1


async def test_the_seconds_in_which_something_is_due_are_found_once_each(pool: Pool) -> None:
    for n in range(6):
        await declare(pool, task(f"t{n}", LOG, schedules=[MINUTELY]))
    await declare(pool, task("sleeps", LOG))
    async with pool.connection() as connection, connection.transaction():
        second = (await clock.now(connection)).replace(microsecond=0)

        async def at(offset: float, name: str) -> None:
            await connection.execute(
                "UPDATE task_clock c SET next_fire_at = %s FROM task t WHERE t.task_id = c.task_id AND t.name = %s",
                [second + timedelta(seconds=offset), name],
            )

        for name, offset in {"t0": -9000, "t1": -300, "t2": 3, "t3": 3, "t4": 20, "t5": 40}.items():
            await at(offset, name)
        for offset in (3.25, 7.5, 7.75, 55.0):
            await connection.execute(
                "INSERT INTO delayed_work (urgency, run_id, due_at) VALUES (4, gen_random_uuid(), %s)",
                [second + timedelta(seconds=offset)],
            )

        found = await clock.due_seconds(connection, horizon=timedelta(seconds=30))
        await connection.execute("DELETE FROM delayed_work")
        await connection.execute("UPDATE task_clock SET next_fire_at = NULL")
        nothing = await clock.due_seconds(connection, horizon=timedelta(seconds=30))

    assert [(one - second).total_seconds() for one in found] == [-9000, 3, 7, 20]
    assert nothing == []


async def test_a_spec_that_cannot_be_read_holds_up_nobody_else(pool: Pool) -> None:
    """A later release may have written it, or an earlier one may have admitted it."""
    for name in ("unreadable", "well"):
        await declare(pool, task(name, LOG, schedules=[MINUTELY]))
        await rewind(pool, name, timedelta(minutes=1))
    async with pool.connection() as connection:
        spec = """UPDATE task SET spec = spec || '{"schedules": [{"cron": "by and by"}]}' WHERE name = 'unreadable'"""
        await connection.execute(spec)
    failures = ("ordinaut_job_failures_total", {"loop": "fire"})
    before = REGISTRY.get_sample_value(*failures)

    done = await fire.fire_due(pool)

    assert done.claimed >= 1
    assert {entry.outcome for entry in await ledger(pool, "well")} == {"Fired"}
    assert await ledger(pool, "unreadable") == []
    assert REGISTRY.get_sample_value(*failures) == (before or 0) + 1


async def test_the_ledger_is_the_second_lock(pool: Pool) -> None:
    await due_task(pool)
    await fire.fire_due(pool)
    before = await ledger(pool, "t")
    await rewind(pool, "t", timedelta(minutes=3))

    done = await fire.fire_due(pool)

    assert (done.claimed, done.fired) == (1, 0)
    assert await ledger(pool, "t") == before


async def test_a_long_backlog_is_decided_in_parts_and_completely(pool: Pool) -> None:
    await due_task(pool, ago=timedelta(minutes=450), catchUp={"policy": "All", "max": 250})

    done = await fire.fire_due(pool)
    while done.claimed:
        done = await fire.fire_due(pool)

    times = await ledger(pool, "t")
    assert [entry.scheduled_at for entry in times] == minutes(times[-1].scheduled_at, len(times))
    assert len(times) in {449, 450, 451}
    assert [entry.outcome for entry in times].count("Fired") == 250
    assert {entry.reason for entry in times[250:]} == {"CatchUpLimit"}


async def test_forbid_skips_while_a_run_is_active(pool: Pool) -> None:
    await due_task(pool, concurrencyPolicy="Forbid", catchUp={"policy": "All"})

    await fire.fire_due(pool)

    outcomes = [(entry.outcome, entry.reason) for entry in await ledger(pool, "t")]
    assert outcomes[0] == ("Fired", None)
    assert set(outcomes[1:]) == {("Skipped", "StillRunning")}
    assert await active(pool, "t") == 1
    with pytest.raises(Conflict, match="concurrencyPolicy is Forbid"):
        await run_now(pool, namespace="default", name="t")


async def test_forbid_knows_runs_that_were_made_before_it_was_declared(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[MINUTELY]))
    await run_now(pool, namespace="default", name="t")
    await declare(pool, task("t", LOG, schedules=[MINUTELY], concurrencyPolicy="Forbid"))
    await rewind(pool, "t", timedelta(minutes=2))

    await fire.fire_due(pool)

    assert {entry.reason for entry in await ledger(pool, "t")} <= {"StillRunning", "Coalesced"}


async def test_replace_cancels_the_active_run(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[MINUTELY], concurrencyPolicy="Replace"))
    first = await run_now(pool, namespace="default", name="t")
    await rewind(pool, "t", timedelta(minutes=1))

    await fire.fire_due(pool)

    async with pool.connection() as connection:
        old = await runs.get(connection, namespace="default", run_id=first)
    assert old is not None
    assert (old.phase, old.reason) == ("Cancelled", "Replaced")
    assert await active(pool, "t") == 1


async def test_a_task_that_is_not_ready_skips_its_times_and_heals(pool: Pool) -> None:
    await declare(pool, task("t", pipelineRef={"name": "p"}, schedules=[MINUTELY]))
    await rewind(pool, "t", timedelta(minutes=1))
    await fire.fire_due(pool)
    assert {entry.reason for entry in await ledger(pool, "t")} == {"NotReady"}

    await declare(pool, pipeline("p", LOG))
    await rewind(pool, "t", timedelta(seconds=1))
    await run_now(pool, namespace="default", name="t")

    assert await active(pool, "t") == 1


async def test_readiness_names_what_is_missing_and_heals_when_it_appears(pool: Pool) -> None:
    async def readiness() -> tuple[bool, str, str]:
        async with pool.connection() as connection:
            row = await status.task_named(connection, namespace="default", name="t")
        return row.ready, row.reason, row.message

    await declare(pool, task("t", pipelineRef={"name": "p"}))
    assert await readiness() == (
        False,
        "PipelineNotFound",
        "spec.pipelineRef.name: there is no Pipeline default/p; apply it",
    )

    await declare(pool, pipeline("p", {"id": "a", "uses": "weather"}, params={"type": "object", "required": ["city"]}))
    assert (await readiness())[:2] == (False, "ToolNotFound")

    await declare(pool, tool("weather", "http://127.0.0.1:9"))
    ready, reason, message = await readiness()
    assert (ready, reason) == (False, "InvalidParams")
    assert "city" in message

    await declare(pool, task("t", pipelineRef={"name": "p"}, params={"city": "Chisinau"}))
    assert (await readiness())[:2] == (True, "Resolved")

    async with pool.connection() as connection:
        found = await declared.incarnations(connection, origin=Origin.API)
    await remove(pool, [one for one in found if one.key.kind == "Tool"], origin=Origin.API)
    assert (await readiness())[:2] == (False, "ToolNotFound")


async def test_an_edit_moves_the_next_time_and_fires_nothing_of_the_past(pool: Pool) -> None:
    await due_task(pool)
    await declare(pool, task("t", LOG, schedules=[{"cron": "0 3 * * *"}]))

    assert (await fire.fire_due(pool)).claimed == 0
    async with pool.connection() as connection:
        row = await status.task_named(connection, namespace="default", name="t")
    assert row.next_fire_at is not None
    assert (row.next_fire_at.hour, row.next_fire_at.minute) == (3, 0)
    assert row.next_fire_at > row.now


async def test_editing_anything_else_does_not_move_the_schedule(pool: Pool) -> None:
    await due_task(pool)
    await declare(pool, task("t", LOG, schedules=[MINUTELY], priority=9))

    assert (await fire.fire_due(pool)).fired == 1


@pytest.mark.parametrize(("policy", "fired"), [("Latest", 0), ("All", 9)])
async def test_a_suspended_task_sleeps_and_only_all_makes_up_for_it(pool: Pool, policy: str, fired: int) -> None:
    catch_up = {"catchUp": {"policy": policy}}
    await declare(pool, task("t", LOG, schedules=[MINUTELY], suspend=True, **catch_up))
    assert (await fire.fire_due(pool)).claimed == 0
    async with pool.connection() as connection:
        await connection.execute("UPDATE task_clock SET evaluated_at = now() - interval '590 s'")

    await declare(pool, task("t", LOG, schedules=[MINUTELY], **catch_up))

    done = await fire.fire_due(pool)
    assert done.fired in {fired, fired + (fired > 0)}
    assert done.skipped == 0


async def test_deleting_a_task_cancels_its_runs_and_keeps_its_history(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[MINUTELY]))
    run_id = await run_now(pool, namespace="default", name="t")
    async with pool.connection() as connection:
        gone = await declared.incarnations(connection, origin=Origin.API)

    assert [key.name for key in await remove(pool, gone, origin=Origin.API)] == ["t"]

    async with pool.connection() as connection:
        run = await runs.get(connection, namespace="default", run_id=run_id)
        types = [event["type"] for event in await in_outbox(connection)]
    assert run is not None
    assert (run.task, run.phase, run.reason) == ("t", "Cancelled", "TaskDeleted")
    assert types == ["task.applied", "run.created", "run.cancelled", "task.deleted"]
    await declare(pool, task("t", LOG))
    assert await active(pool, "t") == 0


async def test_declaring_the_same_again_writes_nothing(pool: Pool) -> None:
    documents = [pipeline("p", LOG), task("t", pipelineRef={"name": "p"}, schedules=[MINUTELY])]
    first = await declare(pool, *documents)
    async with pool.connection() as connection:
        before = await (await connection.execute("SELECT xmin::text, * FROM task")).fetchall()

    second = await declare(pool, *documents)

    async with pool.connection() as connection:
        after = await (await connection.execute("SELECT xmin::text, * FROM task")).fetchall()
        outbox = await in_outbox(connection)
    assert (len(first.changed), second.changed) == (2, [])
    # A row lock leaves xmin alone; a rewrite would not.
    assert before == after
    assert [event["type"] for event in outbox] == ["task.applied"]


async def test_a_name_that_another_origin_owns_is_left_alone(pool: Pool) -> None:
    await declare(pool, task("t", LOG))

    applied = await declare(pool, task("t", LOG, priority=9), origin=Origin.KUBERNETES)

    assert applied.changed == []
    assert [owner.origin for owner in applied.conflicts.values()] == [Origin.API]


async def test_late_news_of_a_task_that_was_made_anew_does_not_replace_it(pool: Pool) -> None:
    await declare(pool, made("new", "2026-03-02T08:00:00Z"), origin=Origin.KUBERNETES)
    run_id = await run_now(pool, namespace="default", name="t")

    late = await declare(pool, made("old", "2026-03-01T08:00:00Z"), origin=Origin.KUBERNETES)

    assert late.changed == []
    async with pool.connection() as connection:
        (kept,) = await declared.incarnations(connection, origin=Origin.KUBERNETES)
        run = await runs.get(connection, namespace="default", run_id=run_id)
    assert kept.uid == "new"
    assert run is not None
    assert run.phase == "Pending"


async def test_a_task_made_anew_replaces_the_one_whose_deletion_was_missed(pool: Pool) -> None:
    await declare(pool, made("old", "2026-03-01T08:00:00Z"), origin=Origin.KUBERNETES)
    run_id = await run_now(pool, namespace="default", name="t")

    await declare(pool, made("new", "2026-03-02T08:00:00Z"), origin=Origin.KUBERNETES)

    async with pool.connection() as connection:
        run = await runs.get(connection, namespace="default", run_id=run_id)
    assert run is not None
    assert (run.phase, run.reason) == ("Cancelled", "TaskDeleted")
    assert await active(pool, "t") == 0

"""Parked runs: let go on where they stood, once, or cancelled."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg
import pytest

from ordinaut.declaration import running
from ordinaut.errors import Conflict, NotFound
from ordinaut.states import RunPhase, StepPhase
from ordinaut.store import runs, work
from ordinaut.store.ids import new_run_id
from ordinaut.store.pool import Pool
from ordinaut.store.settle import RunResult, Settlement, StepResult, settle
from ordinaut.store.work import LeasedWork
from ordinaut_operator import janitor
from tests.declaring import cancel, declare, pipeline, run_now, task, unpark
from tests.integration.rows import run_of
from tests.relaying import in_outbox

pytestmark = pytest.mark.usefixtures("early_in_a_minute")

STEPS = [{"id": name, "uses": "std.log", "with": {"message": "hi"}} for name in ("one", "two")]
LOST = timedelta(seconds=-1)
LONG = timedelta(minutes=5)


async def lease(pool: Pool, *, ttl: timedelta = LONG) -> list[LeasedWork]:
    async with pool.connection() as connection:
        queues = (0, work.ward(0))
        return [
            one for queue in queues for one in await work.lease(connection, worker="w-2", limit=9, ttl=ttl, queue=queue)
        ]


async def values(pool: Pool, query: str, params: Iterable[Any] = ()) -> list[Any]:
    """Return the first column of a query's rows."""
    async with pool.connection() as connection:
        return [row[0] for row in await (await connection.execute(query.encode(), list(params))).fetchall()]


async def commit(pool: Pool, one: LeasedWork, *steps: StepResult, run: RunResult | None = None) -> None:
    async with pool.connection() as connection:
        settlement = Settlement(one, steps=steps, run=run)
        assert await settle(connection, [settlement], done=[one.lease_id] if run else []) == [settlement]


def result(seq: int, phase: StepPhase = StepPhase.SUCCEEDED, *, attempt: int = 1) -> StepResult:
    now = monotonic()
    return StepResult(seq, ("one", "two")[seq], phase, attempt, started=now, finished=now, error="down")


async def park(pool: Pool, *steps: StepResult, name: str = "t") -> UUID:
    """Return a run that was parked after it had committed some steps."""
    run_id = await run_now(pool, namespace="default", name=name)
    (leased,) = await lease(pool, ttl=LOST)
    assert leased.run_id == run_id
    if steps:
        await commit(pool, leased, *steps)
    assert await janitor.reap(pool, max_deliveries=1) == 1
    assert (await run_of(pool, run_id)).phase == "Parked"
    return run_id


async def told(pool: Pool) -> list[str]:
    async with pool.connection() as connection:
        found = await in_outbox(connection)
    return [event["type"] for event in found if event["type"].startswith("run.")]


async def test_an_unparked_run_goes_on_at_the_step_without_a_result(pool: Pool) -> None:
    await declare(pool, task("t", *STEPS, timeout="1h", priority=7))
    run_id = await park(pool, result(0))
    parked = await run_of(pool, run_id)
    assert parked.error == "its worker w-2 was lost while step `two` was under way, and only one delivery is allowed"
    async with pool.connection() as connection:
        before = await runs.steps(connection, run_id=run_id)

    await unpark(pool, run_id=run_id)

    pending = await run_of(pool, run_id)
    assert (pending.phase, pending.attempt, pending.reason, pending.error) == ("Pending", 1, None, None)
    assert pending.finished_at is None
    assert pending.started_at == parked.started_at
    (again,) = await lease(pool)
    assert (again.run_id, again.attempt, again.urgency, again.params) == (run_id, 1, 2, parked.params)
    # Its timeout counts anew: it was no fault of the run's that it lay there for days.
    assert again.started_at == again.leased_at
    assert parked.started_at is not None
    assert parked.started_at < again.leased_at
    async with pool.connection() as connection:
        assert await runs.steps(connection, run_id=run_id) == before
    await commit(pool, again, result(1), run=RunResult(RunPhase.SUCCEEDED))
    assert (await run_of(pool, run_id)).phase == "Succeeded"
    assert await told(pool) == ["run.created", "run.parked", "run.unparked"]
    assert await values(pool, "SELECT run_id FROM live_work") == []


async def test_a_step_that_waited_for_its_retry_goes_on_counting_its_tries(pool: Pool) -> None:
    await declare(pool, task("t", *STEPS))
    run_id = await park(pool, result(0), result(1, StepPhase.WAITING, attempt=3))
    assert "while step `two` was under way" in str((await run_of(pool, run_id)).error)

    await unpark(pool, run_id=run_id)

    async with pool.connection() as connection:
        found = await runs.steps(connection, run_id=run_id)
    assert [(step.phase, step.attempt) for step in found] == [("Succeeded", 1), ("Waiting", 3)]


async def test_a_step_that_an_older_release_has_cancelled_is_done_again(pool: Pool) -> None:
    await declare(pool, task("t", *STEPS))
    run_id = await park(pool, result(0), result(1, StepPhase.WAITING))
    async with pool.connection() as connection:
        await connection.execute("UPDATE step SET phase = 'Cancelled', finished_at = now() WHERE finished_at IS NULL")
        await connection.execute("UPDATE run SET started_at = NULL")

    await unpark(pool, run_id=run_id)

    async with pool.connection() as connection:
        assert [step.phase for step in await runs.steps(connection, run_id=run_id)] == ["Succeeded"]
    # A worker reads the results of runs that have begun only.
    assert [one.started_at is not None for one in await lease(pool)] == [True]


async def test_a_run_is_parked_again_after_as_many_deliveries(pool: Pool) -> None:
    await declare(pool, task("t", *STEPS))
    run_id = await park(pool)
    await unpark(pool, run_id=run_id)

    for phase in ("Pending", "Parked"):
        assert [one.run_id for one in await lease(pool, ttl=LOST)] == [run_id]
        await janitor.reap(pool, max_deliveries=2)
        assert (await run_of(pool, run_id)).phase == phase

    assert "lost in each of 2 deliveries, the last, w-2, while step `one`" in str((await run_of(pool, run_id)).error)


async def test_a_parked_run_is_cancelled_with_its_waiting_step(pool: Pool) -> None:
    await declare(pool, task("t", *STEPS))
    run_id = await park(pool, result(0), result(1, StepPhase.WAITING))

    await cancel(pool, namespace="default", run_id=run_id)

    ended = await run_of(pool, run_id)
    assert (ended.phase, ended.reason) == ("Cancelled", "Requested")
    async with pool.connection() as connection:
        assert [step.phase for step in await runs.steps(connection, run_id=run_id)] == ["Succeeded", "Cancelled"]
    with pytest.raises(Conflict, match="is not parked, it has ended: Cancelled; try it again with a retry"):
        await unpark(pool, run_id=run_id)
    with pytest.raises(Conflict, match="has ended already: Cancelled"):
        await cancel(pool, namespace="default", run_id=run_id)
    assert (await told(pool))[-2:] == ["run.parked", "run.cancelled"]


async def test_only_parked_runs_of_the_namespace_are_unparked(pool: Pool) -> None:
    await declare(pool, task("t", *STEPS))
    run_id = await run_now(pool, namespace="default", name="t")

    with pytest.raises(Conflict, match=f"run {run_id} is not parked: it is Pending"):
        await unpark(pool, run_id=run_id)
    with pytest.raises(NotFound, match=f"there is no run {run_id} in namespace other"):
        await unpark(pool, run_id=run_id, namespace="other")
    with pytest.raises(NotFound):
        await unpark(pool, run_id=new_run_id((await run_of(pool, run_id)).created_at))


async def test_a_run_of_a_task_that_is_gone_or_not_ready_stays_parked(pool: Pool) -> None:
    await declare(pool, pipeline("steps", *STEPS), task("t", pipelineRef={"name": "steps"}))
    run_id = await park(pool)
    async with pool.connection() as connection:
        await connection.execute("UPDATE task SET ready = false, revision = NULL, reason = 'R', message = 'm'")
    with pytest.raises(Conflict, match="Task default/t is not ready: R: m"):
        await unpark(pool, run_id=run_id)

    async with pool.connection() as connection:
        await connection.execute("UPDATE task SET deleted_at = now()")
    with pytest.raises(Conflict, match=f"Task default/t of run {run_id} was deleted"):
        await unpark(pool, run_id=run_id)
    # A task that has its name by now is another one.
    await declare(pool, task("t", *STEPS))
    with pytest.raises(Conflict, match="was deleted"):
        await unpark(pool, run_id=run_id)
    assert (await run_of(pool, run_id)).phase == "Parked"


@pytest.mark.parametrize(
    ("policy", "refusal"),
    [
        ("Forbid", "has a run under way and its concurrencyPolicy is Forbid"),
        ("Replace", "has a newer run under way and its concurrencyPolicy is Replace"),
    ],
)
async def test_a_task_that_allows_one_run_keeps_the_one_it_has(pool: Pool, policy: str, refusal: str) -> None:
    await declare(pool, task("t", *STEPS, concurrencyPolicy=policy))
    run_id = await park(pool)
    newer = await run_now(pool, namespace="default", name="t")

    with pytest.raises(Conflict, match=refusal):
        await unpark(pool, run_id=run_id)
    assert (await run_of(pool, newer)).phase == "Pending"

    await cancel(pool, namespace="default", run_id=newer)
    await unpark(pool, run_id=run_id)
    assert await values(pool, "SELECT run_id FROM active_run") == [run_id]


async def test_an_unparked_run_waits_for_its_turn(pool: Pool) -> None:
    await declare(pool, task("t", *STEPS, concurrencyPolicy="Queue"))
    run_id = await park(pool)
    before = await run_now(pool, namespace="default", name="t")

    await unpark(pool, run_id=run_id)

    waiting = await run_of(pool, run_id)
    assert (waiting.phase, waiting.reason) == ("Waiting", "Turn")
    (first,) = await lease(pool)
    assert first.run_id == before
    await commit(pool, first, run=RunResult(RunPhase.SUCCEEDED))
    assert [one.run_id for one in await lease(pool)] == [run_id]


async def outcomes(*attempts: Any) -> list[type[BaseException] | None]:
    """Return what became of things done at the same time: None, or the error."""
    found = await asyncio.gather(*attempts, return_exceptions=True)
    return sorted((type(one) if isinstance(one, BaseException) else None for one in found), key=str)


async def test_of_many_who_unpark_a_run_one_does(pool: Pool) -> None:
    await declare(pool, task("t", *STEPS, concurrencyPolicy="Forbid"))
    run_id = await park(pool)

    found = await asyncio.gather(*(unpark(pool, run_id=run_id) for _ in range(6)), return_exceptions=True)

    refusals = [str(one) for one in found if one is not None]
    assert refusals == [f"run {run_id} is not parked: it is Pending"] * 5
    assert await values(pool, "SELECT run_id FROM due_work") == [run_id]
    assert (await told(pool)).count("run.unparked") == 1


async def test_a_run_that_is_unparked_and_cancelled_at_once_ends(pool: Pool) -> None:
    await declare(pool, task("t", *STEPS, concurrencyPolicy="Forbid"))
    for _ in range(5):
        run_id = await park(pool)

        found = await outcomes(unpark(pool, run_id=run_id), cancel(pool, namespace="default", run_id=run_id))

        # Cancelled before or after; where the other was first, it has been refused.
        assert found in ([None, None], [Conflict, None], [None, Conflict])
        assert (await run_of(pool, run_id)).phase == "Cancelled"
        assert await lease(pool) == []
        assert await values(pool, "SELECT run_id FROM active_run") == []


async def test_a_task_that_is_run_while_its_parked_run_is_unparked_has_one(pool: Pool) -> None:
    await declare(pool, task("t", *STEPS, concurrencyPolicy="Forbid"))
    for _ in range(5):
        run_id = await park(pool)

        assert await outcomes(unpark(pool, run_id=run_id), run_now(pool, namespace="default", name="t")) in (
            [Conflict, None],
            [None, Conflict],
        )

        (active,) = await values(pool, "SELECT run_id FROM active_run")
        for one in {active, run_id}:
            await cancel(pool, namespace="default", run_id=one)
        assert await lease(pool) == []


async def test_the_history_of_a_run_is_not_dropped_while_it_is_unparked(pool: Pool) -> None:
    await declare(pool, task("t", *STEPS))
    run_id = await park(pool)
    (day,) = await values(pool, "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')")
    drop = b"SELECT drop_partition('run', %s)"
    async with pool.connection() as connection, connection.transaction():
        await running.unpark(connection, namespace="default", run_id=run_id)
        async with pool.connection() as other:
            await other.execute("SET lock_timeout = '50ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                await other.execute("SELECT pg_advisory_xact_lock(hashtextextended('ordinaut.partitions', 0))")

    async with pool.connection() as connection:
        assert await (await connection.execute(drop, [f"run_{day}"])).fetchone() == (False,)
    assert (await run_of(pool, run_id)).phase == "Pending"

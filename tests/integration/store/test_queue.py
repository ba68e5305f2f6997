"""The protocol of the queue: exactly one of settle and reaper gets a lease, and nothing stale is ever written."""

import asyncio
from datetime import timedelta
from time import monotonic
from uuid import UUID

from ordinaut.states import RunPhase, StepPhase
from ordinaut.store import runs, turns, work
from ordinaut.store.pool import Connection, Pool
from ordinaut.store.settle import RunResult, Settlement, StepResult, settle
from ordinaut.store.work import Flow, Gap, Head, LeasedWork, Share
from tests.integration.rows import make_runs, make_task
from tests.relaying import in_outbox

LONG = timedelta(minutes=5)
OVER = timedelta(seconds=-1)
"""A lease that has run out when it begins: expiry without waiting."""

EVERYWHERE = [Gap(0, urgency, -(2**31) - 1, 2**31) for urgency in range(10)]

SUCCESS = RunResult(RunPhase.SUCCEEDED, output=b'{"n": 1}')


async def lease(
    connection: Connection, *, limit: int = 10, ttl: timedelta = LONG, worker: str = "w"
) -> list[LeasedWork]:
    return await work.lease(connection, worker=worker, limit=limit, ttl=ttl)


async def lanes(connection: Connection, *namespaces: str) -> list[int]:
    cursor = await connection.execute("SELECT hashtext(unnest(%s::text[]))", [list(namespaces)])
    return [row[0] for row in await cursor.fetchall()]


def step(phase: StepPhase = StepPhase.SUCCEEDED, *, seq: int = 0, attempt: int = 1) -> StepResult:
    now = monotonic()
    output = b'"out"' if phase is StepPhase.SUCCEEDED else None
    return StepResult(seq, f"s{seq}", phase, attempt, started=now - 0.5, finished=now - 0.25, output=output)


async def phase_of(connection: Connection, run_id: UUID) -> str:
    run = await runs.get(connection, namespace="default", run_id=run_id)
    assert run is not None
    return run.phase


async def depth(connection: Connection) -> tuple[int, int, int]:
    """Return how many runs are claimable, delayed and leased."""
    figures = await work.figures(connection)
    return figures.claimable, figures.delayed, figures.leased


async def test_a_lease_takes_the_most_urgent_first_and_never_the_same_twice(pool: Pool) -> None:
    async with pool.connection() as connection:
        task = await make_task(connection)
        low = await make_runs(connection, task, 2, priority=1)
        high = await make_runs(connection, task, 2, priority=9)

        first = await lease(connection, limit=3)
        second = await lease(connection, limit=3)

        assert [one.run_id for one in first] == [*high, low[0]]
        assert [one.run_id for one in second] == [low[1]]
        assert len({one.lease_id for one in first}) == 1
        assert await lease(connection) == []


async def test_heads_are_taken_in_their_order(pool: Pool) -> None:
    async with pool.connection() as connection:
        await make_runs(connection, await make_task(connection), 4)
        await connection.execute(
            "UPDATE due_work SET queue = -1, urgency = 0 WHERE id IN (SELECT min(id) FROM due_work)"
        )
        await connection.execute(
            "UPDATE due_work SET queue = 1, urgency = 0 WHERE id IN (SELECT max(id) FROM due_work)"
        )
        for queue, place in ((-1, "min"), (1, "max")):
            moved = f"UPDATE due_work SET queue = {queue}, urgency = 0 WHERE id = (SELECT {place}(id) FROM due_work)"
            await connection.execute(moved.encode())
        heads = [Head(0, 9), Head(1, 9), Head(-1, 1)]

        (first,) = await work.take(connection, worker="w", limit=1, ttl=LONG, heads=heads)
        taken = await work.take(connection, worker="w", limit=2, ttl=LONG, heads=heads)
        (last,) = await work.take(connection, worker="w", limit=9, ttl=LONG, heads=heads)

        assert [first.queue, *sorted(one.queue for one in taken), last.queue] == [0, 0, 1, -1]


async def test_shares_take_from_their_flows_behind_their_places(pool: Pool) -> None:
    async with pool.connection() as connection:
        here = await make_runs(connection, await make_task(connection), 3)
        there = await make_runs(connection, await make_task(connection, namespace="other"), 2, namespace="other")
        flows = await work.flows(connection, EVERYWHERE, limit=9)
        (first, *_), (other, *_) = (
            [flow for flow in flows if flow.lane == lane] for lane in await lanes(connection, "default", "other")
        )

        shares = [Share(first, 1), Share(other, 1)]
        taken = await work.take(connection, worker="w", limit=9, ttl=LONG, shares=shares)
        assert {one.run_id for one in taken} == {here[0], there[0]}
        assert {one.flow for one in taken} == {first, other}

        (last,) = (one for one in taken if one.flow == first)
        behind = Share(first, 9, last.due_at, last.id + 1)
        taken = await work.take(connection, worker="w", limit=9, ttl=LONG, shares=[behind])
        assert [one.run_id for one in taken] == [here[2]]
        assert {one.run_id for one in await lease(connection)} == {here[1], there[1]}


async def test_flows_are_found_within_gaps_only(pool: Pool) -> None:
    async with pool.connection() as connection:
        for namespace in ("a", "b", "c"):
            task = await make_task(connection, namespace=namespace)
            await make_runs(connection, task, 2, priority=1, namespace=namespace)
            await make_runs(connection, task, 1, priority=9, namespace=namespace)
        low, middle, high = sorted(await lanes(connection, "a", "b", "c"))

        every = await work.flows(connection, EVERYWHERE, limit=9)
        assert set(every) == {Flow(0, urgency, lane) for urgency in (0, 8) for lane in (low, middle, high)}
        assert all(timedelta(0) <= waited < LONG for waited in every.values())
        gaps = [Gap(0, 8, low, high), Gap(0, 0, middle, 2**31), Gap(1, 8, -(2**31) - 1, 2**31)]
        assert set(await work.flows(connection, gaps, limit=9)) == {Flow(0, 8, middle), Flow(0, 0, high)}
        assert len(await work.flows(connection, EVERYWHERE, limit=2)) == 2


async def test_what_is_given_back_without_having_begun_has_used_none_of_its_time(pool: Pool) -> None:
    async with pool.connection() as connection:
        (run_id,) = await make_runs(connection, await make_task(connection))
        (never,) = await lease(connection)
        await settle(connection, [Settlement(never, release=True, begun=False)], done=[never.lease_id])
        (again,) = await lease(connection)
        assert again.started_at is None

        # One that was parked has begun, but its time begins anew.
        await connection.execute("UPDATE run SET started_at = now() - interval '1 day' WHERE run_id = %s", [run_id])
        await settle(connection, [Settlement(again, release=True, begun=False)], done=[again.lease_id])
        (released,) = await lease(connection)
        assert released.started_at == released.leased_at
        await settle(connection, [Settlement(released, release=True, begun=False)], done=[released.lease_id])
        (third,) = await lease(connection)
        assert third.started_at == third.leased_at

        await settle(connection, [Settlement(third, release=True)], done=[third.lease_id])
        (last,) = await lease(connection)
        assert last.started_at == third.leased_at


async def test_what_is_brought_back_has_the_lane_of_its_namespace(pool: Pool) -> None:
    async with pool.connection() as connection:
        await make_runs(connection, await make_task(connection, namespace="other"), namespace="other")
        (lane,) = await lanes(connection, "other")
        await lease(connection, ttl=OVER)
        (expired,) = await work.take_expired(connection)

        await work.requeue(connection, [work.redelivered(expired, alone=True)])

        assert await lease(connection) == []
        (again,) = await work.take(connection, worker="w", limit=9, ttl=LONG, heads=[Head(work.ward(0), 9)])
        assert (again.queue, work.plain(again.queue), again.lane, again.attempt) == (-1, 0, lane, 2)


async def test_many_workers_share_the_queue_without_overlap(pool: Pool) -> None:
    async with pool.connection() as connection:
        made = await make_runs(connection, await make_task(connection), 200)

    async def worker() -> list[UUID]:
        taken: list[UUID] = []
        async with pool.connection() as connection:
            while leased := await lease(connection, limit=7):
                taken += [one.run_id for one in leased]
        return taken

    taken = [run for runs_ in await asyncio.gather(*(worker() for _ in range(4))) for run in runs_]

    assert sorted(taken) == sorted(made)


async def test_running_is_derived_from_the_lease(pool: Pool) -> None:
    async with pool.connection() as connection:
        (run,) = await make_runs(connection, await make_task(connection))
        assert await phase_of(connection, run) == "Pending"

        await lease(connection)

        assert await phase_of(connection, run) == "Running"
        (listed,) = await runs.list_(connection, namespace="default", limit=5, phase="Running")
        assert (listed.run_id, listed.worker) == (run, "w")


async def test_a_settle_commits_run_steps_and_events_and_ends_the_lease(pool: Pool) -> None:
    async with pool.connection() as connection:
        (run,) = await make_runs(connection, await make_task(connection))
        (leased,) = await lease(connection)
        settlement = Settlement(
            leased, steps=[step()], run=SUCCESS, events=[{"type": "run.succeeded", "ns": "default"}]
        )

        assert await settle(connection, [settlement], done=[leased.lease_id]) == [settlement]

        assert await phase_of(connection, run) == "Succeeded"
        (committed,) = await runs.steps(connection, run_id=run)
        assert (committed.phase, committed.output) == ("Succeeded", "out")
        assert committed.finished_at is not None
        assert (committed.finished_at - committed.started_at).total_seconds() == 0.25
        assert await in_outbox(connection) == [{"type": "run.succeeded", "ns": "default"}]
        assert await depth(connection) == (0, 0, 0)


async def test_a_settle_after_the_reaper_writes_nothing(pool: Pool) -> None:
    async with pool.connection() as connection:
        (run,) = await make_runs(connection, await make_task(connection))
        (leased,) = await lease(connection, ttl=OVER)
        (expired,) = await work.take_expired(connection)
        await work.requeue(connection, [work.redelivered(expired)])

        settled = await settle(connection, [Settlement(leased, steps=[step()], run=SUCCESS)], done=[leased.lease_id])

        assert settled == []
        assert await runs.steps(connection, run_id=run) == []
        (again,) = await lease(connection)
        assert (again.run_id, again.attempt) == (run, 2)
        assert again.started_at == leased.leased_at


async def test_a_zombie_cannot_write_under_the_next_lease_of_its_run(pool: Pool) -> None:
    async with pool.connection() as connection:
        await make_runs(connection, await make_task(connection))
        (old,) = await lease(connection, ttl=OVER, worker="zombie")
        (expired,) = await work.take_expired(connection)
        await work.requeue(connection, [work.redelivered(expired)])
        (new,) = await lease(connection, worker="fresh")

        assert await settle(connection, [Settlement(old, run=SUCCESS)], done=[old.lease_id]) == []
        assert await work.heartbeat(connection, worker="zombie", leases=[old.lease_id], ttl=LONG) == set()
        valid = await settle(connection, [Settlement(new, run=SUCCESS)], done=[new.lease_id])
        assert len(valid) == 1


async def test_a_partial_settle_takes_only_its_items_out_of_the_lease(pool: Pool) -> None:
    async with pool.connection() as connection:
        first, second, third = await make_runs(connection, await make_task(connection), 3)
        leased = {one.run_id: one for one in await lease(connection, ttl=OVER)}
        done = Settlement(leased[first], run=SUCCESS)
        waits = Settlement(leased[second], run=RunResult(RunPhase.WAITING, delay=timedelta(hours=1)))

        await settle(connection, [done, waits], done=[])

        assert [item.run_id for item in await work.take_expired(connection)] == [third]
        assert await phase_of(connection, second) == "Waiting"


async def test_a_step_is_committed_once_and_its_run_stays_leased(pool: Pool) -> None:
    async with pool.connection() as connection:
        (run,) = await make_runs(connection, await make_task(connection))
        (leased,) = await lease(connection)

        await settle(connection, [Settlement(leased, steps=[step()])], done=[])
        await settle(connection, [Settlement(leased, steps=[step(StepPhase.FAILED, attempt=2)])], done=[])

        (committed,) = await runs.steps(connection, run_id=run)
        assert (committed.phase, committed.attempt) == ("Succeeded", 1)
        assert await phase_of(connection, run) == "Running"


async def test_a_waiting_step_is_overwritten_by_its_next_result(pool: Pool) -> None:
    async with pool.connection() as connection:
        (run,) = await make_runs(connection, await make_task(connection))
        (leased,) = await lease(connection)
        wait = RunResult(RunPhase.WAITING, delay=timedelta(0))
        await settle(
            connection, [Settlement(leased, steps=[step(StepPhase.WAITING)], run=wait)], done=[leased.lease_id]
        )
        assert await depth(connection) == (0, 1, 0)

        assert await work.release_delayed(connection) == 1
        (again,) = await lease(connection)
        await settle(connection, [Settlement(again, steps=[step(attempt=2)], run=SUCCESS)], done=[again.lease_id])

        (committed,) = await runs.steps(connection, run_id=run)
        assert (committed.phase, committed.attempt) == ("Succeeded", 2)
        assert (again.attempt, again.started_at) == (1, leased.leased_at)


async def test_delayed_work_waits_for_its_time(pool: Pool) -> None:
    async with pool.connection() as connection:
        await make_runs(connection, await make_task(connection))
        (leased,) = await lease(connection)
        wait = RunResult(RunPhase.WAITING, delay=timedelta(hours=1))
        await settle(connection, [Settlement(leased, run=wait)], done=[leased.lease_id])

        assert await work.release_delayed(connection) == 0
        assert await depth(connection) == (0, 1, 0)


async def test_released_work_keeps_its_due_time_and_its_count(pool: Pool) -> None:
    async with pool.connection() as connection:
        (run,) = await make_runs(connection, await make_task(connection))
        (leased,) = await lease(connection)

        await settle(connection, [Settlement(leased, release=True)], done=[leased.lease_id])

        (again,) = await lease(connection, limit=1)
        assert (again.run_id, again.attempt, again.due_at) == (run, 1, leased.due_at)


async def test_a_cancelled_run_takes_no_more_results_and_leaves_its_lease(pool: Pool) -> None:
    async with pool.connection() as connection:
        cancelled, other = await make_runs(connection, await make_task(connection), 2, exclusive=True)
        leased = {one.run_id: one for one in await lease(connection)}
        ended = await runs.finish(connection, [cancelled], phase=RunPhase.CANCELLED, reason="Requested", error="x")
        assert [run.run_id for run in ended] == [cancelled]
        assert await work.ended_runs(connection, [cancelled, other]) == {cancelled}

        late = Settlement(leased[cancelled], steps=[step()], run=SUCCESS)
        assert await settle(connection, [late], done=[]) == []

        assert await phase_of(connection, cancelled) == "Cancelled"
        assert await runs.steps(connection, run_id=cancelled) == []
        assert await depth(connection) == (0, 0, 1)


async def test_a_run_is_ended_once(pool: Pool) -> None:
    async with pool.connection() as connection:
        (run,) = await make_runs(connection, await make_task(connection))

    async def end(reason: str) -> int:
        async with pool.connection() as connection:
            return len(await runs.finish(connection, [run], phase=RunPhase.CANCELLED, reason=reason, error=""))

    assert sum(await asyncio.gather(*(end(f"r{n}") for n in range(4)))) == 1


async def test_work_of_an_ended_run_is_dropped_when_leased(pool: Pool) -> None:
    async with pool.connection() as connection:
        ended, other = await make_runs(connection, await make_task(connection), 2)
        await runs.finish(connection, [ended], phase=RunPhase.CANCELLED, reason="Requested", error="x")

        assert [one.run_id for one in await lease(connection)] == [other]
        assert await depth(connection) == (0, 0, 1)


async def test_work_of_ended_runs_does_not_keep_what_stands_behind_it_waiting(pool: Pool) -> None:
    async with pool.connection() as connection:
        made = await make_runs(connection, await make_task(connection), 30)
        ended = [*made[:20], *made[21:29]]
        await runs.finish(connection, ended, phase=RunPhase.CANCELLED, reason="Requested", error="x")

        assert [one.run_id for one in await lease(connection, limit=3)] == [made[20], made[29]]
        assert await depth(connection) == (0, 0, 2)


async def test_cancelling_a_waiting_run_ends_its_step_and_forgets_its_delay(pool: Pool) -> None:
    async with pool.connection() as connection:
        (run,) = await make_runs(connection, await make_task(connection), exclusive=True)
        (leased,) = await lease(connection)
        wait = RunResult(RunPhase.WAITING, delay=timedelta(hours=1))
        await settle(
            connection, [Settlement(leased, steps=[step(StepPhase.WAITING)], run=wait)], done=[leased.lease_id]
        )

        await runs.finish(connection, [run], phase=RunPhase.CANCELLED, reason="Requested", error="x")

        assert [one.phase for one in await runs.steps(connection, run_id=run)] == ["Cancelled"]
        assert await depth(connection) == (0, 0, 0)
        assert await turns.of(connection, task_ids=[leased.task_id]) == []


async def test_a_heartbeat_prolongs_a_lease(pool: Pool) -> None:
    async with pool.connection() as connection:
        await make_runs(connection, await make_task(connection))
        (leased,) = await lease(connection, ttl=OVER)

        assert await work.heartbeat(connection, worker="w", leases=[leased.lease_id], ttl=LONG) == {leased.lease_id}
        assert await work.take_expired(connection) == []


async def test_settle_and_reaper_race_and_exactly_one_wins(pool: Pool) -> None:
    async with pool.connection() as connection:
        task = await make_task(connection)
    for _ in range(30):
        async with pool.connection() as connection:
            (run,) = await make_runs(connection, task)
            (leased,) = await lease(connection, ttl=OVER)

        async def commit(leased: LeasedWork = leased) -> bool:
            async with pool.connection() as connection:
                return bool(await settle(connection, [Settlement(leased, run=SUCCESS)], done=[leased.lease_id]))

        async def reap() -> bool:
            async with pool.connection() as connection, connection.transaction():
                expired = await work.take_expired(connection)
                unended = await work.lock_open_runs(connection, [item.run_id for item in expired])
                again = [work.redelivered(item) for item in expired if item.run_id in unended]
                if again:
                    await work.requeue(connection, again)
                return bool(again)

        settled, reaped = await asyncio.gather(commit(), reap())

        assert settled != reaped
        async with pool.connection() as connection:
            assert (await phase_of(connection, run) == "Succeeded") == settled
            assert len(await lease(connection)) == int(reaped)

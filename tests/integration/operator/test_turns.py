"""``concurrencyPolicy: Queue``: one run of a task at a time, each in its turn, whoever ends the others; and jitter."""

import asyncio
import random
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ordinaut.declaration.apply import remove
from ordinaut.errors import Conflict
from ordinaut.states import Origin, RunPhase, WaitReason
from ordinaut.store import clock, declared, runs, work
from ordinaut.store.ids import new_run_id
from ordinaut.store.pool import Pool
from ordinaut.store.settle import RunResult, Settlement, settle
from ordinaut.store.work import LeasedWork
from ordinaut_operator import fire, janitor
from tests.declaring import cancel, declare, retry, run_now, task
from tests.integration.operator.test_fire import LOG, MINUTELY, ledger, rewind
from tests.integration.rows import run_of
from tests.running import Processes

HOUR = timedelta(hours=1)
OVER = timedelta(seconds=-1)


async def declare_queue(pool: Pool, name: str = "t", **spec: Any) -> None:
    """Declare a task whose runs wait for each other."""
    await declare(pool, task(name, LOG, **({"concurrencyPolicy": "Queue"} | spec)))


async def ask(pool: Pool, name: str = "t", count: int = 1) -> list[UUID]:
    """Ask for so many runs."""
    return [await run_now(pool, namespace="default", name=name) for _ in range(count)]


async def lease(pool: Pool, *, ttl: timedelta = HOUR) -> list[LeasedWork]:
    """Take all that may be taken, each under a lease of its own."""
    found = []
    async with pool.connection() as connection:
        while taken := await work.lease(connection, worker="w", limit=1, ttl=ttl):
            found += taken
    return found


async def end(pool: Pool, leased: LeasedWork, phase: RunPhase = RunPhase.SUCCEEDED) -> None:
    async with pool.connection() as connection:
        await settle(connection, [Settlement(leased, run=RunResult(phase))], done=[leased.lease_id])


async def carry_out(pool: Pool) -> list[UUID]:
    """Take what may be taken, one by one, until nothing more can be, and return the runs in their order."""
    order = []
    while taken := await lease(pool):
        assert len({one.task_id for one in taken}) == len(taken), "two runs of one task at a time"
        for one in taken:
            order.append(one.run_id)
            await end(pool, one)
    return order


async def live(pool: Pool) -> list[UUID]:
    """Return every unfinished run as often as it is somewhere."""
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT run_id FROM live_work ORDER BY run_id")
        return [row[0] for row in await cursor.fetchall()]


async def blocked(pool: Pool) -> None:
    """Return when somebody waits for a lock that somebody else has."""
    async with pool.connection() as connection, asyncio.timeout(30):
        while True:
            cursor = await connection.execute(
                "SELECT EXISTS (SELECT FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock')"
            )
            row = await cursor.fetchone()
            if row == (True,):
                return
            await asyncio.sleep(0.01)


async def test_runs_wait_for_those_before_them_and_say_so(pool: Pool) -> None:
    await declare_queue(pool)
    first, second, third = await ask(pool, count=3)

    (taken,) = await lease(pool)

    assert taken.run_id == first
    assert [((await run_of(pool, one)).phase, (await run_of(pool, one)).reason) for one in (second, third)] == [
        ("Waiting", WaitReason.TURN)
    ] * 2
    assert await live(pool) == sorted([first, second, third])
    await end(pool, taken)
    (taken,) = await lease(pool)
    assert taken.run_id == second
    # What it waited for is over.
    assert ((await run_of(pool, second)).phase, (await run_of(pool, second)).reason) == ("Running", None)
    await end(pool, taken, RunPhase.FAILED)
    assert await carry_out(pool) == [third]
    assert await live(pool) == []


@pytest.mark.usefixtures("early_in_a_minute")
async def test_missed_times_run_one_after_the_other_oldest_first(pool: Pool) -> None:
    await declare_queue(pool, schedules=[MINUTELY], catchUp={"policy": "All"})
    await rewind(pool, "t", timedelta(minutes=5))

    await fire.fire_due(pool)

    fired = await ledger(pool, "t")
    assert [entry.outcome for entry in fired] == ["Fired"] * 5
    assert await carry_out(pool) == [entry.run_id for entry in fired]


async def test_tasks_do_not_wait_for_each_other(pool: Pool) -> None:
    for name in ("a", "b"):
        await declare_queue(pool, name)
    made = {name: await ask(pool, name, count=2) for name in ("a", "b")}

    assert {one.run_id for one in await lease(pool)} == {made["a"][0], made["b"][0]}


async def test_the_next_has_its_turn_however_the_one_before_ended(pool: Pool) -> None:
    await declare_queue(pool)
    first, second, third, fourth, fifth = await ask(pool, count=5)

    await cancel(pool, namespace="default", run_id=first)  # in the queue
    (taken,) = await lease(pool, ttl=OVER)
    assert taken.run_id == second
    await janitor.reap(pool, max_deliveries=1)  # its worker was lost
    assert (await run_of(pool, second)).phase == "Parked"
    await cancel(pool, namespace="default", run_id=fourth)  # while it waited: nobody's turn
    (taken,) = await lease(pool)
    assert taken.run_id == third
    assert await lease(pool) == []
    await cancel(pool, namespace="default", run_id=third)  # under way
    assert await carry_out(pool) == [fifth]


async def test_a_run_that_waits_for_its_retry_keeps_its_turn(pool: Pool) -> None:
    await declare_queue(pool)
    first, second = await ask(pool, count=2)
    (taken,) = await lease(pool)
    async with pool.connection() as connection:
        result = RunResult(RunPhase.WAITING, reason=WaitReason.RETRY, delay=timedelta(0))
        await settle(connection, [Settlement(taken, run=result)], done=[taken.lease_id])

    assert await lease(pool) == []
    await janitor.release(pool)
    assert await carry_out(pool) == [first, second]


async def test_a_retry_waits_too(pool: Pool) -> None:
    await declare_queue(pool)
    (failed,) = await ask(pool)
    (taken,) = await lease(pool)
    await end(pool, taken, RunPhase.FAILED)
    (other,) = await ask(pool)

    again = await retry(pool, run_id=failed)

    assert (await run_of(pool, again)).reason == WaitReason.TURN
    assert await carry_out(pool) == [other, again]


async def test_more_urgent_runs_go_first_when_the_turn_is_free(pool: Pool) -> None:
    await declare_queue(pool)
    first, low = await ask(pool, count=2)
    await declare_queue(pool, priority=9)
    (high,) = await ask(pool)

    assert await carry_out(pool) == [first, high, low]


async def test_a_run_queued_while_the_one_before_it_ended_gets_its_turn_from_the_sweep(pool: Pool) -> None:
    await declare_queue(pool)
    await ask(pool)
    (taken,) = await lease(pool)
    async with pool.connection() as connection, connection.transaction():
        asked = await clock.lock_task(connection, namespace="default", name="t")
        assert asked is not None
        await end(pool, taken)  # commits before the run that waits for it does
        new = runs.NewRun(
            new_run_id(asked.now),
            "default",
            asked.task_id,
            taken.revision,
            5,
            {},
            exclusive=True,
            waits=WaitReason.TURN,
        )
        await runs.create(connection, [new], trigger=fire.Trigger.MANUAL)
        assert await janitor.give_turns(pool) == 0  # nothing to be seen, and nobody is waited for

    assert await lease(pool) == []
    given = await asyncio.gather(*(janitor.give_turns(pool) for _ in range(4)))
    assert sorted(given) == [0, 0, 0, 1]
    assert await carry_out(pool) == [new.run_id]


async def test_a_turn_that_went_with_its_run_is_given_to_the_next(pool: Pool) -> None:
    """History is kept for so many days, whatever waits; and an older release ends runs without a thought of turns."""
    await declare_queue(pool)
    gone, queued, ended, last = await ask(pool, count=4)
    async with pool.connection() as connection:
        await connection.execute("DELETE FROM run WHERE run_id = ANY(%s)", [[gone, queued]])
        await connection.execute("UPDATE run SET phase = 'Cancelled', finished_at = now() WHERE run_id = %s", [ended])

    order: list[UUID] = []
    while await janitor.give_turns(pool):
        order += await carry_out(pool)

    assert order == [last]
    assert await live(pool) == []
    async with pool.connection() as connection:
        row = await (await connection.execute("SELECT count(*) FROM active_run")).fetchone()
    assert row == (0,)


async def test_a_run_that_is_cancelled_while_it_gets_its_turn_waits_nowhere(pool: Pool) -> None:
    await declare_queue(pool)
    await ask(pool)
    (taken,) = await lease(pool)
    async with pool.connection() as connection:
        asked = await clock.lock_task(connection, namespace="default", name="t")
        assert asked is not None
        late = {"waits": WaitReason.TURN, "start_at": asked.now + HOUR}
        new = runs.NewRun(
            new_run_id(asked.now), "default", asked.task_id, taken.revision, 5, {}, exclusive=True, **late
        )
        await runs.create(connection, [new], trigger=fire.Trigger.SCHEDULE)

    async with pool.connection() as connection:
        async with connection.transaction():
            await settle(connection, [Settlement(taken, run=RunResult(RunPhase.SUCCEEDED))], done=[taken.lease_id])
            cancelling = asyncio.create_task(cancel(pool, namespace="default", run_id=new.run_id))
            await blocked(pool)
        await cancelling

    assert await live(pool) == []
    assert (await run_of(pool, new.run_id)).phase == "Cancelled"


@pytest.mark.usefixtures("early_in_a_minute")
async def test_replacing_runs_of_many_tasks_and_settling_them_wait_for_each_other_in_one_order(pool: Pool) -> None:
    made = {}
    for name, behind in (("a", 2), ("b", 3)):
        await declare_queue(pool, name, schedules=[MINUTELY], concurrencyPolicy="Replace")
        made[name] = await ask(pool, name)
        await rewind(pool, name, timedelta(minutes=behind))

    async with pool.connection() as connection, connection.transaction():
        # As a worker does that settles both: in the order of their keys. The task of the newer is due first.
        await work.lock_open_runs(connection, made["a"])
        firing = asyncio.create_task(fire.fire_due(pool))
        await blocked(pool)
        await work.lock_open_runs(connection, made["b"])

    assert (await firing).fired == 2
    assert {(await run_of(pool, one)).reason for one in made["a"] + made["b"]} == {"Replaced"}


async def test_with_allow_all_that_waited_go_on_and_with_forbid_one_by_one(pool: Pool) -> None:
    for name in ("allow", "forbid"):
        await declare_queue(pool, name)
    waiting = {name: await ask(pool, name, count=4) for name in ("allow", "forbid")}
    await declare_queue(pool, "allow", concurrencyPolicy="Allow")
    await declare_queue(pool, "forbid", concurrencyPolicy="Forbid")
    with pytest.raises(Conflict, match="concurrencyPolicy is Forbid"):
        await ask(pool, "forbid")

    assert await janitor.give_turns(pool) == 3

    taken = await lease(pool)
    assert {one.run_id for one in taken} == {*waiting["allow"], waiting["forbid"][0]}
    for one in taken:
        await end(pool, one)
    assert await carry_out(pool) == waiting["forbid"][1:]


async def test_replace_takes_the_place_of_those_that_waited(pool: Pool) -> None:
    await declare_queue(pool)
    old = await ask(pool, count=3)
    await declare_queue(pool, concurrencyPolicy="Replace")

    (newest,) = await ask(pool)

    assert {(await run_of(pool, one)).reason for one in old} == {"Replaced"}
    assert await carry_out(pool) == [newest]


async def test_runs_of_before_the_edit_are_waited_for(pool: Pool) -> None:
    await declare_queue(pool, concurrencyPolicy="Allow")
    before = await ask(pool, count=2)
    await declare_queue(pool)
    (after,) = await ask(pool)

    taken = await lease(pool)
    assert {one.run_id for one in taken} == set(before)
    for one in taken:
        assert after in await live(pool)
        await end(pool, one)
    await janitor.give_turns(pool)
    assert await carry_out(pool) == [after]


async def test_declaring_a_task_anew_gives_nobody_a_turn(pool: Pool) -> None:
    await declare_queue(pool)
    first, second = await ask(pool, count=2)

    await declare_queue(pool, priority=7)

    assert [one.run_id for one in await lease(pool)] == [first]
    async with pool.connection() as connection:
        row = await (await connection.execute("SELECT array_agg(run_id) FROM active_run")).fetchone()
    assert row == ([first],)
    assert second in await live(pool)


async def test_deleting_the_task_ends_those_that_wait(pool: Pool) -> None:
    await declare_queue(pool)
    made = await ask(pool, count=3)
    async with pool.connection() as connection:
        gone = [one for one in await declared.incarnations(connection, origin=Origin.API) if one.key.name == "t"]

    await remove(pool, gone, origin=Origin.API)

    assert {(await run_of(pool, one)).reason for one in made} == {"TaskDeleted"}
    assert await lease(pool) == []
    assert await live(pool) == []
    assert await janitor.give_turns(pool) == 0


@pytest.mark.usefixtures("early_in_a_minute")
async def test_so_many_may_wait_and_no_more(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordinaut.declaration.running.MAX_WAITING", 2)
    monkeypatch.setattr("ordinaut_operator.verdict.MAX_WAITING", 2)
    await declare_queue(pool, schedules=[MINUTELY], catchUp={"policy": "All"})
    await ask(pool, count=2)
    await rewind(pool, "t", timedelta(minutes=3))

    await fire.fire_due(pool)

    assert [(entry.outcome, entry.reason) for entry in await ledger(pool, "t")] == [
        ("Fired", None),
        ("Skipped", "QueueFull"),
        ("Skipped", "QueueFull"),
    ]
    with pytest.raises(Conflict, match="2 runs that wait for their turn"):
        await ask(pool)


async def test_one_at_a_time_whoever_asks_ends_and_sweeps_at_once(pool: Pool) -> None:
    """Everybody at once, by chance; no two runs of the task under a lease, none lost, none twice."""
    await declare_queue(pool, schedules=[MINUTELY], catchUp={"policy": "All"})
    chance = random.Random(5)
    made: list[UUID] = []
    under_way: set[UUID] = set()
    done: list[UUID] = []
    asking = 4

    async def asker() -> None:
        nonlocal asking
        for _ in range(10):
            made.extend(await ask(pool))
            await asyncio.sleep(chance.random() / 200)
        asking -= 1

    async def worker() -> None:
        while asking or await live(pool):
            for one in await lease(pool):
                assert not under_way, "two at a time"
                under_way.add(one.run_id)
                await asyncio.sleep(chance.random() / 200)
                under_way.remove(one.run_id)
                await end(pool, one)
                done.append(one.run_id)
            await asyncio.sleep(0.001)

    async def sweeper() -> None:
        while asking or await live(pool):
            await janitor.give_turns(pool)
            await asyncio.sleep(0.005)

    async with asyncio.timeout(60):
        await asyncio.gather(*(asker() for _ in range(asking)), worker(), worker(), sweeper(), sweeper())

    assert sorted(done) == sorted(made)


async def test_of_many_who_ask_at_once_forbid_lets_one_run(pool: Pool) -> None:
    """Whoever waited for the task's clock sees the run that was made meanwhile."""
    await declare_queue(pool, concurrencyPolicy="Forbid")

    answers = await asyncio.gather(*(ask(pool) for _ in range(6)), return_exceptions=True)

    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict"] * 5 + ["list"]


@pytest.mark.usefixtures("early_in_a_minute")
async def test_jitter_delays_the_start_and_not_the_fire(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[MINUTELY], jitter="24h"))
    await rewind(pool, "t", timedelta(minutes=1))

    await fire.fire_due(pool)

    (fired,) = await ledger(pool, "t")
    assert fired.run_id is not None
    run = await run_of(pool, fired.run_id)
    assert (run.phase, run.reason, run.scheduled_at) == ("Waiting", WaitReason.JITTER, fired.scheduled_at)
    async with pool.connection() as connection:
        row = await (await connection.execute("SELECT due_at FROM delayed_work")).fetchone()
    assert row is not None
    delay = fire.schedule.jitter("default/t", fired.scheduled_at, within=timedelta(hours=24))
    assert row[0] == fired.scheduled_at + delay
    assert await lease(pool) == []
    # One that somebody asks for starts at once.
    (asked,) = await ask(pool)
    assert await carry_out(pool) == [asked]


async def test_a_queue_runs_by_itself_with_real_processes(processes: Processes, pool: Pool, tmp_path: Path) -> None:
    processes.start("operator", source="directory", directory=tmp_path)
    for _ in range(2):
        processes.start("worker", poll_seconds=0.2)
    await declare_queue(pool, schedules=[{"interval": "10s"}])
    made = await ask(pool, count=20)

    async def ended() -> bool:
        return not set(made) & set(await live(pool))

    async with asyncio.timeout(60):
        while not await ended():
            await asyncio.sleep(0.05)
    found = [await run_of(pool, one) for one in made]
    assert {run.phase for run in found} == {"Succeeded"}
    spans = sorted((run.started_at, run.finished_at) for run in found if run.started_at and run.finished_at)
    assert len(spans) == 20
    assert all(before[1] <= after[0] for before, after in pairwise(spans))

"""The clock with a real database: what is declared fires on time, and control loops survive whatever happens."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from statistics import median

import psycopg
import pytest
import redis
from prometheus_client import REGISTRY

from ordinaut.probes import Readiness
from ordinaut.states import RunPhase
from ordinaut.store import clock as store_clock
from ordinaut.store import runs, status, work
from ordinaut.store.pool import Pool
from ordinaut.store.settle import RunResult, Settlement, settle
from ordinaut_operator import clock as clock_module
from ordinaut_operator.clock import Clock
from tests.declaring import declare, task
from tests.integration.rows import make_runs, make_task
from tests.timing import at_most

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
NEVER = timedelta(hours=1)
SOON = timedelta(milliseconds=20)


@asynccontextmanager
async def ticking(clock: Clock) -> AsyncIterator[None]:
    """Run a clock as long as the context lasts."""
    running = asyncio.create_task(clock.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def until(condition: Callable[[], object], *, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


@pytest.fixture
def clock(pool: Pool, database: str, readiness: Readiness) -> Clock:
    return Clock(pool, url=database, readiness=readiness)


async def database_time(pool: Pool) -> datetime:
    async with pool.connection() as connection:
        return await store_clock.now(connection)


async def declare_at(pool: Pool, *ahead: int) -> dict[str, datetime]:
    """
    Declare a task for each whole second that many seconds ahead; return the nominal times by name.

    They are ahead by half a second less at least: what has passed when a task is declared never fires.
    """
    now = (await database_time(pool) + timedelta(seconds=0.5)).replace(microsecond=0)
    times = {f"t{seconds}": now + timedelta(seconds=seconds) for seconds in ahead}
    await declare(
        pool, *(task(name, LOG, schedules=[{"at": at.strftime("%Y-%m-%dT%H:%M:%S")}]) for name, at in times.items())
    )
    return times


async def lags(pool: Pool, times: dict[str, datetime], *, seconds: float = 60) -> list[float]:
    """Wait until all tasks have fired, once and at their nominal time; return by how many seconds they were late."""
    async with asyncio.timeout(seconds):
        while True:
            async with pool.connection() as connection:
                fires = {
                    name: await status.fires(connection, namespace="default", name=name, limit=9) for name in times
                }
            if all(fires.values()):
                break
            await asyncio.sleep(0.02)
    assert {name: [fire.scheduled_at for fire in found] for name, found in fires.items()} == {
        name: [at] for name, at in times.items()
    }
    assert {fire.outcome for found in fires.values() for fire in found} == {"Fired"}
    return [(found[0].decided_at - found[0].scheduled_at).total_seconds() for found in fires.values()]


async def test_tasks_that_are_declared_while_it_runs_fire_on_time(pool: Pool, clock: Clock) -> None:
    async with ticking(clock):
        late = await lags(pool, await declare_at(pool, 2, 3, 4, 5, 6))

    assert median(late) < at_most(0.25)
    assert max(late) < at_most(2)


async def test_a_notification_is_enough_to_learn_of_a_task(
    pool: Pool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock_module, "SWEEP_EVERY", NEVER)
    monkeypatch.setattr(clock_module, "PLAN_EVERY", NEVER)
    heard = asyncio.Event()
    monkeypatch.setattr(clock, "_heard", _and_set(clock._heard, heard))

    async with ticking(clock):
        await heard.wait()
        late = await lags(pool, await declare_at(pool, 2))

    assert late[0] < at_most(2)


def _and_set(work: Callable[[], object], event: asyncio.Event) -> Callable[[], object]:
    async def both() -> None:
        await work()  # type: ignore[misc]
        event.set()

    return both


async def test_without_notifications_the_sweep_finds_what_is_due(
    pool: Pool, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deaf(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(clock_module, "listen", deaf)
    async with ticking(clock):
        late = await lags(pool, await declare_at(pool, 2))

    assert late[0] < at_most(3)


async def test_what_was_due_before_it_started_fires_at_once(pool: Pool, clock: Clock) -> None:
    times = await declare_at(pool, 2)
    async with asyncio.timeout(60):
        while await database_time(pool) <= times["t2"]:
            await asyncio.sleep(0.02)

    async with ticking(clock):
        await lags(pool, times)


async def test_a_run_that_waits_comes_back_when_its_time_has_come(pool: Pool, clock: Clock) -> None:
    async with pool.connection() as connection:
        (run_id,) = await make_runs(connection, await make_task(connection))
        (leased,) = await work.lease(connection, worker="w", limit=1, ttl=NEVER)
        wait = Settlement(leased, run=RunResult(RunPhase.WAITING, delay=timedelta(seconds=1)))
        await settle(connection, [wait], done=[leased.lease_id])

    async with ticking(clock), asyncio.timeout(60), pool.connection() as connection:
        while not (again := await work.lease(connection, worker="w", limit=1, ttl=NEVER)):
            await asyncio.sleep(0.02)
        run = await runs.get(connection, namespace="default", run_id=run_id)

    assert again[0].run_id == run_id
    assert run is not None
    assert (again[0].leased_at - leased.leased_at).total_seconds() >= 1


def failures(job: str) -> float:
    return REGISTRY.get_sample_value("ordinaut_job_failures_total", {"loop": job}) or 0.0


@pytest.mark.parametrize(
    ("error", "need"),
    [
        (psycopg.OperationalError("no route"), "database"),
        (redis.ConnectionError("no route"), "redis"),
        (RuntimeError("a defect"), None),
    ],
)
async def test_a_failing_loop_is_counted_tried_again_and_holds_up_no_other(
    clock: Clock, readiness: Readiness, monkeypatch: pytest.MonkeyPatch, error: Exception, need: str | None
) -> None:
    # The clock's own loops prove ever again that the database is there.
    monkeypatch.setattr(clock_module, "SWEEP_EVERY", NEVER)
    monkeypatch.setattr(clock_module, "PLAN_EVERY", NEVER)
    rounds = {"failing": 0, "sound": 0}
    broken = True

    async def failing() -> None:
        rounds["failing"] += 1
        if broken:
            raise error

    async def sound() -> None:
        rounds["sound"] += 1

    before = failures("failing")
    clock.every(SOON, failing, name="failing", need=need or "x")
    clock.every(SOON, sound, name="sound", need="y")
    async with ticking(clock):
        await until(lambda: rounds["failing"] >= 3 and rounds["sound"] >= 3)
        assert failures("failing") - before >= 2
        assert failures("sound") == 0
        # Until the last of the clock's own first rounds is over.
        await until(lambda: readiness.reasons == ({} if need is None else {need: "no route"}))
        broken = False
        reached = rounds["failing"]
        await until(lambda: rounds["failing"] > reached + 1)
        assert readiness.ready


async def test_a_loop_never_runs_twice_at_a_time(clock: Clock) -> None:
    under_way, most, done = 0, 0, 0

    async def slow() -> None:
        nonlocal under_way, most, done
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.1)
        under_way -= 1
        done += 1

    clock.every(SOON, slow, name="slow")
    async with ticking(clock):
        await until(lambda: done >= 3)

    assert most == 1


async def test_a_round_that_is_cut_short_when_it_stops_is_no_failure(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    begun = asyncio.Event()

    async def endless() -> None:
        begun.set()
        await asyncio.Event().wait()

    clock.every(SOON, endless, name="endless")
    async with ticking(clock):
        await begun.wait()
    for _ in range(5):
        await asyncio.sleep(0)

    assert failures("endless") == 0
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_clocks_that_disagree_make_it_unready_until_they_agree(
    pool: Pool, clock: Clock, readiness: Readiness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock_module, "PLAN_EVERY", SOON)
    real = store_clock.now

    async def wrong(connection: object) -> datetime:
        return await real(connection) + timedelta(minutes=5)  # type: ignore[arg-type]

    async with ticking(clock):
        with monkeypatch.context() as skewed:
            skewed.setattr(store_clock, "now", wrong)
            await until(lambda: "clock" in readiness.reasons)
            assert readiness.reasons["clock"].startswith("this machine's clock is 300 s away from the database's")
        await until(lambda: readiness.ready)


async def test_many_clocks_fire_each_time_once(pool: Pool, database: str) -> None:
    clocks = [Clock(pool, url=database, readiness=Readiness()) for _ in range(3)]
    async with ticking(clocks[0]), ticking(clocks[1]), ticking(clocks[2]):
        times = await declare_at(pool, 2, 2, 3, 3)
        await lags(pool, times)

    async with pool.connection() as connection:
        made = await runs.list_(connection, namespace="default", limit=99)
    assert len(made) == len(times)


async def test_who_has_time_lets_the_clock_go_first_but_not_for_ever(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock_module, "SWEEP_EVERY", SOON)
    fired, go_on = asyncio.Event(), asyncio.Event()

    async def fire_due(*_: object, **__: object) -> clock_module.fire.Round:
        fired.set()
        await go_on.wait()
        return clock_module.fire.Round()

    monkeypatch.setattr(clock_module.fire, "fire_due", fire_due)
    await asyncio.wait_for(clock.at_rest(), 60)
    async with ticking(clock):
        await fired.wait()
        waiting = asyncio.create_task(clock.at_rest())
        await asyncio.sleep(0)
        assert not waiting.done()
        await asyncio.wait_for(waiting, 60)  # patience is over
        monkeypatch.setattr(clock_module, "PATIENCE", NEVER)
        waiting = asyncio.create_task(clock.at_rest())
        go_on.set()
        await asyncio.wait_for(waiting, 60)

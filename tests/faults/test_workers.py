"""Workers that die, sleep through their lease, or are told to go: nothing lost, nothing committed twice."""

import asyncio
import signal
from uuid import UUID

import pytest

from ordinaut.states import ENDED_RUN_PHASES
from ordinaut.store import runs
from ordinaut.store.pool import Pool
from ordinaut.store.runs import Run, Step
from tests.declaring import declare, run_now, task, tool
from tests.running import Processes, Running, until
from tests.toolserver import ToolServer

STEPS = ["one", "two", "three", "four", "five"]


async def result(pool: Pool, run_id: UUID, *, seconds: float = 60) -> tuple[Run, list[Step]]:
    """Return a run and its steps once it has ended."""
    async with asyncio.timeout(seconds):
        while True:
            async with pool.connection() as connection:
                run = await runs.get(connection, namespace="default", run_id=run_id)
                if run is not None and run.phase in ENDED_RUN_PHASES:
                    return run, await runs.steps(connection, run_id=run_id)
            await asyncio.sleep(0.05)


async def five_steps(pool: Pool, toolserver: ToolServer) -> UUID:
    """Start a run of five steps and return its key."""
    steps = [{"id": name, "uses": name, "with": {"n": n}} for n, name in enumerate(STEPS)]
    await declare(pool, *(tool(name, toolserver.url) for name in STEPS), task("t", *steps))
    return await run_now(pool, namespace="default", name="t")


async def called(toolserver: ToolServer, name: str, *, times: int = 1) -> None:
    """Wait until a tool has been called."""
    async with asyncio.timeout(60):
        while len(toolserver.calls(name)) < times:
            await asyncio.sleep(0.01)


@pytest.fixture
def operator(processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Running:
    """A running operator without resources: it takes leases back and keeps time."""
    folder = tmp_path_factory.mktemp("manifests")
    return processes.start("operator", source="directory", directory=folder)


@pytest.mark.usefixtures("operator")
async def test_a_killed_worker_loses_no_committed_step(
    pool: Pool, toolserver: ToolServer, processes: Processes
) -> None:
    worker = processes.start("worker", lease_seconds=2)
    gate = toolserver.gate("three")
    run_id = await five_steps(pool, toolserver)
    await called(toolserver, "three")

    worker.kill()
    processes.start("worker")
    await called(toolserver, "three", times=2)
    gate.set()

    run, steps = await result(pool, run_id)
    assert (run.phase, run.attempt) == ("Succeeded", 2)
    assert [step.step_id for step in steps] == STEPS
    assert [len(toolserver.calls(name)) for name in STEPS] == [1, 1, 2, 1, 1]
    assert {effect.key for effect in toolserver.calls("three")} == {f"{run_id}/three"}


@pytest.mark.usefixtures("operator")
async def test_a_worker_that_slept_through_its_lease_cannot_commit(
    pool: Pool, toolserver: ToolServer, processes: Processes
) -> None:
    zombie = processes.start("worker", lease_seconds=1, worker_name="zombie")
    gate = toolserver.gate("two")
    run_id = await five_steps(pool, toolserver)
    await called(toolserver, "two")

    zombie.send(signal.SIGSTOP)
    try:
        processes.start("worker", lease_seconds=30, worker_name="fresh")
        await called(toolserver, "two", times=2)
        gate.set()
        run, steps = await result(pool, run_id)
    finally:
        zombie.send(signal.SIGCONT)

    assert run.phase == "Succeeded"
    until(lambda: "no longer this worker's" in zombie.log() or "lease was lost" in zombie.log(), what=zombie.log)
    after = await result(pool, run_id)
    assert after == (run, steps)
    assert [len(toolserver.calls(name)) for name in STEPS] == [1, 2, 1, 1, 1]


async def test_a_worker_that_is_told_to_go_finishes_its_runs(
    pool: Pool, toolserver: ToolServer, processes: Processes
) -> None:
    worker = processes.start("worker", grace_seconds=20)
    gate = toolserver.gate("five")
    run_id = await five_steps(pool, toolserver)
    await called(toolserver, "five")

    worker.send(signal.SIGTERM)
    gate.set()

    run, _ = await result(pool, run_id)
    assert (run.phase, run.attempt) == ("Succeeded", 1)
    assert until(lambda: worker.process.poll() is not None, what=worker.log)
    assert worker.process.returncode == 0
    assert [len(toolserver.calls(name)) for name in STEPS] == [1] * 5


async def test_a_worker_gives_back_what_it_cannot_finish_within_the_grace(
    pool: Pool, toolserver: ToolServer, processes: Processes
) -> None:
    worker = processes.start("worker", grace_seconds=0)
    gate = toolserver.gate("two")
    run_id = await five_steps(pool, toolserver)
    await called(toolserver, "two")

    worker.send(signal.SIGTERM)
    until(lambda: worker.process.poll() is not None, what=worker.log)
    processes.start("worker")
    await called(toolserver, "two", times=2)
    gate.set()

    run, _ = await result(pool, run_id)
    assert (run.phase, run.attempt) == ("Succeeded", 1)
    assert len(toolserver.calls("one")) == 1


async def test_poison_is_parked(pool: Pool, toolserver: ToolServer, processes: Processes, tmp_path: object) -> None:
    processes.start("operator", source="directory", directory=tmp_path, max_deliveries=2)
    toolserver.gate("one")
    run_id = await five_steps(pool, toolserver)
    for deliveries in (1, 2):
        worker = processes.start("worker", lease_seconds=1)
        await called(toolserver, "one", times=deliveries)
        worker.kill()

    run, _ = await result(pool, run_id)
    assert (run.phase, run.reason) == ("Parked", "MaxDeliveriesExceeded")
    assert "each of 2 deliveries" in (run.error or "")

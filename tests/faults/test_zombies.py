"""F2: workers that sleep through their leases and wake up again: what they still hold counts for nothing."""

import asyncio
import signal
import time

import pytest

from tests.faults.conftest import Tell
from tests.faults.counts import choices, count, seconds
from tests.faults.scene import LEASE, Scene, moment
from tests.running import Running
from tests.timing import at_most

STOPS = count("F2")
WORKERS = 3
ASLEEP = WORKERS - 1
"""Workers asleep at the same time at most; the others take their runs over."""

SAID = ("no longer this worker's", "lease was lost", "results dropped")
"""What a worker logs that has lost a lease."""


def complaints(worker: Running) -> int:
    """Return how often a worker has said that it lost a lease."""
    return sum(said in line for line in worker.log(lines=1_000_000).splitlines() for said in SAID)


@pytest.mark.timeout(seconds("F2"))
async def test_a_worker_that_wakes_up_after_its_lease_commits_nothing(scene: Scene, tell: Tell) -> None:
    chance = choices("F2")
    scene.operator()
    for _ in range(WORKERS):
        scene.worker()
    awake = list(await scene.ready(at_least=WORKERS))
    limit = asyncio.Semaphore(ASLEEP)

    async def sleep(zombie: Running) -> None:
        """Stop a worker until its leases are gone and a while longer, and see it say so."""
        before = complaints(zombie)
        name, since = scene.name(zombie), time.time()
        scene.lost_at[name].append(since)
        zombie.send(signal.SIGSTOP)
        try:
            await scene.until(
                lambda: scene.ledger.one("SELECT count(*) FROM work_lease WHERE worker = %s", name) == 0,
                what="the reaper",
            )
            await moment(chance, 0, LEASE / 2)
        finally:
            zombie.send(signal.SIGCONT)
        lost = scene.ledger.one(
            "SELECT count(*) FROM witness.expiry WHERE worker = %s AND at > to_timestamp(%s)", name, since
        )
        if lost:
            await scene.until(lambda: complaints(zombie) > before, what=f"{zombie.name} to notice")
        awake.append(zombie)
        limit.release()

    async with scene.load(), asyncio.TaskGroup() as stops:
        for _ in range(STOPS):
            await limit.acquire()
            await moment(chance, 0.1, 0.5)
            awake.remove(zombie := chance.choice(awake))
            stops.create_task(sleep(zombie))
    await scene.over()

    figures = scene.check()

    assert figures.redelivered > 0
    assert figures.takeover[1] is not None
    assert figures.takeover[1] < at_most(LEASE + 2)
    tell("F2", figures, faults=STOPS)

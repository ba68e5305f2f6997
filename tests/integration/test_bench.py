"""Ordinaut's own parts of the benchmarks do each job exactly once, on a small scale."""

from dataclasses import replace

import pytest

from bench import contest
from bench.contest import OURS, RAW, RAW_BATCH, RAW_ONE, Contestant, Program

pytestmark = pytest.mark.integration

COUNT = 1_100  # more than two batches
WARM = 3


@pytest.mark.parametrize("contestant", [OURS, RAW, RAW_BATCH, RAW_ONE], ids=lambda one: f"{one.variant or 'ours'}")
async def test_each_job_is_done_exactly_once(contestant: Contestant, database: str) -> None:
    program = await Program.start(contestant, database, "drain", count=COUNT, warm=WARM)
    try:
        assert await program.said() == {"ready": True}
        program.go()
        said = await program.said()
        program.go()
        left = await program.said()
    finally:
        await program.end()

    contest.check(contestant, said | left, count=COUNT)
    assert said["seconds"] > 0


@pytest.mark.parametrize("contestant", [OURS, RAW], ids=["ours", "raw"])
async def test_each_job_is_picked_up_by_a_worker_that_was_there_before(contestant: Contestant, database: str) -> None:
    worker = await Program.start(contestant, database, "work", count=5, warm=WARM)
    try:
        await worker.said()
        waits = await contest.pick_up(contestant, database, count=5, warm=WARM, worker=worker)
    finally:
        await worker.end()

    assert len(waits) == 5
    assert min(waits) > 0


async def test_a_program_that_ends_early_is_told_with_what_it_said() -> None:
    program = await Program.start(replace(RAW, variant="none such"), "postgresql:///", "drain", count=1, warm=1)

    try:
        with pytest.raises(contest.Broken, match="KeyError: 'none such'"):
            await program.said()
    finally:
        await program.end()

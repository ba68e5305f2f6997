"""
Processes whose clocks are wrong, or set while they run: nothing fires early, late or twice, and no lease is lost.

Only the clock of the process is wrong, never PostgreSQL's. The operator says in ``/readyz`` that its clock is wrong.
"""

import asyncio
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from ordinaut.states import ENDED_RUN_PHASES
from ordinaut.store import runs
from ordinaut.store.pool import Pool
from tests.chart.ledger import Ledger
from tests.declaring import declare, run_now, task, tool
from tests.running import Processes, Running, until
from tests.timing import at_most
from tests.toolserver import Answer, Effect, ToolServer

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
EVERY = timedelta(seconds=10)
MINUTES, YEAR = 5 * 60, 365 * 86_400
LEASE = 2
"""Seconds; a worker that gets no CPU for as long loses its lease, whatever its clock says."""


def to_a_change_of_the_clocks() -> float:
    """Return the seconds from now to shortly before the clocks of Berlin are set forward."""
    return (datetime(2031, 3, 30, 0, 59, 58, tzinfo=UTC) - datetime.now(UTC)).total_seconds()


def start(processes: Processes, program: str, clock: Path, **settings: Any) -> Running:
    return processes.start(
        "tests.wrongclock", wait=False, test_program=f"ordinaut_{program}", test_clock_file=clock, **settings
    )


def fires_on(ledger: Ledger, *, times: int = 2) -> None:
    """Wait until there are so many more seconds in which something fired, and hold that it was then, not later."""
    began: datetime = ledger.one("SELECT now()")
    query = (
        "SELECT scheduled_at, min(decided_at), max(decided_at) FROM fire WHERE decided_at > %s AND scheduled_at > %s"
        " GROUP BY 1 ORDER BY 1"
    )
    found: list[Any] = until(
        lambda: len(rows := ledger.rows(query, began, began)) >= times and rows,
        what=f"fires since {began}",
        seconds=times + 15,
    )
    for scheduled_at, first, last in found[:times]:
        assert first >= scheduled_at
        assert (last - scheduled_at).total_seconds() < at_most(2)


@pytest.mark.parametrize(
    ("wrong", "then"), [(MINUTES, "a year behind"), (-MINUTES, "a change of the clocks"), (YEAR, "minutes behind")]
)
async def test_an_operator_with_a_wrong_clock_fires_on_time_and_says_so(
    pool: Pool, database: str, processes: Processes, tmp_path: Path, wrong: int, then: str
) -> None:
    (folder := tmp_path / "manifests").mkdir()
    (clock := tmp_path / "clock").write_text("0")
    schedules = [[{"cron": f"{second}/10 * * * * *"}] for second in range(10)]
    await declare(
        pool, *(task(f"t{n}", LOG, schedules=one, catchUp={"policy": "All"}) for n, one in enumerate(schedules))
    )
    ledger = Ledger(database)
    clock.write_text(str(wrong))
    processes.environment["TZ"] = "Europe/Berlin"
    operator = start(processes, "operator", clock, source="directory", directory=folder)

    def reason() -> str:
        return str(operator.readiness().get("reasons", {}).get("clock", ""))

    said: str = until(reason, what=operator.log)
    found = re.fullmatch(r"this machine's clock is (\d+) s away from the database's; set it right", said)
    assert found, said
    assert abs(int(found[1]) - abs(wrong)) <= 2
    fires_on(ledger)

    # Somebody sets it right while it runs, and then wrong again, the other way.
    clock.write_text("0")
    fires_on(ledger)
    until(lambda: operator.readiness() == {"status": "ready"}, what=operator.log)
    known = {"a year behind": -YEAR, "minutes behind": -MINUTES}
    clock.write_text(str(known.get(then) or to_a_change_of_the_clocks()))
    fires_on(ledger)
    until(reason, what=operator.log)
    operator.kill()
    ledger.check_fires(EVERY)


def slowly(effect: Effect) -> Answer:
    """Answer after more than a lease."""
    time.sleep(1.2 * LEASE)
    return Answer(effect.input)


async def ended(pool: Pool, made: list[UUID]) -> list[runs.Run]:
    async with asyncio.timeout(60):
        while True:
            async with pool.connection() as connection:
                found = await runs.list_(connection, namespace="default", limit=99)
            if {run.run_id for run in found if run.phase in ENDED_RUN_PHASES} == set(made):
                return found
            await asyncio.sleep(0.05)


async def test_leases_do_not_depend_on_the_clocks_of_workers(
    pool: Pool, processes: Processes, toolserver: ToolServer, tmp_path: Path
) -> None:
    """Of two workers one is a year ahead, then set a year back as it works: each step is done once, in one delivery."""
    clocks = [tmp_path / "right", tmp_path / "wrong"]
    for clock, off in zip(clocks, (0, YEAR), strict=True):
        clock.write_text(str(off))
    (folder := tmp_path / "manifests").mkdir()
    toolserver.answers = {"slow": slowly}
    await declare(
        pool, tool("slow", toolserver.url), task("t", {"id": "one", "uses": "slow"}, {"id": "two", "uses": "slow"})
    )
    processes.start("operator", wait=False, source="directory", directory=folder)
    workers = [start(processes, "worker", clock, lease_seconds=LEASE, worker_slots=3) for clock in clocks]
    until(lambda: all(one.readiness().get("status") == "ready" for one in workers), what=workers[1].log)

    made = [await run_now(pool, namespace="default", name="t") for _ in range(6)]
    until(lambda: len(toolserver.calls("slow")) >= 6, what="both workers to be at it")
    clocks[1].write_text(str(-YEAR))
    found = await ended(pool, made)
    assert {(run.phase, run.attempt) for run in found} == {("Succeeded", 1)}
    assert len(toolserver.calls("slow")) == 12

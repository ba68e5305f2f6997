"""
The scene of a fault: an operator, some workers, and runs that keep coming, until the test has seen enough.

Every run has the same steps, which call tools of the test and tell them which delivery of the run it is. Of the tasks
one is run again and again by hand, one fires every ten seconds, and one allows a single run at a time.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg_pool import PoolTimeout

from ordinaut.errors import Conflict
from ordinaut.store.pool import Pool
from tests.chart.ledger import Ledger
from tests.declaring import declare, run_now, task, tool
from tests.faults import invariants, witness
from tests.faults.invariants import Figures
from tests.running import Processes, Running, until
from tests.toolserver import Answer, Effect, ToolServer

STEPS = ["one", "two", "three"]
EVERY = timedelta(seconds=10)
LEASE = 1
"""Seconds that the leases of a scene last."""

STEP_SECONDS = 0.02
AT_ONCE = 30
"""Runs under way at any moment: enough that each fault hits some step of some run."""


def slowly(effect: Effect) -> Answer:
    """Answer what was asked after a moment in which the caller may die."""
    time.sleep(STEP_SECONDS)
    return Answer(effect.input)


def steps(names: list[str] = STEPS) -> list[dict[str, Any]]:
    """Return steps that tell their tools which delivery of the run they are of."""
    return [{"id": name, "uses": name, "with": {"step": name, "delivery": "${run.attempt}"}} for name in names]


class Scene:
    """
    One database with its processes.

    Args:
        database: its URL, for the witness and the checks; processes may be told another one.
        pool: to the same database, for making runs.
        processes: starts them.
        toolserver: of the steps.
        folder: without manifests, for the operator.
    """

    def __init__(
        self, *, database: str, pool: Pool, processes: Processes, toolserver: ToolServer, folder: Path
    ) -> None:
        self.ledger = Ledger(database)
        self.pool = pool
        self.workers: list[Running] = []
        self.names: dict[str, str] = {}
        """By the name of a process, the name of its worker in leases."""
        self.acknowledged: list[UUID] = []
        self.lost_at: dict[str, list[float]] = defaultdict(list)
        """By the name of a worker, when it was killed or stopped."""
        self.tools = toolserver
        self._database = database
        self._processes = processes
        self._folder = folder
        self._numbers = 0

    async def set(self) -> None:
        """Declare everything, and have the witness watch."""
        witness.install(self._database)
        self.tools.answers = dict.fromkeys(STEPS, slowly)
        await declare(
            self.pool,
            *(tool(name, self.tools.url) for name in STEPS),
            task("t", *steps()),
            task("alone", *steps(), concurrencyPolicy="Forbid"),
            task("often", *steps(), schedules=[{"interval": "10s"}], catchUp={"policy": "All"}),
        )

    def operator(self, **settings: Any) -> Running:
        """Start an operator; by default it never parks."""
        told = {"max_deliveries": 1000, "log_level": "WARNING"} | settings
        return self._processes.start("operator", wait=False, source="directory", directory=self._folder, **told)

    def worker(self, **settings: Any) -> Running:
        """Start one more worker."""
        name = f"w{self._numbers}"
        self._numbers += 1
        told = {"lease_seconds": LEASE, "poll_seconds": 0.2, "log_level": "WARNING"} | settings
        worker = self._processes.start("worker", wait=False, worker_name=name, **told)
        self.names[worker.name] = name
        self.workers.append(worker)
        return worker

    def name(self, worker: Running) -> str:
        """Return a worker's name in leases."""
        return self.names[worker.name]

    def kill(self, worker: Running) -> None:
        """Kill a worker without any chance to say good-bye, and remember when."""
        self.workers.remove(worker)
        self.lost_at[self.name(worker)].append(time.time())
        worker.kill()

    async def ready(self, *, at_least: int) -> list[Running]:
        """Wait until so many workers are ready, and return those that are."""

        def found() -> list[Running]:
            assert [one.name for one in self.workers if one.process.poll() is not None] == []
            there = [one for one in self.workers if one.readiness().get("status") == "ready"]
            return there if len(there) >= at_least else []

        return list(await self.until(found, what=f"{at_least} ready workers"))

    async def until(self, condition: Callable[[], Any], *, what: str, seconds: float = 90) -> Any:
        """Wait for a condition without holding up the runs that are being made."""
        return await asyncio.to_thread(
            until, condition, what=lambda: f"{what}; log:\n{self._processes.logs()}", seconds=seconds
        )

    @asynccontextmanager
    async def load(self, *, at_once: int = AT_ONCE) -> AsyncIterator[None]:
        """Keep runs under way, as long as the context lasts."""
        keeper = asyncio.create_task(self._keep(at_once))
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.wait({keeper})
            if not keeper.cancelled() and (error := keeper.exception()) is not None:
                raise error

    async def _keep(self, at_once: int) -> None:
        while True:
            with suppress(psycopg.OperationalError, PoolTimeout):  # what is not confirmed may be there or not
                async with self.pool.connection() as connection:
                    row = await (await connection.execute("SELECT count(*) FROM live_work")).fetchone()
                with suppress(Conflict):
                    await self._make("alone")
                for _ in range(at_once - (row[0] if row else 0)):
                    await self._make("t")
            await asyncio.sleep(0.05)

    async def _make(self, name: str) -> None:
        self.acknowledged.append(await run_now(self.pool, namespace="default", name=name))

    async def over(self, *, seconds: float = 90) -> None:
        """Wait until every run has ended and nothing fires any more."""
        self.ledger.rows("UPDATE task_clock SET next_fire_at = NULL RETURNING 1")
        await self.until(lambda: self.ledger.unfinished() == 0, what="the end of all runs", seconds=seconds)

    def check(self, *, once: bool = False) -> Figures:
        """Hold the invariants."""
        return invariants.check(
            self.ledger,
            steps=STEPS,
            every=EVERY,
            acknowledged=self.acknowledged,
            effects=self.tools.effects,
            killed=self.lost_at,
            once=once,
        )


async def moment(chance: random.Random, least: float, most: float) -> None:
    """Let a random time go by: where in its work a fault hits the system is the choice."""
    await asyncio.sleep(chance.uniform(least, most))

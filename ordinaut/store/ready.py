"""
Waiting for a database that can be worked with.

Every process but ``ordinaut migrate`` starts with this: it neither migrates nor fails, it says in ``/readyz`` what it
waits for.
"""

import asyncio

import psycopg

from ordinaut import metrics
from ordinaut.errors import StoreUnready
from ordinaut.logging import get_logger
from ordinaut.probes import Readiness
from ordinaut.store import migrate
from ordinaut.store.pool import Connection, Pool

NEED = "database"
INTERVAL = 1.0
"""Seconds between looks."""

log = get_logger(__name__)


async def check_migrated(connection: Connection) -> None:
    """Raise ``StoreUnready`` unless the database has every migration of this program."""
    metrics.SCHEMA_EXPECTED.set(migrate.latest_version())
    metrics.SCHEMA_VERSION.set(await migrate.applied_version(connection))
    if missing := await migrate.pending(connection):
        raise StoreUnready(f"the database lacks migration {missing[0].name}; run `ordinaut migrate`")


async def wait_until_migrated(pool: Pool, *, readiness: Readiness) -> None:
    """Return when the database answers and has been migrated; meanwhile ``readiness`` says why not."""
    said = ""
    while True:
        try:
            async with pool.connection(timeout=5) as connection:
                await check_migrated(connection)
        except (psycopg.Error, StoreUnready) as error:
            why = str(error).strip() or type(error).__name__
            readiness.missing(NEED, why=why)
            if why != said:
                log.warning("waiting for the database", reason=why)
                said = why
        else:
            readiness.met(NEED)
            return
        await asyncio.sleep(INTERVAL)

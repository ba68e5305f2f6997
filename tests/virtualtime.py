"""
A database whose ``now()`` is what a test says, so that the real firing statements live through years within seconds.

The connections of :func:`open_virtual` look up functions in a schema of the test's own before PostgreSQL's: every
statement runs as it is, but its ``now()`` is the one there. Only defaults of columns, which are bound to PostgreSQL's
own ``now()`` when a table is made, still say when something really happened.

``python -m tests.virtualtime`` does it in a process of its own, which may live by other time zone data: it reads a
:class:`Life` as JSON, declares and fires, and prints the version of its data.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from unittest import mock

from pydantic import BaseModel

from ordinaut.schedule import tzdata_version
from ordinaut.store import pool as pools
from ordinaut.store.pool import Pool
from ordinaut_operator import fire
from tests.declaring import declare

_SCHEMA = """
CREATE SCHEMA IF NOT EXISTS virtual;
CREATE TABLE IF NOT EXISTS virtual.instant (at timestamptz NOT NULL);
CREATE OR REPLACE FUNCTION virtual.now() RETURNS timestamptz STABLE LANGUAGE plpgsql AS
    'BEGIN RETURN (SELECT at FROM virtual.instant); END';
"""


class VirtualTime:
    """The time of one database; what asks it goes through ``pool``."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def set(self, now: datetime) -> None:
        """Let it be ``now``."""
        async with self.pool.connection() as connection, connection.transaction():
            await connection.execute("DELETE FROM virtual.instant")
            await connection.execute("INSERT INTO virtual.instant VALUES (%s)", [now])

    async def fire(self, now: datetime) -> fire.Round:
        """Let it be ``now``, and have the operator's clock fire until nothing is due."""
        await self.set(now)
        total = fire.Round()
        while (done := await fire.fire_due(self.pool)).claimed:
            total.claimed += done.claimed
            total.fired += done.fired
            total.skipped += done.skipped
        return total


@asynccontextmanager
async def open_virtual(url: str, *, now: datetime) -> AsyncIterator[VirtualTime]:
    """Open a pool to a database in which it is ``now`` until the test says otherwise."""
    with mock.patch.object(pools, "SCHEMA", "virtual,ordinaut,pg_catalog"):
        opening = pools.open_pool(url, application="virtual", size=4)
        pool = await opening.__aenter__()
    try:
        await pool.wait()
        async with pool.connection() as connection:
            await connection.execute(_SCHEMA)
        time = VirtualTime(pool)
        await time.set(now)
        yield time
    finally:
        await opening.__aexit__(None, None, None)


class Life(BaseModel):
    """What a process is to do: declare documents when it is the first moment, and fire at each."""

    url: str
    documents: list[dict[str, Any]]
    moments: list[datetime]


async def live(life: Life) -> None:
    """Do it."""
    async with open_virtual(life.url, now=life.moments[0]) as time:
        await declare(time.pool, *life.documents)
        for moment in life.moments:
            await time.fire(moment)


if __name__ == "__main__":
    asyncio.run(live(Life.model_validate_json(sys.stdin.read())))
    print(tzdata_version())

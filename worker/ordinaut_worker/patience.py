"""Reading from PostgreSQL for as long as it takes: a run under way waits for the database instead of failing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg

from ordinaut.logging import get_logger
from ordinaut.store.pool import Connection, Pool

MAX_BACKOFF = 5.0
"""Seconds between attempts, at most."""

Result = TypeVar("Result")

log = get_logger(__name__)


async def read(pool: Pool, query: Callable[[Connection], Awaitable[Result]]) -> Result:
    """Return what ``query`` returns, trying again while the database is away. It must be safe to repeat."""
    backoff = 0.1
    while True:
        try:
            async with pool.connection() as connection:
                return await query(connection)
        except psycopg.OperationalError as error:
            log.warning("waiting for the database", error=str(error).strip(), retry_in=backoff)
        await asyncio.sleep(backoff)
        backoff = min(backoff * 2, MAX_BACKOFF)

"""
Connections to PostgreSQL.

Every process opens one pool here and hands single connections to the functions of this package. ``search_path`` is
set for each connection, so that statements name tables plainly; autocommit is on, so that a transaction is always an
explicit ``async with connection.transaction()``.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

import orjson
from psycopg import AsyncConnection, AsyncCursor
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

from ordinaut.store import arrays
from ordinaut.store.queries import SQL

Connection = AsyncConnection[tuple[Any, ...]]
Pool = AsyncConnectionPool[Connection]

Row = TypeVar("Row")

SCHEMA = "ordinaut"

FETCHED_AT_ONCE: Final = 50

RECONNECT_TIMEOUT = 3.0
"""
Seconds after which the pool gives an attempt to connect up, and starts anew when it is next asked for a connection.

Its pauses double within an attempt: a longer one would still be asleep long after the server is back.
"""

set_json_loads(orjson.loads)
set_json_dumps(orjson.dumps)
arrays.register()


_BY_KEY = " -c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off -c enable_mergejoin=off"
_PLANNED_ONCE = " -c plan_cache_mode=force_generic_plan"

CHECK_AFTER = 1.0
"""Seconds since a connection was lent last, after which it is asked for a sign of life before it is lent again."""

_lent: WeakKeyDictionary[AsyncConnection[Any], float] = WeakKeyDictionary()


def connection_options(
    *, application: str, statement_timeout: timedelta, by_key: bool = False, planned_once: bool = False
) -> dict[str, Any]:
    """
    Return keyword arguments for ``psycopg.connect`` that every connection of Ordinaut shares.

    TCP keepalives and ``tcp_user_timeout`` bound how long a vanished server can hold a connection (some 15 s).
    ``by_key`` is for a process whose statements look up rows by key only: in a young partition the planner would rather
    read all rows, and keep to that plan while they become a hundred thousand. ``planned_once`` is for statements that
    look into each day's partition: planning them takes ten times as long as what they do.
    """
    milliseconds = int(statement_timeout.total_seconds() * 1000)
    planning = (_BY_KEY if by_key else "") + (_PLANNED_ONCE if planned_once else "")
    return {
        "autocommit": True,
        "application_name": f"ordinaut-{application}",
        "options": f"-c search_path={SCHEMA} -c statement_timeout={milliseconds} -c timezone=UTC"
        f" -c idle_in_transaction_session_timeout=60000{planning}",
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
        "prepare_threshold": 1,
    }


@asynccontextmanager
async def open_pool(
    url: str,
    *,
    application: str,
    size: int,
    statement_timeout: timedelta = timedelta(seconds=30),
    by_key: bool = False,
    planned_once: bool = False,
) -> AsyncIterator[Pool]:
    """
    Open a pool of at most ``size`` connections, without waiting for the first one.

    A process therefore starts, answers ``/healthz`` and says why it is not ready while PostgreSQL is away. ``by_key``
    and ``planned_once`` as in :func:`connection_options`.
    """
    options = connection_options(
        application=application, statement_timeout=statement_timeout, by_key=by_key, planned_once=planned_once
    )
    pool: Pool = AsyncConnectionPool(
        url,
        kwargs=options,
        min_size=1,
        max_size=size,
        timeout=10,
        reconnect_timeout=RECONNECT_TIMEOUT,
        check=_check_when_idle,
        open=False,
        name=application,
    )
    await pool.open(wait=False)
    try:
        yield pool
    finally:
        await pool.close()


async def _check_when_idle(connection: Connection) -> None:
    """Ask a connection for a sign of life unless it was lent a moment ago: a busy one need not spend a round trip."""
    now = time.monotonic()
    if now - _lent.get(connection, -CHECK_AFTER) >= CHECK_AFTER:
        await AsyncConnectionPool.check_connection(connection)
    _lent[connection] = now


async def connect(url: str, *, application: str, statement_timeout: timedelta = timedelta(seconds=30)) -> Connection:
    """Open one connection outside the pool, for LISTEN or a long session lock."""
    return await AsyncConnection.connect(
        url, **connection_options(application=application, statement_timeout=statement_timeout)
    )


async def fetch(cursor: AsyncCursor[Row]) -> list[Row]:
    """Return all rows of a page: some at a time, since making objects of hundreds keeps the event loop from others."""
    rows: list[Row] = []
    while part := await cursor.fetchmany(FETCHED_AT_ONCE):
        rows += part
        await asyncio.sleep(0)
    return rows


async def ping(connection: Connection) -> None:
    """Raise ``psycopg.Error`` unless the database answers."""
    await connection.execute(SQL["ping"])

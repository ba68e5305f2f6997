"""
Connections to PostgreSQL.

Every process opens one pool here and hands single connections to the functions of this package. ``search_path`` is
set for each connection, so that statements name tables plainly; autocommit is on, so that a transaction is always an
explicit ``async with connection.transaction()``.

Settings are made by a statement, not as ``options`` of the connection: PgBouncer refuses those, or drops them without a
word where it is told to ignore them.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

import orjson
from psycopg import AsyncConnection, AsyncCursor, OperationalError
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


_BY_KEY: Final = dict.fromkeys(("enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin"), "off")
_PLANNED_ONCE: Final = {"plan_cache_mode": "force_generic_plan"}

CHECK_AFTER = 1.0
"""Seconds since a connection was lent last, after which it is asked for a sign of life before it is lent again."""

ANSWER_TIME = 5.0
"""
Seconds after the time limit of a statement in which PostgreSQL must have said so.

It is PostgreSQL that holds the limit. Where the network takes what is sent and answers nothing, that would never be.
"""

LONGEST = 3600.0
"""Seconds that a statement may take whose own time limit was lifted."""

_lent: WeakKeyDictionary[AsyncConnection[Any], float] = WeakKeyDictionary()


class _Impatient(AsyncConnection[Row]):
    """A connection that counts as lost when an answer is overdue."""

    patience = 30.0 + ANSWER_TIME
    """Seconds."""

    async def wait(self, gen: Any, *arguments: Any, **more: Any) -> Any:
        """Wait for an answer as psycopg does, but not for ever."""
        try:
            async with asyncio.timeout(self.patience):
                return await super().wait(gen, *arguments, **more)
        except TimeoutError:
            await self.close()
            raise OperationalError(f"no answer within {self.patience:g} s") from None


@contextmanager
def unhurried(connection: AsyncConnection[Any]) -> Iterator[None]:
    """Wait for the answers of a connection as long as may be: its statements have no time limit meanwhile."""
    if not isinstance(connection, _Impatient):
        yield
        return
    before, connection.patience = connection.patience, LONGEST
    try:
        yield
    finally:
        connection.patience = before


def connection_options(*, application: str) -> dict[str, Any]:
    """
    Return keyword arguments for ``psycopg.connect`` that every connection of Ordinaut shares.

    TCP keepalives and ``tcp_user_timeout`` bound how long a vanished server can hold a connection (some 15 s).
    """
    return {
        "autocommit": True,
        "application_name": f"ordinaut-{application}",
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 15_000,
        "prepare_threshold": 1,
    }


def session_settings(
    *,
    statement_timeout: timedelta,
    idle_in_transaction: timedelta = timedelta(seconds=60),
    by_key: bool = False,
    planned_once: bool = False,
) -> dict[str, str]:
    """
    Return the settings of a session.

    ``idle_in_transaction`` bounds how long a process that was stopped in the middle of a transaction keeps its locks.
    ``by_key`` is for a process whose statements look up rows by key only: in a young partition the planner would rather
    read all rows, and keep to that plan while they become a hundred thousand. ``planned_once`` is for statements that
    look into each day's partition: planning them takes ten times as long as what they do.
    """
    return {
        "search_path": SCHEMA,
        "statement_timeout": str(int(statement_timeout.total_seconds() * 1000)),
        "timezone": "UTC",
        "idle_in_transaction_session_timeout": str(int(idle_in_transaction.total_seconds() * 1000)),
        **(_BY_KEY if by_key else {}),
        **(_PLANNED_ONCE if planned_once else {}),
    }


async def _set_up(connection: Connection, settings: Mapping[str, str]) -> None:
    """Make a new connection's settings."""
    if isinstance(connection, _Impatient):
        connection.patience = int(settings["statement_timeout"]) / 1000 + ANSWER_TIME
    names, values = list(settings), list(settings.values())
    await connection.execute(SQL["set_up_session"], {"names": names, "values": values}, prepare=False)


@asynccontextmanager
async def open_pool(
    url: str,
    *,
    application: str,
    size: int,
    statement_timeout: timedelta = timedelta(seconds=30),
    idle_in_transaction: timedelta = timedelta(seconds=60),
    by_key: bool = False,
    planned_once: bool = False,
) -> AsyncIterator[Pool]:
    """
    Open a pool of at most ``size`` connections, without waiting for the first one.

    A process therefore starts, answers ``/healthz`` and says why it is not ready while PostgreSQL is away. The
    other arguments are those of :func:`session_settings`.
    """
    settings = session_settings(
        statement_timeout=statement_timeout,
        idle_in_transaction=idle_in_transaction,
        by_key=by_key,
        planned_once=planned_once,
    )
    pool: Pool = AsyncConnectionPool(
        url,
        connection_class=_Impatient,
        kwargs=connection_options(application=application),
        configure=lambda connection: _set_up(connection, settings),
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
    connection = await _Impatient.connect(url, **connection_options(application=application))
    try:
        await _set_up(connection, session_settings(statement_timeout=statement_timeout))
    except BaseException:
        await connection.close()
        raise
    return connection


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

"""
Figures of the whole installation that metrics show: how tasks stand, how far partitions reach, the database itself.

The operator's janitor asks; nothing here decides anything.
"""

from dataclasses import dataclass

from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL

PARTITION_DAYS = 30
"""Days that are looked at for partitions; there should be a week's."""


@dataclass(frozen=True, slots=True)
class ClockFigures:
    """Seconds by which the longest due task is overdue, and the Unix time of the next fire; None if there is none."""

    overdue: float
    next_fire: float | None


@dataclass(frozen=True, slots=True)
class TaskFigures:
    """How many live tasks there are; each is one of the three."""

    ready: int
    paused: int
    not_ready: int


@dataclass(frozen=True, slots=True)
class DatabaseFigures:
    """Age of the oldest transaction in seconds, and the size in bytes."""

    oldest_transaction: float
    size: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a reader of the log of events has still to read: rows, and the age of the oldest in seconds."""

    rows: int
    age: float


async def clock(connection: Connection) -> ClockFigures:
    """Return whether the clock keeps time."""
    row = await (await connection.execute(SQL["clock_figures"])).fetchone()
    assert row is not None  # noqa: S101 - the statement always returns a row
    return ClockFigures(*row)


async def tasks(connection: Connection) -> TaskFigures:
    """Return how tasks stand; reads all of them."""
    row = await (await connection.execute(SQL["task_figures"])).fetchone()
    assert row is not None  # noqa: S101 - as above
    return TaskFigures(*row)


async def partition_days_ahead(connection: Connection) -> int:
    """Return how many days after today have all their partitions; -1 if today's are missing."""
    row = await (await connection.execute(SQL["partition_days_ahead"], {"up_to": PARTITION_DAYS})).fetchone()
    assert row is not None  # noqa: S101 - as above
    return int(row[0])


async def event_backlog(connection: Connection) -> dict[str, Backlog]:
    """Return how far the readers of the log are behind, by reader."""
    cursor = await connection.execute(SQL["event_backlog"])
    return {row[0]: Backlog(row[1], row[2]) for row in await cursor.fetchall()}


async def database(connection: Connection) -> DatabaseFigures:
    """Return what is known of the database itself."""
    row = await (await connection.execute(SQL["database_figures"])).fetchone()
    assert row is not None  # noqa: S101 - as above
    return DatabaseFigures(*row)

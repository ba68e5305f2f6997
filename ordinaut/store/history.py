"""
Day partitions of runs, steps and events: made ahead, dropped when their retention is over.

Dropping a partition costs the same whatever it holds; deleting its rows would cost as much as writing them did.
"""

from ordinaut.store.migrate import PARTITION_DAYS_AHEAD
from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL


async def ensure_partitions(connection: Connection, *, days_back: int = 1) -> int:
    """Make the partitions, from some days back to the coming ones, that do not exist yet; returns how many days."""
    return await _number(connection, "ensure_partitions", {"days_back": days_back, "days_ahead": PARTITION_DAYS_AHEAD})


async def drop_old(connection: Connection, *, history_days: int, event_days: int) -> int:
    """Drop the partitions of days before the retained ones; returns how many."""
    dropped = 0
    for parent, days in (("step", history_days), ("run", history_days), ("event_log", event_days)):
        dropped += await _number(connection, "drop_history", {"parent": parent, "days": days})
    return dropped


async def stray_rows(connection: Connection) -> int:
    """Return how many runs and steps have no partition of their day."""
    return await _number(connection, "stray_history", {})


async def _number(connection: Connection, statement: str, params: dict[str, object]) -> int:
    row = await (await connection.execute(SQL[statement], params)).fetchone()
    return int(row[0]) if row else 0

"""
The outbox: events are written in the transaction that causes them and leave through the relay.

The store treats events as plain JSON objects; their shape and their CloudEvents form are in
``ordinaut.events.envelope``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from psycopg.rows import class_row

from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """The events of one transaction, in their order."""

    id: int
    created_at: datetime
    events: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class OutboxFigures:
    """How much the relay is behind; ``oldest_age`` in seconds."""

    rows: int
    oldest_age: float


async def append(connection: Connection, events: Sequence[Mapping[str, Any]]) -> None:
    """Write events as part of the caller's transaction."""
    if events:
        await connection.execute(SQL["append_outbox"], {"events": orjson.dumps(list(events)).decode()})


async def lock_relay(connection: Connection) -> bool:
    """Become the only relay until the transaction ends; False while another one is at work."""
    row = await (await connection.execute(SQL["lock_relay"])).fetchone()
    return bool(row and row[0])


async def unsent(connection: Connection, *, limit: int) -> list[OutboxRow]:
    """Return the oldest rows that are not in the stream yet."""
    cursor = connection.cursor(row_factory=class_row(OutboxRow))
    await cursor.execute(SQL["next_outbox"], {"limit": limit})
    return await cursor.fetchall()


async def mark_sent(connection: Connection, rows: Sequence[OutboxRow]) -> None:
    """Move rows to the log."""
    await connection.execute(SQL["log_outbox"], {"ids": [row.id for row in rows]})


async def figures(connection: Connection) -> OutboxFigures:
    """Return how far the relay is behind, for metrics."""
    row = await (await connection.execute(SQL["outbox_figures"])).fetchone()
    assert row is not None  # noqa: S101 - the statement always returns a row
    return OutboxFigures(int(row[0]), float(row[1]))

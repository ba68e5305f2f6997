"""
The outbox and the log: events are written in the transaction that causes them and leave through the relay.

The store keeps events as ``ordinaut.events.envelope`` made them compact; that module also gives them their CloudEvents
form, for the stream and for whoever lists them here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from psycopg import AsyncCursor
from psycopg.rows import class_row

from ordinaut.computing import compute
from ordinaut.errors import FieldError, Invalid
from ordinaut.events.envelope import cloud_event, compact_type, id_of, place_of
from ordinaut.store.pool import Connection, fetch
from ordinaut.store.queries import SQL

RECENT = 10_000
"""Rows among which a list looks first: who has a lot of events finds enough here, others have few to be looked up."""

SKIPPED = 1_000_000
"""Ids left out after a restore: more rows than are written between two backups, and few of those that there are."""


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


async def append(connection: Connection, events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Write compact events as part of the caller's transaction and return the ids that they will have."""
    if not events:
        return []
    row = await (await _write(connection, events)).fetchone()
    assert row is not None  # noqa: S101 - an insert returns its row
    return [id_of(row[0], place) for place in range(len(events))]


async def add(connection: Connection, events: Sequence[Mapping[str, Any]]) -> None:
    """As :func:`append`, for who needs no ids: in a pipeline nothing is waited for."""
    if events:
        await _write(connection, events)


async def _write(connection: Connection, events: Sequence[Mapping[str, Any]]) -> AsyncCursor[tuple[Any, ...]]:
    kinds = {(one["ns"], one["type"]) for one in events}
    about = {namespace for namespace, _ in kinds} | {_about(*kind) for kind in kinds}
    return await connection.execute(
        SQL["append_outbox"], {"events": orjson.dumps(list(events)).decode(), "about": sorted(about)}
    )


async def list_(
    connection: Connection, *, namespace: str, limit: int, before: str | None = None, type_: str | None = None
) -> list[dict[str, Any]]:
    """
    Return CloudEvents of a namespace, newest first, that come before the one with the id ``before``.

    They are in the order of their ids, which is that of their transactions' writing: one that commits late takes its
    place among older ones. Raises `Invalid` if ``before`` is not the id of an event.
    """
    wanted = None if type_ is None else compact_type(type_)
    before_id, before_place = await _newest(connection) if before is None else _place(before)
    params = {
        "namespace": namespace,
        "type": wanted,
        "about": namespace if wanted is None else _about(namespace, wanted),
        "before_id": before_id,
        "before_place": before_place,
        "limit": limit,
    }
    rows: list[Any] = []
    for since in (before_id - RECENT, -1):
        # Not prepared: the best plan for a namespace with hardly any events is the worst for a busy one.
        cursor = await connection.execute(SQL["list_events"], {**params, "since": since}, prepare=False)
        rows = await fetch(cursor)
        if len(rows) == limit:
            break
    return await compute(lambda: [cloud_event(*row) for row in rows])


async def _newest(connection: Connection) -> tuple[int, int]:
    """Return the place behind all events."""
    row = await (await connection.execute(SQL["newest_event"])).fetchone()
    return (row[0] + 1 if row and row[0] is not None else 0), 0


def _about(namespace: str, type_: str) -> str:
    return f"{namespace}/{type_}"


def _place(event_id: str) -> tuple[int, int]:
    try:
        return place_of(event_id)
    except ValueError:
        mistake = FieldError("before", event_id, "not the id of an event", "write it as the list of events shows it")
        raise Invalid([mistake]) from None


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


async def logged(connection: Connection, *, since: datetime, after: int, limit: int) -> list[OutboxRow]:
    """Return rows that are in the stream, or were, written since a time and with ids after one, oldest first."""
    cursor = connection.cursor(row_factory=class_row(OutboxRow))
    await cursor.execute(SQL["logged_events"], {"since": since, "after": after, "limit": limit})
    return await cursor.fetchall()


async def skip_ids(connection: Connection, *, beyond: int) -> None:
    """
    Give no event written from now on an id that another one had before the database was restored from a backup.

    ``beyond`` is the newest row that somebody outside remembers; what nobody remembers is skipped by a distance.
    """
    await connection.execute(SQL["skip_event_ids"], {"beyond": beyond, "distance": SKIPPED})


async def figures(connection: Connection) -> OutboxFigures:
    """Return how far the relay is behind, for metrics."""
    row = await (await connection.execute(SQL["outbox_figures"])).fetchone()
    assert row is not None  # noqa: S101 - the statement always returns a row
    return OutboxFigures(int(row[0]), float(row[1]))

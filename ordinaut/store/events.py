"""
The outbox and the log: events are written in the transaction that causes them and leave through the relay.

The store keeps events as ``ordinaut.events.envelope`` made them compact; that module also gives them their CloudEvents
form, for whoever reads them: ``event_lists``, ``following`` and the stream.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from psycopg.rows import class_row

from ordinaut.events.envelope import id_of
from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL

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
    """
    Write compact events that others may wait for, as part of the caller's transaction; the dispatcher is woken.

    Returns the ids that they are given, which are those of the CloudEvents unless these bring their own.
    """
    if not events:
        return []
    row = await (await connection.execute(SQL["publish_events"], _row(events))).fetchone()
    assert row is not None  # noqa: S101 - an insert returns its row
    return [id_of(row[0], place) for place in range(len(events))]


async def add(connection: Connection, events: Sequence[Mapping[str, Any]]) -> None:
    """Write compact events as part of the caller's transaction; in a pipeline nothing is waited for."""
    if events:
        await connection.execute(SQL["append_outbox"], _row(events))


def _row(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    kinds = {(one["ns"], one["type"]) for one in events}
    about = {namespace for namespace, _ in kinds} | {_about(*kind) for kind in kinds}
    return {"events": orjson.dumps(list(events)).decode(), "about": sorted(about)}


def _about(namespace: str, type_: str) -> str:
    return f"{namespace}/{type_}"


async def logged(connection: Connection, *, since: datetime, after: int, limit: int) -> list[OutboxRow]:
    """Return rows logged by release 0.1, which have no position: since a time and with ids after one, oldest first."""
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

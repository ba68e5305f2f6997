"""
The ledger of events, as people read it: what became of each event that matched a trigger of a task.

``store.reactions`` writes it, one line for each task and event, in the transaction that reacts; here it is read for the
API, for ``ordinaut.why`` and for ``declaration.event_law``, and what is too old is forgotten by the operator's janitor.
As long as a line is kept, its event makes no other run of the task.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg.rows import args_row, class_row

from ordinaut.store.log import LogPlace, LogRow
from ordinaut.store.pool import Connection, fetch
from ordinaut.store.queries import SQL

_END: Final = LogPlace(2**63 - 1, 2**31 - 1)
"""Behind all events."""


@dataclass(frozen=True, slots=True)
class EventFire:
    """One line: an event, the number of the task's trigger that it matched, and what became of it."""

    position: int
    place: int
    event_id: str
    event_type: str
    trigger: int
    outcome: str
    reason: str | None
    message: str | None
    run_id: UUID | None
    decided_at: datetime

    @property
    def at(self) -> LogPlace:
        """Where the event stands in the log."""
        return LogPlace(self.position, self.place)


@dataclass(frozen=True, slots=True)
class Gathering:
    """That a trigger gathers events: how many so far, and when their run is made at the latest."""

    trigger: int
    events: int
    due_at: datetime


async def list_(
    connection: Connection, *, namespace: str, name: str, limit: int, before: LogPlace | None = None
) -> list[EventFire]:
    """Return lines of a task in the order of the log, newest first, of events before a place in it."""
    cursor = connection.cursor(row_factory=class_row(EventFire))
    upto = before or _END
    place = {"position": upto.position, "place": upto.place}
    await cursor.execute(SQL["list_event_fires"], {"namespace": namespace, "name": name, "limit": limit, **place})
    return await fetch(cursor)


async def gatherings(connection: Connection, *, task_id: int) -> list[Gathering]:
    """Return what the triggers of a task gather now."""
    cursor = connection.cursor(row_factory=class_row(Gathering))
    await cursor.execute(SQL["open_gatherings"], {"task_id": task_id})
    return await cursor.fetchall()


class Listener(NamedTuple):
    """A task with its triggers as they are stored, and since when events have surely been compared with them."""

    task_id: int
    triggers: list[dict[str, Any]]
    since: datetime


class Line(NamedTuple):
    """What the ledger says of an event; ``lacks_run``: it names a run that is not there, ``is_lost``: as gathered."""

    task_id: int
    key: UUID
    outcome: str
    lacks_run: bool
    is_lost: bool


async def listeners(connection: Connection, task_ids: Sequence[int]) -> list[Listener]:
    """Return those of the tasks that have triggers."""
    cursor = connection.cursor(row_factory=args_row(Listener))
    await cursor.execute(SQL["listening_tasks"], {"task_ids": list(task_ids)})
    return await cursor.fetchall()


async def compared(connection: Connection, *, namespace: str, since: datetime, limit: int) -> list[LogRow]:
    """Return the newest rows of the log about a namespace with which its triggers were compared, in their order."""
    cursor = connection.cursor(row_factory=args_row(LogRow), binary=True)
    await cursor.execute(SQL["compared_events"], {"namespace": namespace, "since": since, "limit": limit})
    return (await fetch(cursor))[::-1]


async def lines(connection: Connection, pairs: Sequence[tuple[int, UUID]]) -> list[Line]:
    """Return the lines of the ledger for tasks and the keys of events, as far as there are any."""
    if not pairs:
        return []
    cursor = connection.cursor(row_factory=args_row(Line))
    params = {"task_ids": [task_id for task_id, _ in pairs], "keys": [key for _, key in pairs]}
    await cursor.execute(SQL["event_fires_of"], params)
    return await fetch(cursor)


async def forget(connection: Connection, *, days: int, limit: int = 10_000) -> int:
    """Forget lines that are older than so many days, some of them; returns how many."""
    return (await connection.execute(SQL["forget_event_fires"], {"days": days, "limit": limit})).rowcount

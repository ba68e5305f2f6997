"""
The ledger beside the clocks: what the law of the ledger is checked on.

``ordinaut.declaration.law`` judges what these functions read; the operator's checker asks for some tasks in turn, the
API for those of a namespace. A clock and its lines of the ledger are read by one statement, so in one snapshot: firing
goes on meanwhile, and writes both in one transaction. Nothing is locked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row

from ordinaut.store.pool import Connection, fetch
from ordinaut.store.queries import SQL


@dataclass(frozen=True, slots=True)
class Account:
    """
    A task's clock, and lines of its ledger from ``counted_from`` on.

    ``schedules`` is None where the spec can't be used; ``asleep``: it is suspended or paused. The lines are ``times``
    in ascending order, and of each whether it ``fired`` and whether it was ``backfilled``.
    """

    task_id: int
    namespace: str
    name: str
    schedules: list[dict[str, Any]] | None
    anchor: datetime
    asleep: bool
    snoozed_until: datetime | None
    counted_from: datetime
    evaluated_at: datetime
    next_fire_at: datetime | None
    tzdata: str
    now: datetime
    times: list[datetime]
    fired: list[bool]
    backfilled: list[bool]


async def accounts(
    connection: Connection, task_ids: Sequence[int], *, lines: int, after: datetime | None = None
) -> list[Account]:
    """Return accounts, of each the newest ``lines`` lines, or with ``after`` the first ones later than that."""
    cursor = connection.cursor(row_factory=class_row(Account))
    await cursor.execute(SQL["ledger_accounts"], {"task_ids": list(task_ids), "lines": lines, "after": after})
    return await fetch(cursor)


async def clocks_after(connection: Connection, task_id: int, *, limit: int) -> list[int]:
    """Return the next tasks that have a clock, in the order of their keys."""
    cursor = await connection.execute(SQL["clocks_after"], {"after": task_id, "limit": limit})
    return [row[0] for row in await cursor.fetchall()]


async def tasks_after(connection: Connection, name: str, *, namespace: str, limit: int) -> list[tuple[int, str]]:
    """Return the next tasks of a namespace with their names, by which they are in order."""
    cursor = await connection.execute(SQL["tasks_after"], {"namespace": namespace, "after": name, "limit": limit})
    return [(row[0], row[1]) for row in await cursor.fetchall()]

"""
Backfills: which there are, how far each has come, and the lines of the ledger that it makes up for.

The declaration layer adds and cancels them, the operator's ``backfilling`` makes their runs, the API lists them. Two
locks keep a nominal time from firing twice: the rows that :func:`lock` and :func:`lock_task` lock (the backfill first,
then the task's clock), and the key of the ledger, of which :func:`make_up` tells what may get a run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from ordinaut.states import BackfillPhase, SkipReason
from ordinaut.store.pool import Connection, fetch
from ordinaut.store.queries import SQL

FIRST = UUID(int=0)
"""Comes before every key."""


@dataclass(frozen=True, slots=True)
class Subject:
    """
    A task whose missing fires somebody wants.

    ``decided_until``: what comes later is still for its clock to decide. ``invalid``: why its spec can't be used.
    """

    task_id: int
    namespace: str
    name: str
    spec: dict[str, Any]
    anchor: datetime
    invalid: str | None
    schedule_key: bytes
    decided_until: datetime
    now: datetime


@dataclass(frozen=True, slots=True)
class NewBackfill:
    """A backfill to be added: of ``times`` nominal times in its window, ``missing`` have not fired."""

    backfill_id: UUID
    task_id: int
    schedule_key: bytes
    from_at: datetime
    to_at: datetime
    evaluated_at: datetime
    max_active: int
    times: int
    missing: int
    created_by: str


@dataclass(frozen=True, slots=True)
class Backfill:
    """
    A backfill as people see it.

    ``active`` are its runs that have not ended; ``task_reason`` and ``task_message`` say why its task is ready or not.
    """

    backfill_id: UUID
    namespace: str
    task: str
    task_id: int
    from_at: datetime
    to_at: datetime
    max_active: int
    times: int
    missing: int
    made: int
    active: int
    waiting: str | None
    created_at: datetime
    created_by: str
    finished_at: datetime | None
    reason: str | None
    task_reason: str
    task_message: str


@dataclass(frozen=True, slots=True)
class OpenBackfill:
    """A backfill that is locked in order to make runs of it."""

    backfill_id: UUID
    task_id: int
    schedule_key: bytes
    to_at: datetime
    evaluated_at: datetime
    max_active: int
    waiting: str | None
    deleted: bool


@dataclass(frozen=True, slots=True)
class BackfilledTask:
    """The task of a backfill, locked against its clock."""

    task_id: int
    namespace: str
    name: str
    spec: dict[str, Any]
    params: dict[str, Any]
    anchor: datetime
    revision: bytes | None
    schedule_key: bytes
    creator_id: int | None
    creator: dict[str, Any] | None
    queue: int
    now: datetime
    keys: Sequence[Mapping[str, Any]] = ()


async def subject(connection: Connection, *, namespace: str, name: str) -> Subject | None:
    """Return a live task as a backfill needs it."""
    cursor = connection.cursor(row_factory=class_row(Subject))
    await cursor.execute(SQL["backfill_subject"], {"namespace": namespace, "name": name})
    return await cursor.fetchone()


async def fired(connection: Connection, *, task_id: int, times: Sequence[datetime]) -> set[datetime]:
    """Return those of a task's nominal times that have a run."""
    if not times:
        return set()
    cursor = await connection.execute(SQL["fired_times"], {"task_id": task_id, "times": list(times)})
    return {row[0] for row in await cursor.fetchall()}


async def count_open(connection: Connection, *, task_id: int) -> int:
    """Return how many backfills of a task are open."""
    return await _count(connection, "count_open_backfills", task_id=task_id)


async def add(connection: Connection, new: NewBackfill) -> None:
    """Add a backfill, as part of the caller's transaction; one with nothing to make is over at once."""
    fields = {name: getattr(new, name) for name in NewBackfill.__dataclass_fields__}
    await connection.execute(SQL["add_backfill"], fields)


async def get(connection: Connection, *, namespace: str, backfill_id: UUID) -> Backfill | None:
    """Return one backfill of a namespace."""
    found = await list_(connection, namespace=namespace, limit=1, backfill_id=backfill_id)
    return found[0] if found else None


async def list_(
    connection: Connection,
    *,
    namespace: str,
    limit: int,
    before: UUID | None = None,
    task: str | None = None,
    backfill_id: UUID | None = None,
) -> list[Backfill]:
    """Return backfills of a namespace, newest first, from the one after ``before``; of one live task, or only one."""
    cursor = connection.cursor(row_factory=class_row(Backfill))
    chosen = {"task": task, "backfill_id": backfill_id, "before": before}
    await cursor.execute(SQL["list_backfills"], {"namespace": namespace, "limit": limit, **chosen})
    return await fetch(cursor)


async def pending(connection: Connection, *, limit: int, after: UUID = FIRST) -> list[UUID]:
    """Return open backfills with something to do, in the order of their keys, from the one after ``after``."""
    cursor = await connection.execute(SQL["pending_backfills"], {"limit": limit, "after": after})
    return [row[0] for row in await cursor.fetchall()]


async def lock(connection: Connection, backfill_id: UUID) -> OpenBackfill | None:
    """Lock an open backfill until the transaction ends; None if it is over or somebody else has it."""
    cursor = connection.cursor(row_factory=class_row(OpenBackfill))
    await cursor.execute(SQL["lock_backfill"], {"backfill_id": backfill_id})
    return await cursor.fetchone()


async def lock_task(connection: Connection, task_id: int) -> BackfilledTask | None:
    """Lock the task of a backfill against its clock; None if it is gone or somebody else has it."""
    cursor = connection.cursor(row_factory=class_row(BackfilledTask))
    await cursor.execute(SQL["lock_backfilled_task"], {"task_id": task_id})
    return await cursor.fetchone()


async def under_way(connection: Connection, backfill_id: UUID) -> int:
    """Return how many runs of a backfill have not ended; those that have no longer count."""
    await connection.execute(SQL["forget_ended_backfill_runs"], {"backfill_id": backfill_id})
    return await _count(connection, "count_backfill_runs", backfill_id=backfill_id)


async def make_up(
    connection: Connection, *, backfill_id: UUID, task_id: int, times: Sequence[datetime], run_ids: Sequence[UUID]
) -> set[UUID]:
    """Write into the ledger that times have fired after all; returns those of the runs whose times had not fired."""
    if not times:
        return set()
    cursor = await connection.execute(
        SQL["make_up_fires"],
        {"backfill_id": backfill_id, "task_id": task_id, "times": list(times), "run_ids": list(run_ids)},
    )
    return {row[0] for row in await cursor.fetchall()}


async def advance(
    connection: Connection, *, backfill_id: UUID, evaluated_at: datetime, run_ids: Sequence[UUID]
) -> None:
    """Remember how far a backfill has come, and the runs that it has made."""
    made = {"evaluated_at": evaluated_at, "made": len(run_ids)}
    await connection.execute(SQL["advance_backfill"], {"backfill_id": backfill_id, **made})
    if run_ids:
        await connection.execute(SQL["add_backfill_runs"], {"backfill_id": backfill_id, "run_ids": list(run_ids)})


async def hold(connection: Connection, *, backfill_id: UUID, why: SkipReason | None) -> None:
    """Remember why no run can be made for now; None: one can."""
    await connection.execute(SQL["hold_backfill"], {"backfill_id": backfill_id, "waiting": why and why.value})


async def finish(connection: Connection, *, backfill_id: UUID, reason: BackfillPhase) -> bool:
    """End a backfill: no more runs are made; tell whether it was open."""
    cursor = await connection.execute(SQL["finish_backfill"], {"backfill_id": backfill_id, "reason": reason.value})
    return await cursor.fetchone() is not None


async def forget(connection: Connection, *, days: int) -> int:
    """Forget backfills that were over so many days ago; returns how many."""
    return (await connection.execute(SQL["forget_backfills"], {"days": days})).rowcount


async def _count(connection: Connection, statement: str, **params: object) -> int:
    row = await (await connection.execute(SQL[statement], params)).fetchone()
    assert row is not None  # noqa: S101 - the statement counts
    return int(row[0])

"""
The clock's rows: which tasks are due, what became of their nominal times, and when they fire next.

The operator's firing transaction is made of these functions; several operators may run it at once, since each claims
its own rows. The key of the ledger is the second lock: :func:`record` tells which times are new, and only those may
get a run.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import args_row, class_row

from ordinaut.states import FireOutcome, SkipReason
from ordinaut.store import turns
from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL
from ordinaut.store.turns import FREE, Standing

NOT_OF_TIME = [
    "pipeline",
    "pipelineRef",
    "params",
    "triggers",
    "retryStrategy",
    "timeout",
    "queue",
    "concurrency",
    "suspend",
]
"""Parts of a spec that firing does not read: without them, the specs of many tasks are alike."""


class DueTask(NamedTuple):
    """
    A claimed task.

    ``exclusive``: it allows only one run at a time, and ``standing`` is how it stands about that. ``creator`` is the
    identity whose rights its runs need, as ``access.caller`` wrote it; None where they need none. ``spec`` is JSON,
    without what does not matter to firing; ``keys`` are its concurrency keys as stored, None where it has none.

    The fields before ``standing`` are the columns of ``claim_due_tasks``, in their order. A tuple, since thousands may
    be due at once.
    """

    task_id: int
    evaluated_at: datetime
    as_of: datetime | None
    kept: int
    next_fire_at: datetime
    namespace: str
    name: str
    spec: str
    params: Any
    anchor: datetime
    revision: bytes | None
    exclusive: bool
    now: datetime
    snoozed_until: datetime | None = None
    unauthorized_at: datetime | None = None
    creator_id: int | None = None
    creator: dict[str, Any] | None = None
    queue: int = 0
    keys: Sequence[Mapping[str, Any]] | None = None
    standing: Standing = FREE


class Fire(NamedTuple):
    """A line of the ledger to be written: ``run_id`` if it fired, ``reason`` if it was skipped."""

    task_id: int
    scheduled_at: datetime
    run_id: UUID | None = None
    reason: SkipReason | None = None

    @property
    def outcome(self) -> FireOutcome:
        """Which of the two it is."""
        return FireOutcome.FIRED if self.run_id else FireOutcome.SKIPPED


class Advance(NamedTuple):
    """How far a task's times have been decided, when it is due next, and since when its creator may not run it."""

    task_id: int
    evaluated_at: datetime
    as_of: datetime | None
    kept: int
    next_fire_at: datetime | None
    unauthorized_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ClockRow:
    """A clock with what its next time is computed from."""

    task_id: int
    evaluated_at: datetime
    as_of: datetime | None
    kept: int
    next_fire_at: datetime | None
    unauthorized_at: datetime | None
    spec: dict[str, Any]
    anchor: datetime
    snoozed_until: datetime | None


@dataclass(frozen=True, slots=True)
class RunnableTask:
    """A task that somebody wants to run by hand, locked against its own clock."""

    task_id: int
    namespace: str
    name: str
    spec: dict[str, Any]
    ready: bool
    reason: str
    message: str
    revision: bytes | None
    queue: int
    now: datetime


async def claim_due(connection: Connection, *, limit: int, without: Collection[tuple[int, str]] = ()) -> list[DueTask]:
    """
    Lock tasks with a nominal time that has come, the longest due first, skipping those that others hold.

    ``without`` are creators, each in a namespace, whose tasks must wait.
    """
    cursor = connection.cursor(row_factory=args_row(DueTask), binary=True)
    creators, namespaces = [one for one, _ in without], [namespace for _, namespace in without]
    who = {"creators": creators, "namespaces": namespaces}
    await cursor.execute(SQL["claim_due_tasks"], {"limit": limit, "unread": NOT_OF_TIME, **who})
    tasks = await cursor.fetchall()
    exclusive = [task.task_id for task in tasks if task.exclusive]
    if not exclusive:
        return tasks
    standing = await turns.standing(connection, task_ids=exclusive)
    return [task._replace(standing=standing.get(task.task_id, FREE)) for task in tasks]


async def record(connection: Connection, fires: Sequence[Fire]) -> set[tuple[int, datetime]]:
    """Write lines of the ledger and return the (task, time) pairs that it had already."""
    cursor = await connection.execute(
        SQL["insert_fires"],
        {
            "task_ids": [fire.task_id for fire in fires],
            "scheduled": [fire.scheduled_at for fire in fires],
            "outcomes": [str(fire.outcome) for fire in fires],
            "reasons": [str(fire.reason) if fire.reason else None for fire in fires],
            "run_ids": [fire.run_id for fire in fires],
        },
    )
    return {(row[0], row[1]) for row in await cursor.fetchall()}


async def advance(connection: Connection, advances: Sequence[Advance], *, tzdata: str) -> None:
    """Move clocks on."""
    await connection.execute(
        SQL["advance_clocks"],
        {
            "task_ids": [one.task_id for one in advances],
            "evaluated": [one.evaluated_at for one in advances],
            "as_of": [one.as_of for one in advances],
            "kept": [one.kept for one in advances],
            "next_fires": [one.next_fire_at for one in advances],
            "unauthorized": [one.unauthorized_at for one in advances],
            "tzdata": tzdata,
        },
    )


async def due_seconds(connection: Connection, *, horizon: timedelta) -> list[datetime]:
    """Return the seconds until the horizon in which something becomes due, in order; of past ones only the first."""
    cursor = await connection.execute(SQL["due_seconds"], {"horizon": horizon})
    return [row[0] for row in await cursor.fetchall()]


async def now(connection: Connection) -> datetime:
    """Return the database's time."""
    row = await (await connection.execute(SQL["database_time"])).fetchone()
    assert row is not None  # noqa: S101 - the statement always returns a row
    moment: datetime = row[0]
    return moment


async def lock_task(connection: Connection, *, namespace: str, name: str) -> RunnableTask | None:
    """Return a live task, locked against its clock until the transaction ends."""
    cursor = connection.cursor(row_factory=class_row(RunnableTask))
    await cursor.execute(SQL["lock_task"], {"namespace": namespace, "name": name})
    return await cursor.fetchone()


async def stale(connection: Connection, *, tzdata: str, limit: int) -> list[int]:
    """Return tasks whose next time was computed with other time zone data."""
    cursor = await connection.execute(SQL["stale_clocks"], {"tzdata": tzdata, "limit": limit})
    return [row[0] for row in await cursor.fetchall()]


async def lock_clocks(connection: Connection, task_ids: Sequence[int]) -> list[ClockRow]:
    """Return the clocks of tasks, locked until the transaction ends."""
    cursor = connection.cursor(row_factory=class_row(ClockRow))
    await cursor.execute(SQL["lock_clocks"], {"task_ids": list(task_ids)})
    return await cursor.fetchall()

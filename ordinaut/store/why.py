"""
What there is to know about why a task or a run is not running, read at one moment.

``ordinaut.why`` judges these facts. Everything is read in one transaction that only looks, so that no two of them
contradict each other; and nothing is counted to its end, so that asking costs the same with a million runs waiting.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from psycopg.rows import class_row

from ordinaut.store import event_fires, keys, position, status, survey
from ordinaut.store.event_fires import EventFire, Gathering
from ordinaut.store.keys import Blocking
from ordinaut.store.pool import Connection
from ordinaut.store.position import Queued
from ordinaut.store.queries import SQL
from ordinaut.store.status import Fire, TaskRow

MOST_IN_TURN: Final = 1000
"""Runs of a task that wait for their turn and are counted; no more than that may."""

FIRES: Final = 20
"""Lines of a ledger that are looked at, the newest."""

RUNS: Final = 10
"""Unfinished runs of a task that are looked at."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a task needs besides its own row."""

    queue: str
    pipeline_ref: str | None
    lacking_tools: list[str]
    in_turn: int
    """Runs of it that wait for their turn, counted to one more than :data:`MOST_IN_TURN`."""
    operated: bool
    """Whether an operator is connected to the database."""


@dataclass(frozen=True, slots=True)
class UnfinishedRun:
    """
    A run that is in the way of others, where it stands, and the worker under whose lease it is.

    It has been so ``since`` it began, or was made; where it holds a key, since it got that.
    """

    run_id: UUID
    task: str
    phase: str
    reason: str | None
    since: datetime
    worker: str | None


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """A worker that takes runs of a queue; ``busy`` is how many runs it holds, of all namespaces."""

    name: str
    slots: int
    busy: int


@dataclass(frozen=True, slots=True)
class StepState:
    """A step of a run's pipeline, and its row; ``phase`` is None where it has none. ``retry`` is what applies to it."""

    seq: int
    step_id: str
    uses: str | None
    retry: dict[str, Any] | None
    tool_is_there: bool
    tool_invalid: str | None
    phase: str | None
    attempt: int
    idx: int | None
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run, and the lease that it is under; ``delivery`` is which one that is."""

    run_id: UUID
    namespace: str
    task: str
    task_id: int
    trigger: str
    scheduled_at: datetime | None
    priority: int
    attempt: int
    phase: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    reason: str | None
    error: str | None
    revision: bytes
    worker: str | None
    delivery: int | None
    leased_at: datetime | None
    leased_until: datetime | None
    queue: str
    task_deleted: bool
    task_ready: bool
    now: datetime


@dataclass(frozen=True, slots=True)
class Waits:
    """That a run waits for a time, for its keys, or for its turn behind ``before`` others of its task that wait too."""

    what: Literal["Time", "Turn", "Keys"]
    due_at: datetime
    before: int


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A concurrency key that a run waits for, and the first of the runs that hold it."""

    blocking: Blocking
    holders: Sequence[UnfinishedRun]


@dataclass(frozen=True, slots=True)
class EventFacts:
    """
    What is known of a task's triggers.

    ``fires`` are the newest lines of its ledger of events; ``behind`` is for how long, in seconds, the oldest event of
    any task has waited to be looked at.
    """

    fires: Sequence[EventFire] = ()
    gatherings: Sequence[Gathering] = ()
    behind: float = 0


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """All that is known of a task."""

    row: TaskRow
    around: Surroundings
    fires: Sequence[Fire] = ()
    """The newest lines of its ledger."""
    unfinished: Sequence[UnfinishedRun] = ()
    workers: Sequence[LiveWorker] = ()
    last_steps: Sequence[StepState] = ()
    """Steps of its last run, if that has ended."""
    last_error: str | None = None
    events: EventFacts | None = None
    """What is known of its triggers; None where it has none."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """All that is known of a run. Under a lease, or over, it waits for nothing."""

    row: RunRow
    steps: Sequence[StepState] = ()
    waits: Waits | None = None
    queued: Queued | None = None
    workers: Sequence[LiveWorker] = ()
    holders: Sequence[UnfinishedRun] = ()
    """Those that have the turn of its task."""
    keys: Sequence[HeldKey] = ()
    """Those that it waits for, also if there is room in them."""
    operated: bool = True


async def task(connection: Connection, *, namespace: str, name: str) -> TaskFacts | None:
    """Return what is known of a task, or None if there is none."""
    async with _one_moment(connection):
        row = await status.task_named(connection, namespace=namespace, name=name)
        if row is None:
            return None
        around = await _surroundings(connection, task_id=row.task_id)
        last = row.run_id if row.run_finished_at is not None else None
        ended = None if last is None else await _run(connection, namespace=namespace, run_id=last)
        return TaskFacts(
            row,
            around,
            fires=await status.fires(connection, namespace=namespace, name=name, limit=FIRES),
            unfinished=await _unfinished(connection, task_id=row.task_id) if row.active or around.in_turn else (),
            workers=await _workers(connection, queue=around.queue),
            last_steps=() if ended is None else await _steps(connection, ended),
            last_error=None if ended is None else ended.error,
            events=await _events(connection, row) if row.spec.get("triggers") else None,
        )


async def run(connection: Connection, *, namespace: str, run_id: UUID) -> RunFacts | None:
    """Return what is known of a run, or None if the namespace has none of this key."""
    async with _one_moment(connection):
        row = await _run(connection, namespace=namespace, run_id=run_id)
        if row is None:
            return None
        steps = await _steps(connection, row)
        if row.finished_at is not None:
            return RunFacts(row, steps)
        operated = await _is_operated(connection)
        if row.worker is not None:
            return RunFacts(row, steps, operated=operated)
        if (waits := await _waits(connection, run_id=run_id)) is not None:
            holders = await _unfinished(connection, task_id=row.task_id) if waits.what == "Turn" else ()
            held = await _keys(connection, run_id=run_id) if waits.what == "Keys" else ()
            return RunFacts(row, steps, waits=waits, holders=holders, keys=held, operated=operated)
        queued = await position.of_run(
            connection,
            run_id,
            namespace=namespace,
            priority=row.priority,
            created_at=row.created_at,
            queue=row.queue,
        )
        queue = row.queue if queued is None else queued.queue
        return RunFacts(row, steps, queued=queued, workers=await _workers(connection, queue=queue), operated=operated)


@asynccontextmanager
async def _one_moment(connection: Connection) -> AsyncIterator[None]:
    async with connection.transaction():
        await connection.execute(SQL["one_snapshot"])
        yield


async def _events(connection: Connection, row: TaskRow) -> EventFacts:
    backlog = await survey.event_backlog(connection)
    return EventFacts(
        await event_fires.list_(connection, namespace=row.namespace, name=row.name, limit=FIRES),
        await event_fires.gatherings(connection, task_id=row.task_id),
        backlog["triggers"].age,
    )


async def _surroundings(connection: Connection, *, task_id: int) -> Surroundings:
    cursor = connection.cursor(row_factory=class_row(Surroundings))
    await cursor.execute(SQL["task_surroundings"], {"task_id": task_id})
    row = await cursor.fetchone()
    assert row is not None  # noqa: S101 - the task was seen in the same snapshot
    return row


async def _is_operated(connection: Connection) -> bool:
    row = await (await connection.execute(SQL["operator_is_connected"])).fetchone()
    return row is not None and bool(row[0])


async def _unfinished(connection: Connection, *, task_id: int) -> list[UnfinishedRun]:
    cursor = connection.cursor(row_factory=class_row(UnfinishedRun))
    await cursor.execute(SQL["runs_in_the_way"], {"task_id": task_id, "limit": RUNS})
    return await cursor.fetchall()


async def _workers(connection: Connection, *, queue: str) -> list[LiveWorker]:
    cursor = connection.cursor(row_factory=class_row(LiveWorker))
    await cursor.execute(SQL["workers_of_queue"], {"queue": queue})
    return await cursor.fetchall()


async def _run(connection: Connection, *, namespace: str, run_id: UUID) -> RunRow | None:
    cursor = connection.cursor(row_factory=class_row(RunRow))
    await cursor.execute(SQL["run_in_question"], {"namespace": namespace, "run_id": run_id})
    return await cursor.fetchone()


async def _steps(connection: Connection, row: RunRow) -> list[StepState]:
    cursor = connection.cursor(row_factory=class_row(StepState))
    named = {"namespace": row.namespace, "run_id": row.run_id, "revision": row.revision}
    await cursor.execute(SQL["steps_in_question"], named)
    return await cursor.fetchall()


async def _waits(connection: Connection, *, run_id: UUID) -> Waits | None:
    cursor = connection.cursor(row_factory=class_row(Waits))
    await cursor.execute(SQL["where_a_run_waits"], {"run_id": run_id})
    return await cursor.fetchone()


async def _keys(connection: Connection, *, run_id: UUID) -> list[HeldKey]:
    found = await keys.blocking(connection, [run_id])
    cursor = connection.cursor(row_factory=class_row(UnfinishedRun))
    await cursor.execute(SQL["how_runs_stand"], {"run_ids": [one.run for key in found for one in key.holders]})
    stand = {row.run_id: row for row in await cursor.fetchall()}
    return [
        HeldKey(key, [replace(stand[one.run], since=one.since) for one in key.holders if one.run in stand])
        for key in found
    ]

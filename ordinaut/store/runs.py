"""
Runs and their steps: making, ending and reading them.

The operator makes runs of nominal times and of events, the API makes them by hand; workers end them through
``work.settle``, everybody else through :func:`finish`.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from psycopg.rows import class_row

from ordinaut import metrics, spans
from ordinaut.states import RunPhase, StepPhase, Trigger, WaitReason
from ordinaut.store import keys, turns
from ordinaut.store.keys import KeyedRun, RunKey
from ordinaut.store.pool import Connection, fetch
from ordinaut.store.queries import SQL


class NewRun(NamedTuple):
    """
    A run to be made.

    ``exclusive``: its task allows only one at a time; ``retry_of``: the run it goes on from. It ``waits`` for its turn
    behind another run of the task (`WaitReason.TURN`), or until ``start_at`` (`WaitReason.JITTER` or
    `WaitReason.SNOOZE`), and then for its ``keys``. ``event`` is what triggered it, as JSON: a CloudEvent or an array
    of them; ``hops`` is how many runs of events stand one behind the other, this one included.
    """

    run_id: UUID
    namespace: str
    task_id: int
    revision: bytes
    priority: int
    params: Any
    scheduled_at: datetime | None = None
    exclusive: bool = False
    retry_of: UUID | None = None
    waits: WaitReason | None = None
    start_at: datetime | None = None
    queue: int = 0
    keys: Sequence[RunKey] = ()
    event: bytes | None = None
    hops: int = 0

    @property
    def first_wait(self) -> WaitReason | None:
        """What it waits for first; None: nothing."""
        return self.waits or (WaitReason.CONCURRENCY_KEY if self.keys else None)


@dataclass(frozen=True, slots=True)
class Run:
    """A run as people and agents see it; in lists without its output and its event."""

    run_id: UUID
    namespace: str
    task: str
    task_id: int
    trigger: str
    scheduled_at: datetime | None
    priority: int
    phase: str
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    params: Any
    output: Any
    reason: str | None
    error: str | None
    revision: str
    worker: str | None
    retry_of: UUID | None = None
    event: Any = None
    hops: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """A step's committed result, or its last failure while it waits for a retry."""

    seq: int
    idx: int
    step_id: str
    phase: str
    attempt: int
    started_at: datetime
    finished_at: datetime | None
    output: Any
    error: str | None


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that :func:`finish` ended. ``began`` is when it was first delivered, or made if it never was."""

    run_id: UUID
    namespace: str
    task_id: int
    task: str
    trigger: str
    attempt: int
    began: datetime
    ended: datetime


async def create(connection: Connection, runs: Sequence[NewRun], *, trigger: Trigger) -> None:
    """Make runs and put them into the queue, as part of the caller's transaction."""
    if not runs:
        return
    # Thousands of runs may have one event: each is sent once, and a run names its place.
    events: dict[bytes, int] = {}
    places = [None if run.event is None else events.setdefault(run.event, len(events) + 1) for run in runs]
    await connection.execute(
        SQL["insert_runs"],
        {
            "trigger": trigger.value,
            "run_ids": [run.run_id for run in runs],
            "namespaces": [run.namespace for run in runs],
            "task_ids": [run.task_id for run in runs],
            "revisions": [run.revision for run in runs],
            "scheduled": [run.scheduled_at for run in runs],
            "priorities": [run.priority for run in runs],
            "params": [orjson.dumps(run.params).decode() for run in runs],
            "retries": [run.retry_of for run in runs],
            "waits": [run.first_wait for run in runs],
            "hops": [run.hops for run in runs],
            "event_places": places,
            "events": [event.decode() for event in events],
        },
    )
    await _place(connection, runs)


async def _place(connection: Connection, runs: Sequence[NewRun]) -> None:
    """Put runs where they wait: in the queue, or behind others of their task, or until a time, or for their keys."""
    await _take_turns(connection, [run for run in runs if run.exclusive])
    at_once = [run for run in runs if run.first_wait is None]
    if at_once:
        places = _places(at_once)
        await connection.execute(SQL["enqueue"], places | {"namespaces": [run.namespace for run in at_once]})
        await connection.execute(SQL["notify_work"], {"queues": places["queues"]})
    later = [run for run in runs if run.waits in {WaitReason.JITTER, WaitReason.SNOOZE}]
    if later:
        then = {"starts": [run.start_at for run in later], "keys": [keys.as_json(run.keys) for run in later]}
        await connection.execute(SQL["enqueue_later"], _places(later) | then)
        await connection.execute(SQL["notify_clock"])
    keyed = [run for run in runs if run.first_wait is WaitReason.CONCURRENCY_KEY]
    if keyed:
        await keys.wait(
            connection,
            [KeyedRun(run.run_id, run.namespace, run.task_id, run.queue, run.priority, run.keys) for run in keyed],
        )


async def unpark(connection: Connection, run: NewRun) -> bool:
    """
    Let a parked run go on where it stood, as part of the caller's transaction; tell whether it still was parked.

    Its deliveries are counted anew, and so is the time it may take. Its place is that of a new run; the results of its
    steps stay.
    """
    cursor = await connection.execute(SQL["unpark_run"], {"run_id": run.run_id, "waits": run.first_wait})
    if cursor.rowcount == 0:
        return False
    await connection.execute(SQL["unpark_steps"], {"run_id": run.run_id})
    await _place(connection, [run])
    return True


async def steps_under_way(connection: Connection, run_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return the first step without a result of each run; those of which all steps have one are left out."""
    cursor = await connection.execute(SQL["steps_under_way"], {"run_ids": list(run_ids)})
    return {row[0]: row[1] for row in await cursor.fetchall()}


async def _take_turns(connection: Connection, exclusive: Sequence[NewRun]) -> None:
    first = [run for run in exclusive if run.waits is not WaitReason.TURN]
    await turns.take(connection, run_ids=[run.run_id for run in first], task_ids=[run.task_id for run in first])
    waiting = [run for run in exclusive if run.waits is WaitReason.TURN]
    await turns.wait(
        connection,
        **_places(waiting),
        task_ids=[run.task_id for run in waiting],
        starts=[run.start_at for run in waiting],
        keys=[keys.as_json(run.keys) for run in waiting],
    )


def _places(runs: Sequence[NewRun]) -> dict[str, list[Any]]:
    return {
        "run_ids": [run.run_id for run in runs],
        "queues": [run.queue for run in runs],
        "priorities": [run.priority for run in runs],
    }


async def finish(
    connection: Connection,
    run_ids: Sequence[UUID],
    *,
    phase: RunPhase,
    reason: str,
    error: str,
    started: datetime | None = None,
    parked: bool = False,
) -> list[Finished]:
    """
    End unfinished runs from outside their worker, as part of the caller's transaction; return those it ended.

    A worker that holds one is told, drops its work and can commit nothing more of it. ``started`` is when they began,
    for who has taken them from their lease. With ``parked`` those that are parked are ended, too. One that is parked
    itself keeps the step that waits for a retry as it is, since it may go on.
    """
    if not run_ids:
        return []
    cursor = connection.cursor(row_factory=class_row(Finished))
    await cursor.execute(
        SQL["finish_runs"],
        {
            "run_ids": list(run_ids),
            "phase": phase.value,
            "reason": reason,
            "error": error,
            "started": started,
            "parked": parked,
        },
    )
    finished = await cursor.fetchall()
    ended = {"run_ids": [run.run_id for run in finished]}
    metrics.count_runs((phase, run.namespace) for run in finished)
    if spans.receiver is not None:
        spans.receiver.record(_span(run, phase=phase, reason=reason) for run in finished)
    if finished:
        if phase is not RunPhase.PARKED:
            await connection.execute(SQL["finish_waiting_steps"], {**ended, "phase": StepPhase.CANCELLED.value})
        # In this order: one that waits for its turn may be getting it just now, and wait for its time from then on, and
        # then for its keys.
        await turns.forget(connection, run_ids=ended["run_ids"])
        await connection.execute(SQL["forget_delayed"], ended)
        await keys.forget(connection, run_ids=ended["run_ids"])
        await turns.pass_on(connection, ended=ended["run_ids"])
        await connection.execute(SQL["notify_cancel"], ended)
    return finished


def _span(run: Finished, *, phase: RunPhase, reason: str) -> spans.Span:
    return spans.over(
        run=str(run.run_id),
        namespace=run.namespace,
        task=run.task,
        trigger=run.trigger,
        phase=phase,
        reason=reason,
        attempt=run.attempt,
        started=run.began.timestamp(),
        ended=run.ended.timestamp(),
    )


async def unfinished(connection: Connection, *, task_ids: Sequence[int]) -> list[UUID]:
    """Return all runs of tasks that have not ended."""
    cursor = await connection.execute(SQL["unfinished_runs_of"], {"task_ids": list(task_ids)})
    return [row[0] for row in await cursor.fetchall()]


async def of_deleted_tasks(connection: Connection, *, limit: int) -> dict[UUID, tuple[int, str]]:
    """Return unfinished runs that events have made of tasks deleted meanwhile, with task and its name."""
    cursor = await connection.execute(SQL["runs_of_deleted_tasks"], {"limit": limit})
    return {row[0]: (row[1], row[2]) for row in await cursor.fetchall()}


async def get(connection: Connection, *, namespace: str, run_id: UUID) -> Run | None:
    """Return one run of a namespace."""
    cursor = connection.cursor(row_factory=class_row(Run))
    await cursor.execute(SQL["get_run"], {"namespace": namespace, "run_id": run_id})
    return await cursor.fetchone()


async def list_(
    connection: Connection,
    *,
    namespace: str,
    limit: int,
    before: UUID | None = None,
    task: str | None = None,
    phase: str | None = None,
    trigger: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
) -> list[Run]:
    """
    Return runs of a namespace, newest first, that were made before the run ``before``.

    ``created_after`` is included, ``created_before`` is not; both count in milliseconds.
    """
    cursor = connection.cursor(row_factory=class_row(Run))
    chosen = {"task": task, "phase": phase, "trigger": trigger}
    times = {"created_after": created_after, "created_before": created_before}
    await cursor.execute(
        SQL["list_runs"], {"namespace": namespace, "limit": limit, "before": before, **chosen, **times}
    )
    return await fetch(cursor)


async def copy_steps(connection: Connection, *, from_run: UUID, to_run: UUID) -> None:
    """Give a run the results of the first steps of another one, up to a step that did not succeed."""
    await connection.execute(SQL["copy_steps"], {"from_run": from_run, "to_run": to_run})


async def steps(connection: Connection, *, run_id: UUID) -> list[Step]:
    """Return the steps of a run that have a row, in their order."""
    cursor = connection.cursor(row_factory=class_row(Step))
    await cursor.execute(SQL["list_steps"], {"run_id": run_id})
    found = []
    # Not at once: each may hold a megabyte, which takes milliseconds to read.
    async for row in cursor:
        found.append(row)
        await asyncio.sleep(0)
    return found


async def names(connection: Connection, run_ids: Sequence[UUID]) -> dict[UUID, tuple[str, str, int]]:
    """Return namespace, task name and task key of runs."""
    cursor = await connection.execute(SQL["run_names"], {"run_ids": list(run_ids)})
    return {row[0]: (row[1], row[2], row[3]) for row in await cursor.fetchall()}

"""
Turns: which unfinished run of a task that allows only one at a time may go on.

A run of such a task (``concurrencyPolicy`` Forbid, Replace or Queue) has the turn, which is a row of ``active_run``, or
waits for it in ``queued_work``, where no worker sees it. New runs come through :mod:`ordinaut.store.runs`; whoever ends
runs passes their turns on in the same transaction; the operator sweeps up what that missed. All functions are part of
the caller's transaction.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from psycopg.rows import args_row

from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL

MAX_WAITING = 1000
"""Runs of a task that may wait for their turn: one that is due more often than it can run would fill the queue."""


class Standing(NamedTuple):
    """Whether a run has a task's turn, and how many wait for it."""

    taken: bool = False
    waiting: int = 0

    @property
    def busy(self) -> bool:
        """Whether a run that is made now is not the first."""
        return self.taken or self.waiting > 0


FREE = Standing()


async def standing(connection: Connection, *, task_ids: Sequence[int]) -> dict[int, Standing]:
    """Return how it stands about the turns of tasks whose clocks the transaction has locked."""
    cursor = await connection.execute(SQL["turns_of_tasks"], {"task_ids": list(task_ids)})
    return {row[0]: Standing(row[1], row[2]) for row in await cursor.fetchall()}


async def take(connection: Connection, *, run_ids: Sequence[UUID], task_ids: Sequence[int]) -> None:
    """Give new runs the turn, each of its task."""
    if run_ids:
        await connection.execute(SQL["take_turns"], {"run_ids": list(run_ids), "task_ids": list(task_ids)})


async def wait(
    connection: Connection,
    *,
    run_ids: Sequence[UUID],
    task_ids: Sequence[int],
    queues: Sequence[int],
    priorities: Sequence[int],
    starts: Sequence[datetime | None],
    keys: Sequence[str | None] = (),
) -> None:
    """
    Let new runs wait for their turn, in this order; with the turn they start at once, but not before ``starts``.

    ``keys`` are those that they need then, as the queue keeps them.
    """
    if run_ids:
        await connection.execute(
            SQL["wait_for_turns"],
            {
                "run_ids": list(run_ids),
                "task_ids": list(task_ids),
                "queues": list(queues),
                "priorities": list(priorities),
                "starts": list(starts),
                "keys": list(keys) or [None] * len(run_ids),
            },
        )


async def track(connection: Connection, *, task_ids: Sequence[int]) -> None:
    """Find the unfinished runs of tasks that from now on allow only one at a time: they all have the turn."""
    if task_ids:
        await connection.execute(SQL["track_turns"], {"task_ids": list(task_ids)})


async def pass_on(connection: Connection, *, ended: Sequence[UUID]) -> None:
    """
    Take the turn from runs that end, and give it to the first of their tasks' runs that wait.

    Their slots of concurrency keys are freed at once with it, for :mod:`ordinaut.store.admission` to grant.
    """
    await connection.execute(SQL["pass_turns"], {"run_ids": list(ended), "task_ids": []})


async def give(connection: Connection, *, limit: int) -> int:
    """
    Give the turn to waiting runs that nobody has passed it to; returns how many runs.

    Such a run was being queued while the one before it ended, or its task allows all runs by now, or the run that had
    the turn is gone.
    """
    cursor = await connection.execute(SQL["stalled_turns"], {"limit": limit})
    tasks = [row[0] for row in await cursor.fetchall()]
    if not tasks:
        return 0
    await connection.execute(SQL["forget_ended_turns"], {"task_ids": tasks})
    # A statement of its own, which sees what was committed while the clocks were being locked.
    cursor = await connection.execute(SQL["pass_turns"], {"run_ids": [], "task_ids": tasks})
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


class Unfinished(NamedTuple):
    """A run that has its task's turn or waits for it."""

    run_id: UUID
    task_id: int


async def of(connection: Connection, *, task_ids: Sequence[int]) -> list[Unfinished]:
    """Return the unfinished runs of tasks that allow only one at a time, with those that wait, by their keys."""
    cursor = connection.cursor(row_factory=args_row(Unfinished))
    await cursor.execute(SQL["runs_in_turn"], {"task_ids": list(task_ids)})
    return await cursor.fetchall()


async def forget(connection: Connection, *, run_ids: Sequence[UUID]) -> None:
    """Take runs that end out of those that wait."""
    await connection.execute(SQL["forget_waiting"], {"run_ids": list(run_ids)})

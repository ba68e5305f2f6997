"""
Which workers live: a row for each, written with its heartbeat.

A worker announces itself, gives signs of life, and takes its leave; the janitor forgets those that ended without a
word. Nothing is decided by these rows, they are for people: the API lists them, and metrics count them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL

MAX_RUNS: Final = 100
"""Runs of a worker that are listed; the others are counted."""

REMEMBERED: Final = timedelta(hours=1)
"""How long the row of a worker stays that is seen no more."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a worker says of itself: ``queues`` are names, or ``*``; ``lease`` is how long it may be silent."""

    name: str
    queues: Sequence[str]
    slots: int
    version: str
    lease: timedelta


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that lives; ``busy`` is how many runs it holds, of all namespaces."""

    name: str
    queues: list[str]
    slots: int
    version: str
    started_at: datetime
    seen_at: datetime
    draining_at: datetime | None
    busy: int


@dataclass(frozen=True, slots=True)
class HeldRun:
    """A run that a worker holds since then; ``held`` is how many it holds of the same namespace."""

    worker: str
    run_id: UUID
    task: str
    since: datetime
    held: int


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """How many workers live, and how many queues have claimable work and no worker that takes it."""

    live: int
    unserved: int


async def announce(connection: Connection, said: Announcement, *, age: timedelta, draining: bool) -> None:
    """Make a worker known that has run for ``age``."""
    row = {"name": said.name, "queues": list(said.queues), "slots": said.slots, "version": said.version}
    await connection.execute(SQL["announce_worker"], row | {"age": age, "lease": said.lease, "draining": draining})


async def live(connection: Connection, said: Announcement, *, draining: bool) -> bool:
    """Give a worker's sign of life; False if nobody knows it."""
    given = {"name": said.name, "lease": said.lease, "draining": draining}
    return (await connection.execute(SQL["worker_lives"], given)).rowcount > 0


async def leave(connection: Connection, name: str) -> None:
    """Forget a worker that ends."""
    await connection.execute(SQL["forget_worker"], {"name": name})


async def forget_lost(connection: Connection) -> int:
    """Forget workers that ended without a word; returns how many."""
    given = {"silent": REMEMBERED.total_seconds()}
    return (await connection.execute(SQL["forget_lost_workers"], given)).rowcount


async def list_(connection: Connection, *, limit: int, after: str | None = None) -> list[Worker]:
    """Return workers that live, by name, those behind ``after``."""
    cursor = connection.cursor(row_factory=class_row(Worker))
    await cursor.execute(SQL["list_workers"], {"limit": limit, "after": after or ""})
    return await cursor.fetchall()


async def held(connection: Connection, *, namespace: str, workers: Sequence[str]) -> dict[str, list[HeldRun]]:
    """Return by worker which runs of a namespace they hold, the :data:`MAX_RUNS` that each has held longest."""
    cursor = connection.cursor(row_factory=class_row(HeldRun))
    given = {"namespace": namespace, "workers": list(workers), "runs": MAX_RUNS}
    await cursor.execute(SQL["runs_of_workers"], given)
    found: dict[str, list[HeldRun]] = {name: [] for name in workers}
    for row in await cursor.fetchall():
        found[row.worker].append(row)
    return found


async def figures(connection: Connection) -> WorkerFigures:
    """Return how the queues are staffed, for metrics."""
    row = await (await connection.execute(SQL["worker_figures"])).fetchone()
    assert row is not None  # noqa: S101 - the statement always returns a row
    return WorkerFigures(int(row[0]), int(row[1]))

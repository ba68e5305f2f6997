"""
Concurrency keys: runs that wait for a slot, and who holds the slots.

A run with keys that is ready otherwise stands in ``keyed_work``, where no worker sees it: put there by
:mod:`ordinaut.store.runs`, or when its delay or its wait for a turn is over. Whoever ends runs frees their slots in the
same transaction, by :func:`ordinaut.store.turns.pass_on`. Each writes into ``key_news`` what has changed, and
:mod:`ordinaut.store.admission`, which alone grants slots, goes on from there. All functions but :func:`vacuum` are part
of the caller's transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson

from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL

HOLDERS: Final = 10
"""Holders of a key that are named to whoever asks."""

COUNTED: Final = 1000
"""Runs before one that are counted for whoever asks; beyond, it is so many or more."""

START: Final = UUID(int=0)


class RunKey(NamedTuple):
    """A key that a run takes a slot of, and the text in the task's spec that it was rendered from."""

    key: str
    source: str


class TaskKey(NamedTuple):
    """An entry of a task's ``concurrency``; ``key`` is what its own params make of it, None where they can't."""

    source: str
    limit: int
    key: str | None


class KeyedRun(NamedTuple):
    """A run that could start but for its keys."""

    run_id: UUID
    namespace: str
    task_id: int
    queue: int
    priority: int
    keys: Sequence[RunKey]


class Healed(NamedTuple):
    """Ended runs that held slots, and how far the look has come; None at its end."""

    runs: list[UUID]
    reached: UUID | None


@dataclass(frozen=True, slots=True)
class Holder:
    """A run that holds a key."""

    run: UUID
    task: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Blocking:
    """
    A key of a run that waits.

    ``limit`` is the one that counts for the run, None where its task has none any more; ``held`` is how many runs hold
    the key, and ``holders`` are the first of them. ``ahead`` runs wait for it before this one, `COUNTED` or more.
    """

    run_id: UUID
    key: str
    limit: int | None
    held: int
    holders: tuple[Holder, ...]
    ahead: int

    @property
    def is_full(self) -> bool:
        """Whether this is a key that the run can't have now."""
        return self.limit is not None and self.held >= self.limit


class Figures(NamedTuple):
    """How many runs wait for keys, and how many slots are held."""

    waiting: int
    held: int


def dump(keys: Iterable[RunKey | TaskKey]) -> list[dict[str, Any]]:
    """Return keys as they are stored."""
    return [one._asdict() for one in keys]


def as_json(keys: Sequence[RunKey]) -> str | None:
    """Return the keys of a run as the queue keeps them; None: it has none."""
    return orjson.dumps(dump(keys)).decode() if keys else None


def of_task(stored: Sequence[Mapping[str, Any]]) -> tuple[RunKey, ...]:
    """Return the keys of a run with its task's own params."""
    return tuple(RunKey(one["key"], one["source"]) for one in stored if one["key"] is not None)


async def wait(connection: Connection, keyed: Sequence[KeyedRun]) -> None:
    """Let new runs wait for their keys, in this order; part of the caller's transaction."""
    if keyed:
        await connection.execute(
            SQL["wait_for_keys"],
            {
                "task_ids": [run.task_id for run in keyed],
                "namespaces": [run.namespace for run in keyed],
                "keys": [as_json(run.keys) for run in keyed],
                "queues": [run.queue for run in keyed],
                "priorities": [run.priority for run in keyed],
                "run_ids": [run.run_id for run in keyed],
            },
        )
        await connection.execute(SQL["notify_keys"])


async def forget(connection: Connection, *, run_ids: Sequence[UUID]) -> None:
    """Take runs that end out of those that wait; the caller's transaction has locked them."""
    await connection.execute(SQL["forget_keyed"], {"run_ids": list(run_ids)})


async def revisit(connection: Connection, *, task_ids: Sequence[int]) -> None:
    """Have admission look at what waits of tasks whose limits may have changed."""
    if task_ids:
        await connection.execute(SQL["revisit_keys"], {"task_ids": list(task_ids)})


async def heal(connection: Connection, *, after: UUID = START, limit: int) -> Healed:
    """Free slots of runs that have ended or are gone; returns which runs."""
    row = await (await connection.execute(SQL["heal_keys"], {"after": after, "limit": limit})).fetchone()
    assert row is not None  # noqa: S101 - the statement always returns a row
    if row[0]:
        await connection.execute(SQL["notify_keys"])
    return Healed(*row)


async def blocking(connection: Connection, run_ids: Sequence[UUID]) -> list[Blocking]:
    """Return the keys of those of the runs that wait for theirs, by run and key; other runs are left out."""
    cursor = await connection.execute(
        SQL["keys_blocking"], {"run_ids": list(run_ids), "shown": HOLDERS, "counted": COUNTED}
    )
    return [
        Blocking(run_id, key, limit, held, tuple(map(_holder, holders)), ahead)
        for run_id, key, limit, held, holders, ahead in await cursor.fetchall()
    ]


async def figures(connection: Connection) -> Figures:
    """Return how much waits for keys, for metrics."""
    row = await (await connection.execute(SQL["key_figures"])).fetchone()
    assert row is not None  # noqa: S101 - the statement always returns a row
    return Figures(*row)


async def vacuum(connection: Connection) -> None:
    """Vacuum the hot tables; skips what somebody else is vacuuming."""
    for statement in ("vacuum_keyed_work", "vacuum_held_key", "vacuum_awaited_key", "vacuum_key_news"):
        await connection.execute(SQL[statement])


def _holder(found: Mapping[str, Any]) -> Holder:
    return Holder(UUID(found["run"]), found["task"], datetime.fromisoformat(found["since"]))

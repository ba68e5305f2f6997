"""
The queue: leasing, heartbeat, giving back and taking back.

Workers lease batches and commit their results by :mod:`ordinaut.store.settle`, the janitor takes back what leases lost.
The key of a lease row is the fencing token: ``settle`` and :func:`take_expired` both need the row, so exactly one of
them gets it. The protocol is drawn in ``docs/architecture.md``.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson
from psycopg import errors
from psycopg.rows import args_row, class_row

from ordinaut.store.arrays import uuids
from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL

Json = Any

MAX_LOCK_WAIT: Final = timedelta(seconds=1)
"""Time that a heartbeat waits for leases that are being settled, at most."""

_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Item:
    """A delivery of a run: what the queue knows of it."""

    id: int
    queue: int
    urgency: int
    due_at: datetime
    attempt: int
    run_id: UUID
    started_at: datetime | None


class Flow(NamedTuple):
    """Work of one urgency and one lane, the hash of a namespace, in a queue: first come, first served."""

    queue: int
    urgency: int
    lane: int


class LeasedWork(NamedTuple):
    """
    A delivery under a lease, with what the worker needs of its run. ``started_at`` is None on the very first one.

    The fields are the columns of ``lease_work``, in their order; ``run`` is the run's key as text. A tuple, since there
    may be thousands a second.
    """

    lease_id: int
    leased_at: datetime
    id: int
    queue: int
    urgency: int
    due_at: datetime
    attempt: int
    run_id: UUID
    started_at: datetime | None
    namespace: str
    task_id: int
    task: str
    revision: bytes
    trigger: str
    scheduled_at: datetime | None
    created_at: datetime
    params_json: str
    run: str
    lane: int = 0
    event_json: str | None = None

    @property
    def params(self) -> Json:
        """The run's params, read anew each time: most steps need none of them."""
        return orjson.loads(self.params_json)

    @property
    def events(self) -> list[Json] | None:
        """The events that made the run, in the order of the log: one, or those of a batch. None: another trigger."""
        if self.event_json is None:
            return None
        found = orjson.loads(self.event_json)
        return found if isinstance(found, list) else [found]

    @property
    def is_open(self) -> bool:
        """Whether its run had not ended when it was leased; the queue forgets others, and they need nothing."""
        return self.namespace is not None

    @property
    def flow(self) -> Flow:
        """What it was taken from."""
        return Flow(self.queue, self.urgency, self.lane)

    @property
    def item(self) -> Item:
        """The queue's part, as a later delivery needs it."""
        return Item(
            id=self.id,
            queue=self.queue,
            urgency=self.urgency,
            due_at=self.due_at,
            attempt=self.attempt,
            run_id=self.run_id,
            started_at=self.started_at or self.leased_at,
        )

    @property
    def item_not_begun(self) -> Item:
        """As :attr:`item`, where nothing of the run was done under this lease: its time goes on as it was before."""
        return replace(self.item, started_at=None if self.started_at == self.leased_at else self.started_at)


@dataclass(frozen=True, slots=True)
class ExpiredItem(Item):
    """A delivery whose worker let its lease run out."""

    lease_id: int
    worker: str


class Head(NamedTuple):
    """At most ``limit`` runs from the beginning of a queue, the most urgent first."""

    queue: int
    limit: int


class Share(NamedTuple):
    """
    At most ``limit`` runs of a flow, of those that lie behind a place in it.

    The place is a hint that spares reading what is gone already; ``after_due`` None is the beginning.
    """

    flow: Flow
    limit: int
    after_due: datetime | None = None
    after_id: int = 0


class Gap(NamedTuple):
    """Lanes of an urgency between two that are known, both left out."""

    queue: int
    urgency: int
    after_lane: int
    before_lane: int


async def take(
    connection: Connection,
    *,
    worker: str,
    limit: int,
    ttl: timedelta,
    heads: Sequence[Head] = (),
    shares: Sequence[Share] = (),
) -> list[LeasedWork]:
    """
    Lease what ``heads`` and ``shares`` ask for, at most ``limit`` runs in all, first the heads.

    What is returned without namespace was in the queue, but its run has ended: it is gone now.
    """
    cursor = connection.cursor(row_factory=args_row(LeasedWork), binary=True)
    await cursor.execute(
        SQL["lease_work"],
        {
            "worker": worker,
            "ttl": ttl,
            "limit": limit,
            "head_queues": [head.queue for head in heads],
            "head_limits": [head.limit for head in heads],
            "queues": [share.flow.queue for share in shares],
            "urgencies": [share.flow.urgency for share in shares],
            "lanes": [share.flow.lane for share in shares],
            "after_due": [share.after_due or _BEGINNING for share in shares],
            "after_ids": [share.after_id for share in shares],
            "limits": [share.limit for share in shares],
        },
    )
    return await cursor.fetchall()


async def lease(connection: Connection, *, worker: str, limit: int, ttl: timedelta, queue: int = 0) -> list[LeasedWork]:
    """Lease up to ``limit`` claimable runs of a queue, most urgent first; fewer when there are no more."""
    leased: list[LeasedWork] = []
    reached_end = False
    while len(leased) < limit and not reached_end:
        wanted = limit - len(leased)
        taken = await take(connection, worker=worker, limit=wanted, ttl=ttl, heads=[Head(queue, wanted)])
        leased += [one for one in taken if one.is_open]
        reached_end = len(taken) < wanted
    return leased


async def flows(connection: Connection, gaps: Sequence[Gap], *, limit: int) -> dict[Flow, timedelta]:
    """Return at most ``limit`` flows within gaps, and for how long the oldest work of each has been due."""
    cursor = await connection.execute(
        SQL["flows_between"],
        {
            "queues": [gap.queue for gap in gaps],
            "urgencies": [gap.urgency for gap in gaps],
            "after_lanes": [gap.after_lane for gap in gaps],
            "before_lanes": [gap.before_lane for gap in gaps],
            "limit": limit,
        },
    )
    return {Flow(*row[:3]): row[3] for row in await cursor.fetchall()}


async def lock_open_runs(connection: Connection, run_ids: Sequence[UUID]) -> set[UUID]:
    """Lock those of the runs that have not ended; leases are locked before runs everywhere, each in key order."""
    ordered = sorted(run_ids, key=attrgetter("int"))
    cursor = await connection.execute(SQL["lock_open_runs"], {"run_ids": uuids(ordered)})
    return {row[0] for row in await cursor.fetchall()}


async def requeue(connection: Connection, items: Sequence[Item]) -> None:
    """Give work back to the queue, in its old place; part of the caller's transaction."""
    places = item_arrays(items)
    await connection.execute(SQL["requeue_work"], places | {"due": [item.due_at for item in items]})
    await connection.execute(SQL["notify_work"], {"queues": places["queues"]})


async def heartbeat(connection: Connection, *, worker: str, leases: Sequence[int], ttl: timedelta) -> set[int]:
    """
    Prolong leases and return those that are still held.

    One that is just being settled is prolonged after that, unless it takes so long that whoever settles must be stuck.
    """
    where = {"worker": worker, "ttl": ttl}
    cursor = await connection.execute(SQL["heartbeat"], where | {"leases": list(leases)})
    held: dict[int, bool] = dict(await cursor.fetchall())
    if locked := [lease_id for lease_id, prolonged in held.items() if not prolonged]:
        patience = min(ttl / 10, MAX_LOCK_WAIT)
        with suppress(errors.LockNotAvailable):
            async with connection.transaction():
                milliseconds = max(1, int(patience / timedelta(milliseconds=1)))
                await connection.execute(SQL["wait_for_locks"], {"milliseconds": milliseconds})
                await connection.execute(SQL["prolong_locked"], where | {"leases": locked})
    return set(held)


async def ended_runs(connection: Connection, run_ids: Sequence[UUID]) -> set[UUID]:
    """Return those of the runs that somebody else has ended."""
    cursor = await connection.execute(SQL["ended_runs"], {"run_ids": list(run_ids)})
    return {row[0] for row in await cursor.fetchall()}


async def release_delayed(connection: Connection, *, limit: int = 1000) -> int:
    """Move delayed work whose time has come to the queue and return how much."""
    row = await (await connection.execute(SQL["release_delayed"], {"limit": limit})).fetchone()
    return int(row[0]) if row else 0


async def take_expired(connection: Connection, *, limit: int = 100) -> list[ExpiredItem]:
    """Delete leases that ran out, inside the caller's transaction, and return what they held."""
    cursor = connection.cursor(row_factory=class_row(ExpiredItem))
    await cursor.execute(SQL["take_expired_leases"], {"limit": limit})
    return await cursor.fetchall()


async def end_lockers(connection: Connection, *, late: timedelta) -> int:
    """End sessions that lock leases which ran out ``late`` ago and have said nothing for as long; returns how many."""
    row = await (await connection.execute(SQL["end_lockers"], {"late": late})).fetchone()
    return int(row[0]) if row else 0


def ward(queue: int) -> int:
    """
    Return the number of a queue's ward: where runs wait of which a worker has one at a time.

    What may be the death of its worker waits there, so that it does not take all others like it along each time.
    """
    return queue if queue < 0 else -1 - queue


def plain(queue: int) -> int:
    """Return the number of the queue that this is, or that this is the ward of."""
    return -1 - queue if queue < 0 else queue


def redelivered(item: ExpiredItem, *, alone: bool = False) -> Item:
    """Return the next delivery of a run whose worker was lost; ``alone``: it waits in the ward."""
    queue = ward(item.queue) if alone else item.queue
    return Item(item.id, queue, item.urgency, item.due_at, item.attempt + 1, item.run_id, item.started_at)


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """How full the queue is; ``oldest_age`` in seconds."""

    claimable: int
    oldest_age: float
    delayed: int
    leased: int
    in_turn: int


async def figures(connection: Connection) -> QueueFigures:
    """Return depth and age of the queue, for metrics."""
    row = await (await connection.execute(SQL["queue_figures"])).fetchone()
    assert row is not None  # noqa: S101 - the statement always returns a row
    return QueueFigures(int(row[0]), float(row[1]), int(row[2]), int(row[3]), int(row[4]))


async def vacuum(connection: Connection) -> None:
    """Vacuum the hot tables; skips what somebody else is vacuuming."""
    for statement in ("vacuum_due_work", "vacuum_work_lease", "vacuum_outbox"):
        await connection.execute(SQL[statement])


def item_arrays(items: Sequence[Item]) -> dict[str, list[Any]]:
    """Return deliveries as the columns of a statement."""
    return {
        "queues": [item.queue for item in items],
        "urgencies": [item.urgency for item in items],
        "attempts": [item.attempt for item in items],
        "run_ids": [item.run_id for item in items],
        "started": [item.started_at for item in items],
    }

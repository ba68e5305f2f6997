"""
The queue: leasing, heartbeat, settling, delaying and taking back.

Workers lease batches and settle them, the janitor takes back what leases lost. The key of a lease row is the fencing
token: :func:`settle` and :func:`take_expired` both need the row, so exactly one of them gets it. The protocol is
drawn in ``docs/architecture.md``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import args_row, class_row

from ordinaut.states import RunPhase, StepPhase
from ordinaut.store import events, status, turns
from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL

Json = Any


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
    params: Json
    run: str

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


@dataclass(frozen=True, slots=True)
class ExpiredItem(Item):
    """A delivery whose worker let its lease run out."""

    lease_id: int
    worker: str


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the queue's order: lease what lies behind it. A hint only, never needed for correctness."""

    urgency: int = -1
    due_at: datetime | None = None
    id: int = 0


START = Position()


@dataclass(frozen=True, slots=True)
class StepResult:
    """
    A step's result.

    ``started`` and ``finished`` are readings of ``time.monotonic()``; they are stored as the database's time at the
    commit less the time since, as only the database's clock counts. ``output`` is JSON.
    """

    seq: int
    step_id: str
    phase: StepPhase
    attempt: int
    started: float
    finished: float
    index: int = 0
    output: bytes | None = None
    error: str | None = None
    tool_digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """What becomes of a run: a final phase, or Waiting with the ``delay`` until its next delivery."""

    phase: RunPhase
    output: bytes | None = None
    reason: str | None = None
    error: str | None = None
    delay: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """
    What one leased run commits at once.

    ``run`` None leaves the run under its lease (a step's result before the next step). ``release`` gives the run back
    to the queue unfinished and without counting this delivery, or lets it go if somebody else has ended it.
    """

    work: LeasedWork
    steps: Sequence[StepResult] = ()
    run: RunResult | None = None
    release: bool = False
    events: Sequence[Json] = ()

    @property
    def leaves_lease(self) -> bool:
        """Whether the item is no longer under the lease afterwards."""
        return self.run is not None or self.release


async def lease(
    connection: Connection, *, worker: str, limit: int, ttl: timedelta, queue: int = 0, after: Position = START
) -> list[LeasedWork]:
    """Lease up to ``limit`` claimable runs, most urgent first; fewer when there are no more."""
    cursor = connection.cursor(row_factory=args_row(LeasedWork))
    where = {"queue": queue, "after_urgency": after.urgency, "after_due": after.due_at or "-infinity"}
    leased: list[LeasedWork] = []
    reached_end = False
    while len(leased) < limit and not reached_end:
        wanted = limit - len(leased)
        given = {"after_id": after.id, "limit": wanted, "worker": worker, "ttl": ttl}
        taken = await (await cursor.execute(SQL["lease_work"], where | given)).fetchall()
        leased += [one for one in taken if one.namespace is not None]
        reached_end = len(taken) < wanted
    return leased


async def settle(connection: Connection, settlements: Sequence[Settlement], *, done: Sequence[int]) -> list[Settlement]:
    """
    Commit results in one transaction and return those that were committed.

    Left out are settlements whose lease is lost or whose run somebody else has ended: their work must be dropped.

    Args:
        connection: an idle connection.
        settlements: at most one per run.
        done: those of the leases that hold nothing any more once these settlements are in.
    """
    async with connection.transaction():
        held = await _lock_leases(connection, settlements)
        unended = await lock_open_runs(connection, [one.work.run_id for one in held])
        valid = [one for one in held if one.work.run_id in unended]
        if held:
            async with connection.pipeline():
                await _write_results(connection, valid)
                await _leave_leases(connection, held, done=done)
                await events.append(connection, [event for one in valid for event in one.events])
                await status.notify(connection, [one.work.task_id for one in valid if one.leaves_lease])
    return valid


async def _lock_leases(connection: Connection, settlements: Sequence[Settlement]) -> list[Settlement]:
    """Fence: return the settlements whose item is still under its lease."""
    cursor = await connection.execute(SQL["fence"], {"leases": sorted({one.work.lease_id for one in settlements})})
    held = {(lease_id, item) for lease_id, items in await cursor.fetchall() for item in items}
    return [one for one in settlements if (one.work.lease_id, one.work.id) in held]


async def lock_open_runs(connection: Connection, run_ids: Sequence[UUID]) -> set[UUID]:
    """Lock those of the runs that have not ended; leases are locked before runs everywhere, each in key order."""
    cursor = await connection.execute(SQL["lock_open_runs"], {"run_ids": sorted(run_ids)})
    return {row[0] for row in await cursor.fetchall()}


async def _write_results(connection: Connection, settlements: Sequence[Settlement]) -> None:
    steps = [(one.work.run_id, step) for one in settlements for step in one.steps]
    if steps:
        await connection.execute(SQL["settle_steps"], _step_arrays(steps))
    runs = [(one.work, one.run) for one in settlements if one.run is not None]
    if runs:
        await connection.execute(SQL["settle_runs"], _run_arrays(runs))
        ended = [work.run_id for work, run in runs if run.phase is not RunPhase.WAITING]
        if ended:
            await turns.pass_on(connection, ended=ended)
    waits = [(work.item, run.delay or timedelta(0)) for work, run in runs if run.phase is RunPhase.WAITING]
    if waits:
        await connection.execute(
            SQL["delay_work"],
            _item_arrays([item for item, _ in waits]) | {"delays": [delay for _, delay in waits]},
        )
        await connection.execute(SQL["notify_clock"])
    released = [one.work.item for one in settlements if one.release]
    if released:
        await requeue(connection, released)


async def _leave_leases(connection: Connection, settlements: Sequence[Settlement], *, done: Sequence[int]) -> None:
    if done:
        await connection.execute(SQL["drop_leases"], {"leases": list(done)})
    leaving = [one.work for one in settlements if one.leaves_lease and one.work.lease_id not in done]
    if leaving:
        await connection.execute(
            SQL["shrink_leases"],
            {"leases": sorted({work.lease_id for work in leaving}), "items": [work.id for work in leaving]},
        )


async def requeue(connection: Connection, items: Sequence[Item]) -> None:
    """Give work back to the queue, in its old place; part of the caller's transaction."""
    await connection.execute(SQL["requeue_work"], _item_arrays(items) | {"due": [item.due_at for item in items]})
    await connection.execute(SQL["notify_work"])


async def heartbeat(connection: Connection, *, worker: str, leases: Sequence[int], ttl: timedelta) -> set[int]:
    """Prolong leases and return those that are still held."""
    cursor = await connection.execute(SQL["heartbeat"], {"leases": list(leases), "worker": worker, "ttl": ttl})
    return {row[0] for row in await cursor.fetchall()}


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


def redelivered(item: ExpiredItem) -> Item:
    """Return the next delivery of a run whose worker was lost."""
    return replace(
        Item(item.id, item.queue, item.urgency, item.due_at, item.attempt, item.run_id, item.started_at),
        attempt=item.attempt + 1,
    )


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


def _step_arrays(steps: Sequence[tuple[UUID, StepResult]]) -> dict[str, list[Any]]:
    now = monotonic()
    return {
        "run_ids": [run_id for run_id, _ in steps],
        "seqs": [step.seq for _, step in steps],
        "idxs": [step.index for _, step in steps],
        "step_ids": [step.step_id for _, step in steps],
        "phases": [step.phase.value for _, step in steps],
        "attempts": [step.attempt for _, step in steps],
        "started_ago": [int((now - step.started) * 1_000_000) for _, step in steps],
        "finished_ago": [int((now - step.finished) * 1_000_000) for _, step in steps],
        "outputs": [_text(step.output) for _, step in steps],
        "errors": [step.error for _, step in steps],
        "tool_digests": [step.tool_digest for _, step in steps],
    }


def _run_arrays(runs: Sequence[tuple[LeasedWork, RunResult]]) -> dict[str, list[Any]]:
    return {
        "run_ids": [work.run_id for work, _ in runs],
        "phases": [run.phase.value for _, run in runs],
        "attempts": [work.attempt for work, _ in runs],
        "started": [work.started_at or work.leased_at for work, _ in runs],
        "outputs": [_text(run.output) for _, run in runs],
        "reasons": [run.reason for _, run in runs],
        "errors": [run.error for _, run in runs],
    }


def _item_arrays(items: Sequence[Item]) -> dict[str, list[Any]]:
    return {
        "queues": [item.queue for item in items],
        "urgencies": [item.urgency for item in items],
        "attempts": [item.attempt for item in items],
        "run_ids": [item.run_id for item in items],
        "started": [item.started_at for item in items],
    }


def _text(json: bytes | None) -> str | None:
    return None if json is None else json.decode()

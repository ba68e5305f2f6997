"""
Committing what leased runs have come to: results, phases, events, and what leaves its lease.

Workers' settlers call :func:`settle` with what has gathered; the fence decides item by item what still counts. What
waits goes to the delayed work of :mod:`ordinaut.store.work`, what has ended passes on its turn. The protocol is drawn
in ``docs/architecture.md``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import AsyncCursor

from ordinaut.states import RunPhase, StepPhase
from ordinaut.store import arrays, events, status, turns
from ordinaut.store.arrays import Array
from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL
from ordinaut.store.work import LeasedWork, item_arrays, lock_open_runs, requeue

Json = Any
Cursor = AsyncCursor[tuple[Any, ...]]


@dataclass(slots=True)
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


class RunResult(NamedTuple):
    """What becomes of a run: a final phase, or Waiting with the ``delay`` until its next delivery."""

    phase: RunPhase
    output: bytes | None = None
    reason: str | None = None
    error: str | None = None
    delay: timedelta | None = None


class Settlement(NamedTuple):
    """
    What one leased run commits at once.

    ``run`` None leaves the run under its lease (a step's result before the next step). ``release`` gives the run back
    to the queue unfinished and without counting this delivery, or lets it go if somebody else has ended it; if it has
    not ``begun``, it has used nothing of its time either.
    """

    work: LeasedWork
    steps: Sequence[StepResult] = ()
    run: RunResult | None = None
    release: bool = False
    events: Sequence[Json] = ()
    begun: bool = True

    @property
    def leaves_lease(self) -> bool:
        """Whether the item is no longer under the lease afterwards."""
        return self.run is not None or self.release


async def settle(
    connection: Connection, settlements: Sequence[Settlement], *, done: Sequence[int], again: bool = False
) -> list[Settlement]:
    """
    Commit results in one transaction and return those that were committed.

    Left out are settlements whose lease is lost or whose run somebody else has ended: their work must be dropped.

    Args:
        connection: an idle connection.
        settlements: at most one per run.
        done: those of the leases that hold nothing any more once these settlements are in.
        again: an earlier try was committed or not: its connection was lost before the answer.
    """
    async with connection.transaction():
        held = await _lock_leases(connection, settlements)
        unended = await _lock_runs(connection, held)
        valid = [one for one in held if one.work.run_id in unended]
        new = await _not_in_yet(connection, valid) if again else valid
        if held:
            async with connection.pipeline():
                if any(one.run is not None for one in new) and not _all_have_a_result(held):
                    await _write_runs(connection, new)
                await _write_results(connection, new)
                await _leave_leases(connection, held, done=done)
                await events.add(connection, [event for one in new for event in one.events])
                await status.notify(connection, [one.work.task_id for one in valid if one.leaves_lease])
    return valid


async def _lock_leases(connection: Connection, settlements: Sequence[Settlement]) -> list[Settlement]:
    """Fence: return the settlements whose item is still under its lease."""
    cursor = await connection.execute(SQL["fence"], {"leases": sorted({one.work.lease_id for one in settlements})})
    held = {lease_id: frozenset(items) for lease_id, items in await cursor.fetchall()}
    return [one for one in settlements if one.work.id in held.get(one.work.lease_id, ())]


async def _lock_runs(connection: Connection, held: Sequence[Settlement]) -> set[UUID]:
    """Lock the runs that have not ended and return them; where all have a result, writing it locks them."""
    if _all_have_a_result(held):
        cursor = await _write_runs(connection, held)
        return {row[0] for row in await cursor.fetchall()}
    return await lock_open_runs(connection, [one.work.run_id for one in held])


def _all_have_a_result(settlements: Sequence[Settlement]) -> bool:
    return bool(settlements) and all(one.run is not None for one in settlements)


async def _write_runs(connection: Connection, settlements: Sequence[Settlement]) -> Cursor:
    """Give runs that have not ended their phase, in the order of their keys."""
    runs = [(one.work, one.run) for one in settlements if one.run is not None]
    runs.sort(key=lambda one: one[0].run_id.int)
    return await connection.execute(SQL["settle_runs"], _run_arrays(runs))


async def _not_in_yet(connection: Connection, settlements: Sequence[Settlement]) -> list[Settlement]:
    """
    Leave out steps that an earlier try has committed, or their events would be told twice.

    What leaves its lease has only one try that finds it there.
    """
    steps = [(one.work.run_id, step) for one in settlements if not one.leaves_lease for step in one.steps]
    where = {
        "run_ids": [run_id for run_id, _ in steps],
        "seqs": [step.seq for _, step in steps],
        "idxs": [step.index for _, step in steps],
    }
    there = {row[0] for row in await (await connection.execute(SQL["committed_steps"], where)).fetchall()}
    return [one for one in settlements if one.leaves_lease or one.work.run_id not in there]


async def _write_results(connection: Connection, settlements: Sequence[Settlement]) -> None:
    steps = [(one.work.run_id, step) for one in settlements for step in one.steps]
    if steps:
        await connection.execute(SQL["settle_steps"], _step_arrays(steps))
    runs = [(one.work, one.run) for one in settlements if one.run is not None]
    ended = [work.run_id for work, run in runs if run.phase is not RunPhase.WAITING]
    if ended:
        await turns.pass_on(connection, ended=ended)
    waits = [(work.item, run.delay or timedelta(0)) for work, run in runs if run.phase is RunPhase.WAITING]
    if waits:
        await connection.execute(
            SQL["delay_work"],
            item_arrays([item for item, _ in waits]) | {"delays": [delay for _, delay in waits]},
        )
        await connection.execute(SQL["notify_clock"])
    released = [one.work.item if one.begun else one.work.item_not_begun for one in settlements if one.release]
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


def _step_arrays(steps: Sequence[tuple[UUID, StepResult]]) -> dict[str, Array]:
    now = monotonic()
    return {
        "run_ids": arrays.uuids([run_id for run_id, _ in steps]),
        "seqs": arrays.int2s([step.seq for _, step in steps]),
        "idxs": arrays.int4s([step.index for _, step in steps]),
        "step_ids": arrays.texts([step.step_id for _, step in steps]),
        "phases": arrays.texts([step.phase for _, step in steps]),
        "attempts": arrays.int2s([step.attempt for _, step in steps]),
        "started_ago": arrays.int8s([int((now - step.started) * 1_000_000) for _, step in steps]),
        "finished_ago": arrays.int8s([int((now - step.finished) * 1_000_000) for _, step in steps]),
        "outputs": arrays.texts([step.output for _, step in steps]),
        "errors": arrays.texts([step.error for _, step in steps]),
        "tool_digests": arrays.byteas([step.tool_digest for _, step in steps]),
    }


def _run_arrays(runs: Sequence[tuple[LeasedWork, RunResult]]) -> dict[str, Array]:
    return {
        "run_ids": arrays.uuids([work.run_id for work, _ in runs]),
        "phases": arrays.texts([run.phase for _, run in runs]),
        "attempts": arrays.int2s([work.attempt for work, _ in runs]),
        "started": arrays.timestamptzs([work.started_at or work.leased_at for work, _ in runs]),
        "outputs": arrays.texts([run.output for _, run in runs]),
        "reasons": arrays.texts([run.reason for _, run in runs]),
        "errors": arrays.texts([run.error for _, run in runs]),
    }

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
from typing import Any
from uuid import UUID

from ordinaut.states import RunPhase, StepPhase
from ordinaut.store import events, status, turns
from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL
from ordinaut.store.work import LeasedWork, item_arrays, lock_open_runs, requeue

Json = Any


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
            item_arrays([item for item, _ in waits]) | {"delays": [delay for _, delay in waits]},
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


def _text(json: bytes | None) -> str | None:
    return None if json is None else json.decode()

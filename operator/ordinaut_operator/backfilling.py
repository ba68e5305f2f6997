"""
Backfilling: making the runs of open backfills, a few at a time and behind everything else.

The clock calls :meth:`Backfilling.advance` every second. One transaction takes one backfill some way on: it locks it
and its task's clock, finds the next nominal times that have not fired, writes them into the ledger and makes their
runs, at the lowest priority. So a crash at any point makes no run twice and forgets none, and any number of operators
may do it at once. The runs then go the way of all others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import psycopg

from ordinaut import spans
from ordinaut.declaration.nominal import stored_schedules, within
from ordinaut.events.envelope import Event
from ordinaut.logging import get_logger
from ordinaut.resources.moment import format_instant
from ordinaut.states import BackfillPhase, SkipReason, Trigger
from ordinaut.store import backfill, events, keys, runs, status, turns
from ordinaut.store.backfill import BackfilledTask, OpenBackfill
from ordinaut.store.ids import new_run_id
from ordinaut.store.pool import Connection, Pool
from ordinaut.store.runs import NewRun
from ordinaut_operator.rights import NO_CHECKS, Rights

BATCH: Final = 100
"""Backfills that are found at once."""

CHUNK: Final = 200
"""Nominal times of a backfill that are looked at in one transaction."""

LOWEST: Final = 0
"""The priority of its runs: whatever else is due goes first."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Stretch:
    """The next part of a window: its nominal times, and whether it is the last one."""

    times: Sequence[datetime]
    last: bool


@dataclass(frozen=True, slots=True)
class Portion:
    """What is made of a stretch now: a run for each of ``times``; the backfill is dealt with up to ``evaluated_at``."""

    times: Sequence[datetime]
    evaluated_at: datetime
    done: bool


@dataclass(frozen=True, slots=True)
class _Step:
    """What a transaction did: runs made, and whether another one could do more at once."""

    made: int = 0
    more: bool = False


_NOTHING: Final = _Step()


class Backfilling:
    """Takes all open backfills on; ``rights`` judges the creators of their tasks."""

    def __init__(self, pool: Pool, *, rights: Rights = NO_CHECKS) -> None:
        self._pool = pool
        self._rights = rights

    async def advance(self) -> int:
        """Make what runs can be made now; returns how many. One backfill that fails holds up no other."""
        made, found, failure = 0, [backfill.FIRST], None
        while found:
            async with self._pool.connection() as connection:
                found = await backfill.pending(connection, limit=BATCH, after=found[-1])
            for backfill_id in found:
                try:
                    async with self._pool.connection() as connection:
                        made += await self._one(connection, backfill_id)
                except psycopg.OperationalError:
                    raise  # the database is away: for all of them
                except Exception as error:
                    error.add_note(f"backfill {backfill_id}")
                    failure = error
        if failure is not None:
            raise failure
        return made

    async def _one(self, connection: Connection, backfill_id: UUID) -> int:
        made, step = 0, _Step(more=True)
        while step.more:
            async with connection.transaction():
                step = await self._step(connection, backfill_id)
            made += step.made
        if made:
            log.info("backfilled", backfill=str(backfill_id), runs=made)
        return made

    async def _step(self, connection: Connection, backfill_id: UUID) -> _Step:
        found = await backfill.lock(connection, backfill_id)
        if found is None:
            return _NOTHING
        if found.deleted:
            return await _finish(connection, found, BackfillPhase.TASK_DELETED)
        task = await backfill.lock_task(connection, found.task_id)
        if task is None:
            return _NOTHING
        if task.schedule_key != found.schedule_key:
            return await _finish(connection, found, BackfillPhase.SCHEDULE_CHANGED)
        return await self._go_on(connection, found, task)

    async def _go_on(self, connection: Connection, found: OpenBackfill, task: BackfilledTask) -> _Step:
        under_way = await backfill.under_way(connection, found.backfill_id)
        may_run = self._rights.may_run(task)
        if may_run is None:
            return _NOTHING
        busy = _exclusive(task) and (await turns.standing(connection, task_ids=[task.task_id]))[task.task_id].busy
        why = hindrance(task, authorized=may_run, busy=busy, under_way=under_way)
        if why != found.waiting:
            await backfill.hold(connection, backfill_id=found.backfill_id, why=why)
        left = 0 if why or busy else room(found, task, under_way=under_way)
        return await _make(connection, found, task, room=left) if left else _NOTHING


def hindrance(task: BackfilledTask, *, authorized: bool, busy: bool, under_way: int) -> SkipReason | None:
    """
    Return why no run of a task can be made for now.

    ``busy``: it allows one run at a time and has one; that one may be one of the runs ``under_way`` of the backfill.
    """
    if not authorized:
        return SkipReason.UNAUTHORIZED
    if task.revision is None:
        return SkipReason.NOT_READY
    if busy and not under_way:
        return SkipReason.STILL_RUNNING
    return None


def room(found: OpenBackfill, task: BackfilledTask, *, under_way: int) -> int:
    """Return how many runs may be made now: a task that allows only one at a time gets one after the other."""
    return max(0, (1 if _exclusive(task) else found.max_active) - under_way)


def stretch(found: OpenBackfill, task: BackfilledTask) -> Stretch:
    """Return the next part of a backfill's window."""
    schedules = stored_schedules(task.spec.get("schedules", ()), anchor=task.anchor)
    times = within(schedules, after=found.evaluated_at, until=found.to_at, limit=CHUNK + 1)
    return Stretch(times[:CHUNK], last=len(times) <= CHUNK)


def portion(found: OpenBackfill, ahead: Stretch, *, fired: set[datetime], room: int) -> Portion:
    """Return what is made of a stretch where there is room for so many runs."""
    missing = [at for at in ahead.times if at not in fired]
    taken = missing[:room]
    if len(missing) > room:
        return Portion(taken, taken[-1] if taken else found.evaluated_at, done=False)
    return Portion(taken, found.to_at if ahead.last else ahead.times[-1], done=ahead.last)


def _exclusive(task: BackfilledTask) -> bool:
    return bool(task.spec.get("concurrencyPolicy", "Allow") != "Allow")


async def _finish(connection: Connection, found: OpenBackfill, reason: BackfillPhase) -> _Step:
    await backfill.finish(connection, backfill_id=found.backfill_id, reason=reason)
    log.info("backfill over", backfill=str(found.backfill_id), reason=reason.value)
    return _NOTHING


async def _make(connection: Connection, found: OpenBackfill, task: BackfilledTask, *, room: int) -> _Step:
    """Make up for the next times, as part of a transaction."""
    ahead = stretch(found, task)
    fired = await backfill.fired(connection, task_id=task.task_id, times=ahead.times)
    chosen = portion(found, ahead, fired=fired, room=room)
    made = [_run(task, at) for at in chosen.times]
    new = await backfill.make_up(
        connection,
        backfill_id=found.backfill_id,
        task_id=task.task_id,
        times=chosen.times,
        run_ids=[run.run_id for run in made],
    )
    # The key of the ledger is the second lock.
    made = [run for run in made if run.run_id in new]
    await runs.create(connection, made, trigger=Trigger.BACKFILL)
    await backfill.advance(
        connection,
        backfill_id=found.backfill_id,
        evaluated_at=chosen.evaluated_at,
        run_ids=[run.run_id for run in made],
    )
    if made:
        await events.add(connection, [_created(found, task, run).compact() for run in made])
        await status.notify(connection, [task.task_id])
        _record(task, made)
    if chosen.done:
        await _finish(connection, found, BackfillPhase.COMPLETED)
    return _Step(len(made), more=not chosen.done and len(made) < room)


def _run(task: BackfilledTask, scheduled_at: datetime) -> NewRun:
    assert task.revision is not None  # noqa: S101 - the caller has checked
    return NewRun(
        run_id=new_run_id(task.now),
        namespace=task.namespace,
        task_id=task.task_id,
        revision=task.revision,
        priority=LOWEST,
        params=task.params,
        scheduled_at=scheduled_at,
        exclusive=_exclusive(task),
        queue=task.queue,
        keys=keys.of_task(task.keys),
    )


def _created(found: OpenBackfill, task: BackfilledTask, run: NewRun) -> Event:
    assert run.scheduled_at is not None  # noqa: S101 - each makes up for one
    data = {
        "trigger": Trigger.BACKFILL,
        "scheduledTime": format_instant(run.scheduled_at),
        "backfill": str(found.backfill_id),
    }
    return Event("run.created", task.namespace, task.name, run=str(run.run_id), data=data)


def _record(task: BackfilledTask, made: Sequence[NewRun]) -> None:
    if spans.receiver is None:
        return
    # Before the commit: of a run that was not made after all, there is a root and no more.
    spans.receiver.record(
        spans.request(
            run=str(run.run_id),
            namespace=task.namespace,
            task=task.name,
            trigger=Trigger.BACKFILL,
            at=task.now.timestamp(),
        )
        for run in made
    )

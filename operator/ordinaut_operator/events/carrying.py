"""
Carrying out what was decided about events: ledger, runs, queue, gatherings and news, in the transaction of the caller.

:mod:`react` and :mod:`gather` share it. The key of the ledger is the second lock: of what it knows already no run is
made.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from ordinaut import metrics
from ordinaut.computing import compute
from ordinaut.declaration.running import replace_active
from ordinaut.logging import get_logger
from ordinaut.states import EventOutcome, EventSkipReason, Trigger
from ordinaut.store import events, reactions, runs, status, turns
from ordinaut.store.pool import Connection
from ordinaut.store.reactions import EventFire, EventTask, Gathering, Pair
from ordinaut.store.turns import FREE, Standing
from ordinaut_operator.events.bundles import Bundle, Item, to_keep
from ordinaut_operator.events.judgement import Ruling, rule, weigh
from ordinaut_operator.events.telling import Reactions, events_of, reactions_of
from ordinaut_operator.rights import Rights
from ordinaut_operator.terms import read_terms

UNREADABLE: Final = "this version of Ordinaut can't react for this task; the operator's log says why"

FEW: Final = 50
"""Bundles without params of their own that are decided on the event loop at once; more would hold it up."""

log = get_logger(__name__)


@dataclass(slots=True)
class Decided:
    """What is to be done: bundles that come to something, new events that wait, and how gatherings are then."""

    bundles: list[Bundle] = field(default_factory=list)
    waiting: list[Item] = field(default_factory=list)
    gatherings: list[Gathering] = field(default_factory=list)


def authorization(tasks: Collection[EventTask], rights: Rights) -> dict[int, bool | None]:
    """Return whether the creators of tasks may run them; None where nobody knows yet."""
    return {task.task_id: rights.may_run(task) for task in tasks}


def authorization_news(
    tasks: Mapping[int, EventTask], may_run: Mapping[int, bool | None]
) -> dict[int, datetime | None]:
    """Return since when creators may not run their tasks, None where they may again; only what has changed."""
    return {
        task_id: None if may_run[task_id] else task.now
        for task_id, task in tasks.items()
        if may_run[task_id] is not None and (task.unauthorized_at is None) is not may_run[task_id]
    }


async def carry_out(
    connection: Connection, decided: Decided, *, tasks: Mapping[int, EventTask], may_run: Mapping[int, bool | None]
) -> Reactions:
    """Have everything that was decided come true; the caller has locked what it needs."""
    rulings = await _rule(connection, decided.bundles, tasks=tasks, may_run=may_run)
    waiting = [item for item in decided.waiting if item.kept is None]
    fires = [fire for ruling in rulings for fire in _fires(ruling)]
    kept = {item.pair for ruling in rulings for item in ruling.bundle.items if item.kept is not None}
    new = [fire for fire in fires if fire.pair not in kept]
    known = await reactions.record(connection, [*new, *(_gathered(item) for item in waiting)])
    if known:
        # Only what needs no locks, and so no gathering, can have been decided by somebody else meanwhile.
        rulings = [ruling for ruling in rulings if not _is_known(ruling, known)]
    await reactions.settle(connection, [fire for fire in fires if fire.pair in kept])
    done = [item.kept for ruling in rulings for item in ruling.bundle.items if item.kept is not None]
    made = [ruling.run for ruling in rulings if ruling.run is not None]
    async with connection.pipeline():
        await reactions.release(connection, done)
        await reactions.gather(connection, [to_keep(item) for item in waiting])
        await reactions.put(connection, decided.gatherings)
        await reactions.mark_unauthorized(connection, authorization_news(tasks, may_run))
        await runs.create(connection, made, trigger=Trigger.EVENT)
        await events.add(connection, [event.compact() for event in events_of(rulings)])
        await status.notify(connection, list(dict.fromkeys(ruling.task.task_id for ruling in rulings)))
    await _replace(connection, rulings)
    return reactions_of(rulings, gathered=len(waiting))


async def _rule(
    connection: Connection,
    bundles: Sequence[Bundle],
    *,
    tasks: Mapping[int, EventTask],
    may_run: Mapping[int, bool | None],
) -> list[Ruling]:
    """Return what comes of bundles, those of a task together and in the order of the log."""
    ordered = sorted(bundles, key=_order)
    pinned = {tasks[one.last.match.task_id].revision for one in ordered if one.trigger.params is not None}
    schemas = await reactions.schemas(connection, [digest for digest in pinned if digest is not None])
    exclusive = {task.task_id for task in (tasks[one.last.match.task_id] for one in ordered) if task.exclusive}
    standing = await turns.standing(connection, task_ids=sorted(exclusive)) if exclusive else {}

    def decide() -> list[Ruling]:
        found: list[Ruling] = []
        for task_id, group in groupby(ordered, key=_task):
            task = tasks[task_id]
            schema = schemas.get(task.revision or b"", {})
            found += _judge(
                task, list(group), may_run=may_run[task_id], schema=schema, standing=standing.get(task_id, FREE)
            )
        return found

    return await compute(decide) if pinned or len(ordered) > FEW else decide()


def _judge(
    task: EventTask,
    bundles: Sequence[Bundle],
    *,
    may_run: bool | None,
    schema: Mapping[str, Any],
    standing: Standing,
) -> list[Ruling]:
    """Return what comes of a task's bundles; if this release can't read its spec, nothing."""
    try:
        weighed = [weigh(bundle, task, authorized=may_run is not False, schema=schema) for bundle in bundles]
        return rule(task, weighed, standing=standing)
    except Exception:
        # It must not hold up all others.
        metrics.JOB_FAILURES.labels(loop="react").inc()
        log.exception("task can't react to events", task=f"{task.namespace}/{task.name}")
        return [Ruling(task, bundle, EventSkipReason.NOT_READY, UNREADABLE) for bundle in bundles]


def _task(bundle: Bundle) -> int:
    return bundle.last.match.task_id


def _order(bundle: Bundle) -> tuple[int, int, int]:
    last = bundle.last.match
    return last.task_id, last.position, last.place


def _fires(ruling: Ruling) -> Iterator[EventFire]:
    """Yield the lines of the ledger."""
    run_id = None if ruling.run is None else ruling.run.run_id
    outcome = EventOutcome.SKIPPED if run_id is None else EventOutcome.FIRED
    for item in ruling.bundle.items:
        yield _line(item, outcome)._replace(reason=ruling.reason, message=ruling.message, run_id=run_id)


def _gathered(item: Item) -> EventFire:
    return _line(item, EventOutcome.GATHERED)


def _line(item: Item, outcome: EventOutcome) -> EventFire:
    match = item.match
    return EventFire(
        task_id=match.task_id,
        key=match.key,
        position=match.position,
        place=match.place,
        event_id=match.event["id"],
        event_type=match.event["type"],
        trigger=match.trigger.number,
        outcome=outcome,
    )


def _is_known(ruling: Ruling, known: Collection[Pair]) -> bool:
    return any(item.kept is None and item.pair in known for item in ruling.bundle.items)


async def _replace(connection: Connection, rulings: Sequence[Ruling]) -> None:
    newest = {
        ruling.task.task_id: ruling.run.run_id
        for ruling in rulings
        if ruling.run is not None and read_terms(ruling.task.spec).policy == "Replace"
    }
    if newest:
        names = {ruling.task.task_id: ruling.task.name for ruling in rulings if ruling.task.task_id in newest}
        await replace_active(connection, newest=newest, tasks=names)

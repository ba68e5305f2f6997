"""
Events whose waiting is over: batches that time has filled, and triggers that have been quiet for long enough.

:mod:`react` gathers events; here they come to runs when they are due, or when it has become known whether their task
may run. What comes of them is decided now: by the task and the trigger as they are, not as they were. Any number of
operators may do it, since each locks the clocks of the tasks that it works on; a crash at any point loses and doubles
nothing, since events leave the gathering in the transaction that makes their run.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ordinaut.logging import get_logger
from ordinaut.states import EventSkipReason
from ordinaut.store import reactions
from ordinaut.store.pool import Connection, Pool
from ordinaut.store.reactions import GatheredEvent, Gathering, Line
from ordinaut.triggers import Trigger, compile_triggers
from ordinaut_operator.events.bundles import Arranged, Bundle, arrange, at_once, counted, kept_item
from ordinaut_operator.events.carrying import Decided, authorization, carry_out
from ordinaut_operator.events.telling import Reactions, tell
from ordinaut_operator.fire import Tell
from ordinaut_operator.rights import NO_CHECKS, Rights

BATCH: Final = 50
"""Tasks whose gatherings are closed in one transaction,"""
MAX_BYTES: Final = 16 * 1024 * 1024
"""and how many bytes of their events: each may have megabytes."""

SWEEP: Final = 1.0
"""Seconds after which is looked again whatever was said about what is due."""

TASK_GONE: Final = "the task was deleted while the event waited"
TRIGGER_GONE: Final = "the trigger was removed while the event waited"


log = get_logger(__name__)


@dataclass(slots=True)
class Closed:
    """What became of due gatherings; ``next_due`` is in how many seconds the next one is, None while there is none."""

    reactions: Reactions = field(default_factory=Reactions)
    next_due: float | None = None


class Closer:
    """
    Closes gatherings when their time comes.

    Args:
        pool: connections to the database.
        rights: judges the creators of tasks.
        max_hops: how many runs of events may stand one behind the other.
        told: takes in what was skipped.
    """

    def __init__(self, pool: Pool, *, rights: Rights = NO_CHECKS, max_hops: int, told: Tell | None = None) -> None:
        self._pool = pool
        self._rights = rights
        self._max_hops = max_hops
        self._told = told
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Look soon: something is gathered that may be due before the next look, or a right has become known."""
        self._news.set()

    async def follow(self) -> None:
        """Close what is due whenever it is, until cancelled."""
        while True:
            self._news.clear()
            closed = await close_due(self._pool, rights=self._rights, max_hops=self._max_hops, told=self._told)
            pause = SWEEP if closed.next_due is None else min(closed.next_due, SWEEP)
            try:
                async with asyncio.timeout(pause):
                    await self._news.wait()
            except TimeoutError:
                continue


async def close_due(pool: Pool, *, rights: Rights = NO_CHECKS, max_hops: int, told: Tell | None = None) -> Closed:
    """Close all gatherings that are due, but for those of creators whose rights are not known yet."""
    closed = Closed()
    more = True
    while more:
        async with pool.connection() as connection:
            async with connection.transaction():
                done, more = await _close(connection, rights=rights, max_hops=max_hops)
            tell(done, told=told)
            closed.reactions.add(done)
            if not more:
                if given_up := await reactions.drop_orphans(connection, limit=BATCH, message=TASK_GONE):
                    log.info("events of deleted tasks given up", events=given_up)
                closed.next_due = await reactions.next_due(connection)
    return closed


async def _close(connection: Connection, *, rights: Rights, max_hops: int) -> tuple[Reactions, bool]:
    """Close some gatherings as part of a transaction; tells whether others may be due."""
    due = await reactions.due(connection, limit=BATCH, without=rights.unknown)
    found = await reactions.tasks(connection, due)
    may_run = authorization(found.values(), rights)
    known = {task_id: task for task_id, task in found.items() if may_run[task_id] is not None}
    tasks = await reactions.hold(connection, known, clocks=known)
    is_full = len(due) == BATCH
    if not tasks:
        return Reactions(), is_full
    # Read once the clocks are locked: another operator may have closed them meanwhile.
    open_ = await reactions.gatherings(connection, tasks)
    lines = _first({line: one for line, one in open_.items() if one.due_at <= tasks[line[0]].now})
    kept = await reactions.gathered(connection, list(lines))
    stored = await reactions.triggers(connection, tasks)
    triggers = {task_id: compile_triggers(stored.get(task_id, ())) for task_id in tasks}
    decided = Decided()
    for line, gathering in lines.items():
        _take(decided, gathering, kept.get(line, []), triggers[line[0]], max_hops=max_hops)
    done = await carry_out(connection, decided, tasks=tasks, may_run=may_run)
    return done, bool(lines) or is_full


def _first(due: Mapping[Line, Gathering]) -> dict[Line, Gathering]:
    """Return those that have waited longest, of as many bytes as are handled at once."""
    chosen: dict[Line, Gathering] = {}
    size = 0
    for line, gathering in sorted(due.items(), key=lambda one: one[1].due_at):
        size += min(gathering.bytes, reactions.READ_BYTES)
        if chosen and size > MAX_BYTES:
            break
        chosen[line] = gathering
    return chosen


def _take(
    decided: Decided,
    gathering: Gathering,
    kept: Sequence[GatheredEvent],
    triggers: Sequence[Trigger],
    *,
    max_hops: int,
) -> None:
    """Put in what a due gathering comes to."""
    more = len(kept) >= reactions.READ_AT_ONCE or sum(one.bytes for one in kept) >= reactions.READ_BYTES
    arranged = _arranged(gathering, kept, triggers, max_hops=max_hops, more=more)
    decided.bundles += arranged.bundles
    left = counted(gathering, arranged)
    # The count is a hint; the events themselves have the last word.
    decided.gatherings.append(left._replace(events=max(1, left.events) if more else 0))


def _arranged(
    gathering: Gathering, kept: Sequence[GatheredEvent], triggers: Sequence[Trigger], *, max_hops: int, more: bool
) -> Arranged:
    if not kept:
        return Arranged([], [])
    if gathering.trigger >= len(triggers):
        gone = _gone(gathering)
        items = [kept_item(one, gone) for one in kept]
        return Arranged([Bundle(gone, items, gathering.due_at, EventSkipReason.NOT_READY, TRIGGER_GONE)], [])
    trigger = triggers[gathering.trigger]
    items = [kept_item(one, trigger) for one in kept]
    refused = {item.pair: bundle for item in items if (bundle := at_once(item, max_hops=max_hops))}
    others = [item for item in items if item.pair not in refused]
    arranged = arrange(trigger, others, due_at=gathering.due_at, more=more) if others else Arranged([], [])
    return Arranged([*refused.values(), *arranged.bundles], arranged.waiting)


def _gone(gathering: Gathering) -> Trigger:
    """Return what stands for a trigger that is there no more."""
    return Trigger(
        number=gathering.trigger,
        topic="",
        since=gathering.opened_at,
        condition=None,
        params=None,
        debounce=None,
        batch=None,
    )


__all__ = ["Closed", "Closer", "close_due"]

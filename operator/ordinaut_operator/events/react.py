"""
Reacting: from events that have matched triggers to runs in the queue, once for each task and event.

:mod:`dispatch` calls :func:`react` in the transaction that moves its place in the log on. The ledger says which events
are new to a task; these wait for others where the trigger says so, or come to a run or a reason why there is none, by
the same rules as nominal times. Everything is done for many matches at once. Where it is not known yet whether a task's
creator may run it, its events are gathered until it is (:mod:`gather`): nobody else waits for that.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final
from uuid import UUID

import orjson

from ordinaut.store import reactions
from ordinaut.store.pool import Connection
from ordinaut.store.reactions import EventTask, Gathering, Line, Pair
from ordinaut.triggers import Match
from ordinaut_operator.events.bundles import Intake, Item, at_once, gathers
from ordinaut_operator.events.carrying import Decided, authorization, authorization_news, carry_out
from ordinaut_operator.events.hops import cause_of, hops_after
from ordinaut_operator.events.telling import Reactions
from ordinaut_operator.rights import Rights

PART: Final = 1000
"""Matches that are handled at once: one event may have matched the triggers of ten thousand tasks."""

MAX_BYTES: Final = 16 * 1024 * 1024
"""Bytes of gathered events that are read at once."""


async def react(connection: Connection, matches: Sequence[Match], *, rights: Rights, max_hops: int) -> Reactions:
    """
    React to matches, given in the order of the log, as part of a transaction; called once in each.

    What comes back is for :func:`telling.tell`, after the commit.
    """
    # By task: clocks are locked in the order of their keys, everywhere. The matches of a task stay in their order.
    ordered = sorted(matches, key=attrgetter("task_id"))
    texts: dict[tuple[int, int], bytes] = {}
    total = Reactions()
    for first in range(0, len(ordered), PART):
        part = ordered[first : first + PART]
        total.add(await _react(connection, part, texts, rights=rights, max_hops=max_hops))
    return total


async def _react(
    connection: Connection,
    matches: Sequence[Match],
    texts: dict[tuple[int, int], bytes],
    *,
    rights: Rights,
    max_hops: int,
) -> Reactions:
    found = await reactions.tasks(connection, {match.task_id for match in matches})
    may_run = authorization(found.values(), rights)
    locked = _to_lock(found, matches, may_run)
    tasks = await reactions.hold(connection, found, clocks=locked | authorization_news(found, may_run).keys())
    new = await _new(connection, [match for match in matches if match.task_id in tasks], locked=locked)
    if not new:
        return Reactions()
    hops = await _hops(connection, new, tasks)
    items = [Item(match, hops_after(match.event, hops), _text(match, texts)) for match in new]
    before = await reactions.gatherings(connection, _gatherers(items, tasks, may_run))
    done = Reactions()
    for some in _portions(items, before):
        decided = await _decide(connection, some, before, tasks=tasks, may_run=may_run, max_hops=max_hops)
        concerned = {task_id: tasks[task_id] for task_id in {item.match.task_id for item in some}}
        done.add(await carry_out(connection, decided, tasks=concerned, may_run=may_run))
    return done


def _to_lock(tasks: Mapping[int, EventTask], matches: Sequence[Match], may_run: Mapping[int, bool | None]) -> set[int]:
    """Return the tasks whose runs or gatherings nobody else may touch meanwhile."""
    waiting = {match.task_id for match in matches if gathers(match.trigger)}
    return {
        task_id
        for task_id, task in tasks.items()
        if task.exclusive or task.gathers or task_id in waiting or may_run[task_id] is None
    }


async def _new(connection: Connection, matches: Sequence[Match], *, locked: Collection[int]) -> list[Match]:
    """
    Return the first match of each event with each task, without those that the ledger has of locked tasks.

    Of those tasks, what comes of an event depends on the ones before it. Of all others, what the ledger has already
    comes out when it is written.
    """
    first: dict[Pair, Match] = {}
    for match in matches:
        first.setdefault((match.task_id, match.key), match)
    asked = [pair for pair in first if pair[0] in locked]
    known = await reactions.known(connection, asked) if asked else set()
    return [match for pair, match in first.items() if pair not in known]


async def _hops(connection: Connection, matches: Sequence[Match], tasks: Mapping[int, EventTask]) -> dict[UUID, int]:
    """Return the hops of the runs that have caused events; a namespace knows only runs of its own."""
    causes = {(cause_of(match.event), tasks[match.task_id].namespace) for match in matches}
    return await reactions.hops(connection, [(run_id, namespace) for run_id, namespace in causes if run_id is not None])


def _text(match: Match, texts: dict[tuple[int, int], bytes]) -> bytes:
    """Return an event as JSON, written once however many tasks it matches."""
    place = (match.position, match.place)
    if (text := texts.get(place)) is None:
        text = texts[place] = orjson.dumps(match.event)
    return text


def _gatherers(items: Sequence[Item], tasks: Mapping[int, EventTask], may_run: Mapping[int, bool | None]) -> set[int]:
    """Return the tasks that may have gathered something."""
    return {
        item.match.task_id
        for item in items
        if tasks[item.match.task_id].gathers or may_run[item.match.task_id] is None or gathers(item.match.trigger)
    }


def _portions(items: Sequence[Item], before: Mapping[Line, Gathering]) -> Iterator[list[Item]]:
    """Yield the items, given by task, in parts for which not too much that was gathered must be read; mostly in one."""
    sizes: Counter[int] = Counter()
    for (task_id, _), gathering in before.items():
        sizes[task_id] += min(gathering.bytes, reactions.READ_BYTES)
    portion: list[Item] = []
    size = 0
    for task_id, group in groupby(items, key=lambda item: item.match.task_id):
        size += sizes[task_id]
        if portion and size > MAX_BYTES:
            yield portion
            portion, size = [], sizes[task_id]
        portion += group
    yield portion


async def _decide(
    connection: Connection,
    items: Sequence[Item],
    before: Mapping[Line, Gathering],
    *,
    tasks: Mapping[int, EventTask],
    may_run: Mapping[int, bool | None],
    max_hops: int,
) -> Decided:
    """Return which events come to something now, and which wait."""
    decided = Decided()
    lines: dict[Line, list[Item]] = {}
    for item in items:
        bundle = at_once(item, max_hops=max_hops)
        if bundle is None:
            lines.setdefault(item.line, []).append(item)
        else:
            decided.bundles.append(bundle)
    intakes = {
        line: Intake(several[0].match.trigger, several, before.get(line), hold=may_run[line[0]] is None)
        for line, several in lines.items()
    }
    kept = await reactions.gathered(connection, [line for line, intake in intakes.items() if intake.needs_kept])
    for line, intake in intakes.items():
        arranged, gathering = intake.take(kept.get(line, []), now=tasks[line[0]].now)
        decided.bundles += arranged.bundles
        decided.waiting += arranged.waiting
        if gathering is not None:
            decided.gatherings.append(gathering)
    return decided


__all__ = ["Reactions", "react"]

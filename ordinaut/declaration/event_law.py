"""
The law of the ledger of events: what a trigger of a task matches has its line, and each line tells the truth.

``ordinaut verify`` asks the API, which asks :func:`verify`. The newest events of the log are compared anew with the
triggers as they are now, and what matches is looked up in the ledger. Only events count that came after the task was
last edited. The log is read before the ledger, up to where the triggers have been compared with it: whatever is read
of the one must be found in the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from ordinaut.computing import compute
from ordinaut.events.envelope import cloud_event
from ordinaut.states import EventOutcome
from ordinaut.store import event_fires
from ordinaut.store.event_fires import Line, Listener
from ordinaut.store.log import LogRow
from ordinaut.store.pool import Connection
from ordinaut.triggers import Match, Subscriptions

Invariant = Literal["unaccounted_event", "event_without_run", "lost_event"]

AT_ONCE: Final = 50
"""Rows of the log that are compared before others who compute may go first."""


@dataclass(frozen=True, slots=True)
class EventBreach:
    """One way in which a ledger of events breaks the law."""

    invariant: Invariant
    text: str


@dataclass(frozen=True, slots=True)
class EventJudgement:
    """Of the events that a task's triggers match: how many made runs, were skipped, and are gathered."""

    matched: int = 0
    fired: int = 0
    skipped: int = 0
    gathered: int = 0
    breaches: tuple[EventBreach, ...] = ()


async def verify(
    connection: Connection, task_ids: Sequence[int], *, namespace: str, rows: int
) -> dict[int, EventJudgement]:
    """Judge those of the tasks of a namespace that have triggers, by the newest ``rows`` rows of the log about it."""
    listeners = await event_fires.listeners(connection, task_ids)
    if not listeners:
        return {}
    since = min(one.since for one in listeners)
    read = await event_fires.compared(connection, namespace=namespace, since=since, limit=rows)
    subscriptions = Subscriptions()
    for one in listeners:
        subscriptions.put(one.task_id, one.triggers)
    matches: list[Match] = []
    for start in range(0, len(read), AT_ONCE):
        some = read[start : start + AT_ONCE]
        matches += await compute(_matches, some, subscriptions, namespace=namespace)
    lines = await event_fires.lines(connection, [(one.task_id, one.key) for one in matches])
    # Whoever was edited meanwhile may have been compared as it is now, so nothing can be said of it.
    now = {one.task_id: one.since for one in await event_fires.listeners(connection, task_ids)}
    same = [one for one in listeners if now.get(one.task_id) == one.since]
    return judged(same, matches, {(one.task_id, one.key): one for one in lines})


def judged(
    listeners: Sequence[Listener], matches: Sequence[Match], lines: Mapping[tuple[int, UUID], Line]
) -> dict[int, EventJudgement]:
    """Return what is to be said of each task, given what its triggers match and what the ledger says of that."""
    found: dict[int, dict[UUID, Match]] = {one.task_id: {} for one in listeners}
    since = {one.task_id: one.since for one in listeners}
    for match in matches:
        # A condition that fails here only, since others had taken the work that it may make, proves nothing.
        known = match.mistake is None or (match.task_id, match.key) in lines
        if known and match.task_id in since and match.created_at >= since[match.task_id]:
            found[match.task_id].setdefault(match.key, match)
    return {task_id: _judgement(of_task, lines) for task_id, of_task in found.items()}


def _judgement(matches: Mapping[UUID, Match], lines: Mapping[tuple[int, UUID], Line]) -> EventJudgement:
    known = [line for key, match in matches.items() if (line := lines.get((match.task_id, key)))]
    counts = {outcome: sum(line.outcome == outcome for line in known) for outcome in EventOutcome}
    return EventJudgement(
        matched=len(matches),
        fired=counts[EventOutcome.FIRED],
        skipped=counts[EventOutcome.SKIPPED],
        gathered=counts[EventOutcome.GATHERED],
        breaches=tuple(
            breach for match in matches.values() for breach in _breaches(match, lines.get((match.task_id, match.key)))
        ),
    )


def _breaches(match: Match, line: Line | None) -> Iterator[EventBreach]:
    name = f"event {match.event['id']} ({match.event['type']})"
    if line is None:
        yield EventBreach("unaccounted_event", f"{name} matches a trigger, and the ledger has no line for it")
    elif line.lacks_run:
        yield EventBreach("event_without_run", f"{name} has fired, and its run does not exist")
    elif line.is_lost:
        yield EventBreach("lost_event", f"{name} is gathered, and no trigger gathers it")


def _matches(rows: Sequence[LogRow], subscriptions: Subscriptions, *, namespace: str) -> list[Match]:
    found: list[Match] = []
    for row in rows:
        for place, compact in enumerate(row.events):
            if compact["ns"] == namespace and subscriptions.wants(compact["type"]):
                event = cloud_event(row.id, row.created_at, place, compact)
                found += subscriptions.match(event, position=row.position, place=place, created_at=row.created_at)
    return found

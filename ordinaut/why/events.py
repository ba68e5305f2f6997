"""
What a task's triggers have to do with why it runs or does not: from its ledger of events to causes. Pure.

``why.task`` puts these causes among those of its schedules and runs.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from ordinaut.causes import Cause, Level
from ordinaut.declaration import standing
from ordinaut.shapes import Because
from ordinaut.states import WHY_EVENT_SKIPPED, EventOutcome, EventSkipReason
from ordinaut.store.event_fires import EventFire
from ordinaut.store.status import TaskRow
from ordinaut.store.why import TaskFacts
from ordinaut.why.releases import Releases
from ordinaut.why.wording import SOON, moment, one_line

SHOWN: Final = 3
"""Topics that are named."""


def quiet(row: TaskRow) -> str:
    """Return what comes of it that a task is paused or suspended."""
    if not standing.topics(row):
        return "its schedules do not fire"
    return "its schedules do not fire, and events are skipped" if row.spec.get("schedules") else "events are skipped"


def behind(facts: TaskFacts) -> Iterator[Because]:
    """Yield that nobody looks at events, whatever they are."""
    if facts.events is None or facts.events.behind <= SOON.total_seconds():
        return
    who = "an operator is connected to the database, and does not get to them"
    text = f"events have waited for {facts.events.behind:,.0f} s to be looked at: "
    yield Because(
        reason=Cause.EVENTS_BEHIND,
        level=Level.BLOCKING,
        message=text + (who if facts.around.operated else "no operator is connected to the database"),
        action=Releases(facts.row.namespace).installation("see whether an operator is at work, and what it lacks"),
    )


def skipped(facts: TaskFacts) -> Iterator[Because]:
    """Yield the reasons for which its latest events were skipped, each once, as long as the newest made no run."""
    told: dict[str, list[EventFire]] = {}
    for fire in facts.events.fires if facts.events else ():
        if fire.outcome != EventOutcome.SKIPPED:
            break
        told.setdefault(str(fire.reason), []).append(fire)
    for reason, fires in told.items():
        harmless = reason == EventSkipReason.DEBOUNCED
        newest = f"its latest event, {_name(fires[0])}, was"
        count = f"{len(fires)} of its latest events were" if len(fires) > 1 else newest
        yield Because(
            reason=Cause.EVENTS_SKIPPED,
            level=Level.NOTE if harmless else Level.BLOCKING,
            message=f"{count} skipped ({reason}): {_why(fires)}",
            detail=reason,
            since=fires[-1].decided_at,
            action=Releases(facts.row.namespace).event_fires(facts.row.name),
        )


def gathering(facts: TaskFacts) -> Iterator[Because]:
    """Yield what its triggers gather."""
    for one in facts.events.gatherings if facts.events else ():
        count = "1 event has" if one.events == 1 else f"{one.events:,} events have"
        text = f"{count} come for its trigger {one.trigger}, which gathers them until {moment(one.due_at)}"
        yield Because(reason=Cause.GATHERING, level=Level.GOOD, message=text, until=one.due_at)


def listening(facts: TaskFacts) -> Iterator[Because]:
    """Yield which events it waits for, and what became of the last one, where nothing keeps it from that."""
    row, topics = facts.row, standing.topics(facts.row)
    if facts.events is None or not topics or row.paused_at is not None or row.spec.get("suspend"):
        return
    named = ", ".join(topics[:SHOWN]) + (f" and {len(topics) - SHOWN} more" if len(topics) > SHOWN else "")
    text = f"it runs on events: {named}; "
    action = None
    if facts.events.fires:
        last = facts.events.fires[0]
        run = f" with run {last.run_id}" if last.run_id else ""
        text += f"the last that matched, {_name(last)}, was {last.outcome}{run}"
        action = Releases(row.namespace).event_fires(row.name)
    else:
        text += "none has matched yet"
    level = Level.GOOD if row.ready else Level.NOTE
    yield Because(reason=Cause.LISTENING, level=level, message=text, action=action)


def _name(fire: EventFire) -> str:
    return f"{fire.event_id} ({fire.event_type})"


def _why(fires: Sequence[EventFire]) -> str:
    """Return why events were skipped: the message of the newest, else what the reason means."""
    if fires[0].message:
        return one_line(fires[0].message)
    reason = fires[0].reason
    return WHY_EVENT_SKIPPED[EventSkipReason(reason)] if reason in set(EventSkipReason) else str(reason)

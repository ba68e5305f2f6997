"""
Why a run waits for its concurrency keys: who holds the slots, and who comes first. Pure.

A run takes a slot of each of its keys or of none, so the keys that are full are the causes, each with its holders.
Where none is, it is about to be let go on, or nobody does.
"""

from collections.abc import Iterator

from ordinaut.causes import Cause, Level
from ordinaut.shapes import Because, QueuePosition
from ordinaut.store.keys import COUNTED
from ordinaut.store.why import HeldKey, RunFacts
from ordinaut.why.releases import Releases
from ordinaut.why.wording import blocking, standing


def causes(facts: RunFacts) -> Iterator[Because]:
    """Yield the keys that keep a run waiting."""
    full = [key for key in facts.keys if key.blocking.is_full]
    yield from (_full(facts, key) for key in full)
    if not full:
        yield _with_room(facts)


def _full(facts: RunFacts, held: HeldKey) -> Because:
    found, releases = held.blocking, Releases(facts.row.namespace)
    slots = "its only slot is taken" if found.limit == 1 else f"{found.held:,} runs hold it and {found.limit:,} may"
    first = f": {standing(held.holders[0])}" if held.holders else ""
    return Because(
        reason=Cause.CONCURRENCY_KEY,
        level=Level.BLOCKING,
        message=f"it waits for concurrency key {found.key}, {slots}{first}{_before(held)}",
        since=held.holders[0].since if held.holders else facts.row.created_at,
        key=found.key,
        limit=found.limit,
        position=_position(held),
        holders=[blocking(one) for one in held.holders] or None,
        action=releases.ask_run(held.holders[0].run_id) if held.holders else None,
    )


def _with_room(facts: RunFacts) -> Because:
    last = max(facts.keys, key=lambda key: key.blocking.ahead, default=None)
    where = "there is room in its concurrency keys"
    text = f"{where}, and it is let go on in a moment" if facts.operated else f"{where}, and no operator lets it go on"
    releases = Releases(facts.row.namespace)
    return Because(
        reason=Cause.CONCURRENCY_KEY,
        level=Level.NOTE if facts.operated else Level.BLOCKING,
        message=text + (_before(last) if last else ""),
        key=last.blocking.key if last else None,
        limit=last.blocking.limit if last else None,
        position=_position(last) if last else None,
        action=None if facts.operated else releases.installation("start an operator: none is connected"),
    )


def _position(held: HeldKey) -> QueuePosition:
    return QueuePosition(before=held.blocking.ahead, more=held.blocking.ahead >= COUNTED)


def _before(held: HeldKey) -> str:
    """Return how many wait for a key before the run."""
    match held.blocking.ahead:
        case 0:
            return ""
        case 1:
            return ", and another one waits before it"
        case count:
            return f", and {count:,}{' or more' if count >= COUNTED else ''} others wait before it"

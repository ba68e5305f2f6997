"""
Which events make one run together: pure decisions over the events of a task's trigger.

:mod:`react` has new events, :mod:`gather` those whose time has come; both ask :func:`arrange`, have :mod:`judgement`
decide what comes of each bundle, and keep what still waits. An event of a trigger without ``batch`` and ``debounce``
makes a run by itself.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

import orjson

from ordinaut.states import EventSkipReason
from ordinaut.store.reactions import GatheredEvent, Gathering, Line, Pair
from ordinaut.triggers import Match, Trigger

MAX_BYTES: Final = 256 * 1024
"""Bytes of the events of a batch, as JSON: with more it is full."""

LONGEST_DEBOUNCE: Final = 10
"""How often its ``debounce`` a trigger waits at the most: events that never cease make runs all the same."""


class Item(NamedTuple):
    """
    An event that a trigger of a task has matched.

    ``hops`` are those of the run that it would make, ``text`` is the event as JSON. ``kept`` is its row if it was
    gathered before: then the ledger has it already.
    """

    match: Match
    hops: int
    text: bytes
    kept: GatheredEvent | None = None

    @property
    def pair(self) -> Pair:
        """What the ledger has one line for."""
        return self.match.task_id, self.match.key

    @property
    def line(self) -> Line:
        """Whose trigger it is that has matched it."""
        return self.match.task_id, self.match.trigger.number


class Bundle(NamedTuple):
    """
    Events of a trigger that make one run together, or none.

    It has been time for it ``since`` then. ``reason`` is why it makes none, as far as that is known without its task;
    ``message`` says more.
    """

    trigger: Trigger
    items: Sequence[Item]
    since: datetime
    reason: EventSkipReason | None = None
    message: str | None = None

    @property
    def last(self) -> Item:
        """The event that a run knows as the one."""
        return self.items[-1]

    @property
    def hops(self) -> int:
        """The hops of its run."""
        return max(item.hops for item in self.items)


class Arranged(NamedTuple):
    """What events of a trigger come to now, and those that wait."""

    bundles: list[Bundle]
    waiting: list[Item]


def kept_item(kept: GatheredEvent, trigger: Trigger) -> Item:
    """Return an event that was gathered, for the trigger as it is now."""
    match = Match(
        task_id=kept.task_id,
        trigger=trigger,
        event=kept.event,
        key=kept.key,
        position=kept.position,
        place=kept.place,
        created_at=kept.accepted_at,
    )
    return Item(match, kept.hops, orjson.dumps(kept.event), kept)


def to_keep(item: Item) -> GatheredEvent:
    """Return a new event as it is gathered."""
    match = item.match
    return GatheredEvent(
        task_id=match.task_id,
        trigger=match.trigger.number,
        position=match.position,
        place=match.place,
        key=match.key,
        accepted_at=match.created_at,
        hops=item.hops,
        bytes=len(item.text),
        event=item.text,
    )


def at_once(item: Item, *, max_hops: int) -> Bundle | None:
    """Return what an event comes to that waits for no others whatever its trigger says: None, if it may."""
    match = item.match
    if item.hops > max_hops:
        return Bundle(match.trigger, [item], match.created_at, EventSkipReason.HOP_LIMIT)
    if match.mistake is not None:
        return Bundle(match.trigger, [item], match.created_at, EventSkipReason.INVALID_FILTER, match.mistake)
    return None


def gathers(trigger: Trigger) -> bool:
    """Whether a trigger's events wait for others."""
    return trigger.batch is not None or trigger.debounce is not None


def arrange(trigger: Trigger, items: Sequence[Item], *, due_at: datetime | None, more: bool = False) -> Arranged:
    """
    Return what the events of a trigger come to, given in the order of the log.

    ``due_at`` is when the time of those was over that wait for others, None while it is not. ``more``: there are others
    behind these, which go with the last of them.
    """
    if trigger.batch is not None:
        return _batches(trigger, items, max_size=trigger.batch.max_size, due_at=None if more else due_at)
    if trigger.debounce is not None:
        return _last(trigger, items, due_at=None if more else due_at)
    return Arranged([Bundle(trigger, [item], item.match.created_at) for item in items], [])


def _batches(trigger: Trigger, items: Sequence[Item], *, max_size: int, due_at: datetime | None) -> Arranged:
    bundles: list[Bundle] = []
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.text)
        if len(batch) >= max_size or size >= MAX_BYTES:
            bundles.append(Bundle(trigger, batch, item.match.created_at))
            batch, size = [], 0
    if batch and due_at is not None:
        bundles.append(Bundle(trigger, batch, due_at))
        batch = []
    return Arranged(bundles, batch)


def _last(trigger: Trigger, items: Sequence[Item], *, due_at: datetime | None) -> Arranged:
    *earlier, last = items
    bundles = []
    if earlier:
        bundles.append(Bundle(trigger, earlier, last.match.created_at, EventSkipReason.DEBOUNCED))
    if due_at is None:
        return Arranged(bundles, [last])
    return Arranged([*bundles, Bundle(trigger, [last], due_at)], [])


def is_full(trigger: Trigger, *, events: int, size: int) -> bool:
    """Whether so many events, of so many bytes, are a batch."""
    return trigger.batch is not None and (events >= trigger.batch.max_size or size >= MAX_BYTES)


class Intake(NamedTuple):
    """
    New events of a trigger, in the order of the log, and what it has gathered before; None: nothing.

    ``hold``: they make no run now, whatever the trigger says, since nobody knows yet whether they may.
    """

    trigger: Trigger
    new: Sequence[Item]
    before: Gathering | None
    hold: bool

    @property
    def fills(self) -> bool:
        """Whether there are enough events for a batch."""
        events, size = (self.before.events, self.before.bytes) if self.before else (0, 0)
        return is_full(self.trigger, events=events + len(self.new), size=size + _size(self.new))

    @property
    def needs_kept(self) -> bool:
        """Whether the events that were gathered before must be known."""
        if self.before is None:
            return False
        return self.trigger.debounce is not None or (self.fills and not self.hold)

    def take(self, kept: Sequence[GatheredEvent], *, now: datetime) -> tuple[Arranged, Gathering | None]:
        """Return what the events come to, and how the trigger's gathering stands then; None: it has none."""
        trigger, before = self.trigger, self.before
        if self._must_wait(kept):
            arranged = Arranged([], list(self.new))
        else:
            items = [*(kept_item(one, trigger) for one in kept), *self.new]
            arranged = arrange(trigger, items, due_at=None)
        if before is None and not arranged.waiting:
            return arranged, None
        begins = before is None or (trigger.batch is not None and bool(arranged.bundles))
        opened_at = now if begins or before is None else before.opened_at
        state = before or Gathering(*self.new[0].line, opened_at, now, 0, 0)
        return arranged, counted(state, arranged)._replace(opened_at=opened_at, due_at=self._due(opened_at, now=now))

    def _must_wait(self, kept: Sequence[GatheredEvent]) -> bool:
        if self.before is not None and self.needs_kept and len(kept) < self.before.events:
            return True  # more than are read at once: they come to something first
        if self.trigger.batch is not None:
            return self.hold or not self.fills
        if self.trigger.debounce is not None:
            return False
        return self.hold or self.before is not None

    def _due(self, opened_at: datetime, *, now: datetime) -> datetime:
        """Return when what is gathered then comes to something."""
        trigger = self.trigger
        if trigger.debounce is not None:
            return min(now + trigger.debounce, opened_at + LONGEST_DEBOUNCE * trigger.debounce)
        if trigger.batch is None:
            return self.before.due_at if self.before else now
        return now if self.hold and self.fills else opened_at + trigger.batch.timeout


def counted(before: Gathering, arranged: Arranged) -> Gathering:
    """Return a gathering without those of its events that came to something, and with new ones that wait."""
    gone = [item.kept for bundle in arranged.bundles for item in bundle.items if item.kept is not None]
    new = [item for item in arranged.waiting if item.kept is None]
    events = before.events - len(gone) + len(new)
    return before._replace(events=events, bytes=before.bytes - sum(one.bytes for one in gone) + _size(new))


def _size(items: Sequence[Item]) -> int:
    return sum(len(item.text) for item in items)

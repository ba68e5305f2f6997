"""
The subscriptions of a namespace: all triggers of its tasks, found by what an event is rather than one after another.

By topic first: the patterns that cover a type are looked up once and remembered. Then by what the conditions have in
common: tasks with the same condition ask it once, and among conditions such as ``data.to == 'ada'`` only those are
asked of which the text is in the event. The operator's dispatcher keeps one object for each namespace, tells it what
changes (:meth:`Subscriptions.put`), and asks it about each event (:meth:`Subscriptions.match`); not thread-safe.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from ordinaut.engine.evaluation import Meter
from ordinaut.engine.expression import path_finder
from ordinaut.engine.predicate import Predicate
from ordinaut.engine.syntax import Path
from ordinaut.errors import Permanent
from ordinaut.events.envelope import compact_type, key_of
from ordinaut.triggers.topics import Topics
from ordinaut.triggers.trigger import Trigger, compile_triggers

WORK_AT_ONCE = 2_000_000
WORK_PER_SECOND = 250_000
"""
Units of work that the conditions of a namespace may make, some 0.5 s of each second: there is one dispatcher for all
namespaces. A condition that walks through what events usually hold takes tens of them, comparisons and tests of text
take none. The seconds are those in which the events were accepted, so that a backlog is judged like its events. Beyond,
conditions fail.
"""

MAX_TYPES: Final = 4096
"""Types whose subscriptions are remembered: publishers choose them."""

Member = tuple[int, int]
"""A task and the number of its trigger."""


@dataclass(frozen=True, slots=True)
class Match:
    """
    An event that counts for a trigger of a task.

    ``event`` is the CloudEvent and ``key`` its own key; ``position`` and ``place`` are where it stands in the log, and
    ``created_at`` is when it was accepted. ``mistake`` says why the trigger's condition could not be evaluated, None
    where it is true.
    """

    task_id: int
    trigger: Trigger
    event: Mapping[str, Any]
    key: UUID
    position: int
    place: int
    created_at: datetime
    mistake: str | None = None


@dataclass(slots=True)
class _Asked:
    """Triggers with the same condition."""

    predicate: Predicate
    members: dict[Member, Trigger] = field(default_factory=dict)


@dataclass(slots=True)
class _Bucket:
    """
    The triggers of one topic.

    ``certain`` have no condition. Those in ``asked`` are asked about each event, by the text of their condition; those
    in ``equal`` only about events in which a path leads to their text.
    """

    certain: dict[Member, Trigger] = field(default_factory=dict)
    asked: dict[str, _Asked] = field(default_factory=dict)
    equal: dict[Path, dict[str, dict[str, _Asked]]] = field(default_factory=dict)

    def add(self, member: Member, trigger: Trigger) -> None:
        """Take in a trigger."""
        predicate = trigger.condition
        if predicate is None:
            self.certain[member] = trigger
            return
        same = self.asked
        if predicate.equality:
            same = self.equal.setdefault(predicate.equality.path, {}).setdefault(predicate.equality.text, {})
        same.setdefault(predicate.source, _Asked(predicate)).members[member] = trigger

    def remove(self, member: Member, trigger: Trigger) -> None:
        """Forget a trigger that was taken in."""
        predicate = trigger.condition
        if predicate is None:
            del self.certain[member]
        elif predicate.equality is None:
            _forget(self.asked, member, predicate.source)
        else:
            path, text = predicate.equality
            _forget(self.equal[path][text], member, predicate.source)
            if not self.equal[path][text]:
                del self.equal[path][text]
            if not self.equal[path]:
                del self.equal[path]

    def is_empty(self) -> bool:
        """Whether no trigger is left."""
        return not (self.certain or self.asked or self.equal)

    def hits(self, event: Mapping[str, Any], meter: Meter) -> Iterator[tuple[dict[Member, Trigger], str | None]]:
        """Yield the triggers that an event counts for, those of one condition together, with what went wrong."""
        if self.certain:
            yield self.certain, None
        for same in self._askable(event):
            try:
                if same.predicate.holds(event, meter=meter):
                    yield same.members, None
            except Permanent as error:
                yield same.members, str(error)

    def _askable(self, event: Mapping[str, Any]) -> Iterator[_Asked]:
        for path, texts in self.equal.items():
            text = path_finder(path)(event)
            if isinstance(text, str) and text in texts:
                yield from texts[text].values()
        yield from self.asked.values()


class Subscriptions:
    """The triggers of all tasks of a namespace."""

    def __init__(self) -> None:
        self._of_task: dict[int, tuple[Trigger, ...]] = {}
        self._topics: Topics[_Bucket] = Topics()
        self._of_type: dict[str, Sequence[_Bucket]] = {}
        self._meter = Meter(WORK_AT_ONCE)
        self._metered_to: datetime | None = None

    def __len__(self) -> int:
        """Return how many triggers there are."""
        return sum(map(len, self._of_task.values()))

    def put(self, task_id: int, triggers: Sequence[Mapping[str, Any]] | None) -> None:
        """Take over the triggers of a task as they are stored; None: it has none any more."""
        for trigger in self._of_task.pop(task_id, ()):
            self._remove(task_id, trigger)
        if triggers:
            self._of_task[task_id] = compiled = compile_triggers(triggers)
            for trigger in compiled:
                self._add(task_id, trigger)

    def wants(self, type_: str) -> bool:
        """Return whether any trigger's topic covers a type, as ``events.envelope`` makes it compact."""
        return bool(self._buckets(type_))

    def match(self, event: Mapping[str, Any], *, position: int, place: int, created_at: datetime) -> list[Match]:
        """
        Return the tasks that a CloudEvent counts for, by their keys, each with the first of its triggers that it
        matches; with a trigger whose condition failed only where no other one matches.
        """
        buckets = self._buckets(compact_type(event["type"]))
        if not buckets:
            return []
        self._refill(created_at)
        found = _first_of_each(buckets, event, created_at, self._meter)
        if not found:
            return []
        key = key_of(event)
        return [
            Match(task_id, trigger, event, key, position, place, created_at, mistake)
            for task_id, (mistake, trigger) in sorted(found.items())
        ]

    def _refill(self, now: datetime) -> None:
        """Grant what work the time since the last event allows."""
        if self._metered_to is None:
            self._metered_to = now
        granted = int((now - self._metered_to).total_seconds() * WORK_PER_SECOND)
        if granted > 0:
            self._meter.left = min(self._meter.left + granted, WORK_AT_ONCE)
            self._metered_to = now

    def _buckets(self, type_: str) -> Sequence[_Bucket]:
        known = self._of_type.get(type_)
        if known is None:
            if len(self._of_type) >= MAX_TYPES:
                self._of_type.clear()
            known = self._of_type[type_] = self._topics.covering(type_)
        return known

    def _add(self, task_id: int, trigger: Trigger) -> None:
        bucket = self._topics.get(trigger.topic)
        if bucket is None:
            bucket = _Bucket()
            self._topics.set(trigger.topic, bucket)
            self._of_type.clear()
        bucket.add((task_id, trigger.number), trigger)

    def _remove(self, task_id: int, trigger: Trigger) -> None:
        bucket = self._topics.get(trigger.topic)
        assert bucket is not None  # noqa: S101 - it was made for the trigger, and lasts as long
        bucket.remove((task_id, trigger.number), trigger)
        if bucket.is_empty():
            self._topics.discard(trigger.topic)
            self._of_type.clear()


def _first_of_each(
    buckets: Iterable[_Bucket], event: Mapping[str, Any], created_at: datetime, meter: Meter
) -> dict[int, tuple[str | None, Trigger]]:
    """Return the trigger that an event counts for, and what went wrong with it, by the keys of tasks."""
    found: dict[int, tuple[str | None, Trigger]] = {}
    for bucket in buckets:
        for members, mistake in bucket.hits(event, meter):
            for (task_id, _), trigger in members.items():
                if created_at < trigger.since:
                    continue
                known = found.get(task_id)
                if known is None or _rank(mistake, trigger) < _rank(*known):
                    found[task_id] = mistake, trigger
    return found


def _rank(mistake: str | None, trigger: Trigger) -> tuple[bool, int]:
    return mistake is not None, trigger.number


def _forget(same: dict[str, _Asked], member: Member, source: str) -> None:
    del same[source].members[member]
    if not same[source].members:
        del same[source]

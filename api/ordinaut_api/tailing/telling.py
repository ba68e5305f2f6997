"""
From rows of the log to what is sent to those who follow events. Pure.

The tailer reads rows for all who are up to date and hands each event to those who want it; who has to catch up reads
rows for itself. Either way an event is made and written as JSON once.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import orjson

from ordinaut.events.envelope import cloud_event
from ordinaut.store.log import LogPlace, LogRow
from ordinaut_api.messages import message
from ordinaut_api.tailing.wish import Wish

WHOLE: Final = 2**31 - 1
"""Stands for all places of a row."""

Reader = TypeVar("Reader")


class Told(NamedTuple):
    """An event as a message of a stream, and where it stands in the log."""

    at: LogPlace
    type: str
    """As the store keeps it."""
    text: bytes


class Audience(Mapping[Reader, Wish]):
    """Who wants what: found by namespace and type, which are few, and then one by one."""

    def __init__(self, wishes: Mapping[Reader, Wish]) -> None:
        self._wishes = dict(wishes)
        self._by_type: dict[tuple[str, str], list[Reader]] = {}
        self.about: Collection[str] = frozenset().union(*(wish.about for wish in self._wishes.values()))

    def __getitem__(self, reader: Reader) -> Wish:
        return self._wishes[reader]

    def __iter__(self) -> Iterator[Reader]:
        return iter(self._wishes)

    def __len__(self) -> int:
        return len(self._wishes)

    def of_type(self, namespace: str, type_: str) -> list[Reader]:
        """Return those who may want events of a type in a namespace."""
        if (found := self._by_type.get((namespace, type_))) is None:
            found = self._by_type[namespace, type_] = [
                reader
                for reader, wish in self._wishes.items()
                if wish.namespace == namespace and wish.wants_type(type_)
            ]
        return found


def tell(rows: Iterable[LogRow], audience: Audience[Reader]) -> list[tuple[Told, Sequence[Reader]]]:
    """Return the events of rows that somebody wants, each with who does, in the order of the log."""
    told: list[tuple[Told, Sequence[Reader]]] = []
    for row in rows:
        for place, compact in enumerate(row.events):
            may = [
                reader for reader in audience.of_type(compact["ns"], compact["type"]) if audience[reader].wants(compact)
            ]
            if not may:
                continue
            event = cloud_event(row.id, row.created_at, place, compact)
            wanted = [reader for reader in may if audience[reader].wants_subject(event)]
            if wanted:
                told.append((_told(LogPlace(row.position, place), event, compact["type"]), wanted))
    return told


def tell_one(rows: Sequence[LogRow], wish: Wish, *, after: LogPlace, limit: int) -> tuple[list[Told], bool]:
    """
    Return the events of rows behind a place that one reader wants, up to ``limit`` bytes, and whether that is all.

    One at least is told, if there is one.
    """
    audience = Audience({None: wish})
    told: list[Told] = []
    size = 0
    for row in rows:
        for one, _ in tell([row], audience):
            if one.at <= after:
                continue
            if size > limit:
                return told, False
            told.append(one)
            size += len(one.text)
    return told, True


def _told(at: LogPlace, event: Mapping[str, Any], type_: str) -> Told:
    return Told(at, type_, message(event["type"], orjson.dumps(event), at=str(at)))

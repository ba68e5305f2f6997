"""
Listing what happened, newest first: for whoever asks what was, not for whoever waits for what comes.

The api calls this. Events are in the order of their rows' ids, which is that of their transactions' writing, and it
makes no difference whether a row is still in the outbox or in the log already. An event's place in this order is its
row and the place in it; a publisher may have given it another id.
"""

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from ordinaut.computing import compute
from ordinaut.errors import FieldError, Invalid
from ordinaut.events.envelope import cloud_event, id_of, place_of
from ordinaut.resources.eventtype import OWN
from ordinaut.store.pool import Connection, fetch
from ordinaut.store.queries import SQL

RECENT: Final = 10_000
"""Rows among which a list looks first: who has a lot of events finds enough here, others have few to be looked up."""

NARROW, WIDE = 500, 20_000
"""Rows that one look of a search goes through: few while it finds a lot, more while it finds hardly anything."""

AT_ONCE: Final = 20
"""Events that one look of a search returns at most: however large they are, reading them takes some 20 ms."""

PATIENCE: Final = 1.0
"""Seconds that one call of a search takes, or one look more."""

MAX_SIZE: Final = 4 * 1024 * 1024
"""Bytes of events after which a search stops."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FUTURE: Final = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Listed:
    """A CloudEvent and its place in the order of the list."""

    place: str
    event: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    Which events of a namespace are wanted; what is None does not matter.

    ``topics`` are types as the store keeps them, and patterns of such; one that covers is enough. ``subject`` is what
    an event is about, or a part of its path from the left; ``task`` and ``run`` are what Ordinaut's own are about.
    """

    namespace: str
    topics: frozenset[str] = frozenset()
    subject: str | None = None
    task: str | None = None
    run: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    @property
    def is_plain(self) -> bool:
        """Whether rows tell without being opened what they hold of it: a namespace's events, or those of one type."""
        rest = (self.subject, self.task, self.run, self.created_after, self.created_before)
        return len(self.topics) <= 1 and not any(map(is_wild, self.topics)) and all(one is None for one in rest)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found so far, and from where it goes on: before this place. None: there is no more."""

    events: list[Listed]
    before: str | None


async def list_(connection: Connection, wanted: Wanted, *, limit: int, before: str | None = None) -> Found:
    """
    Return events, newest first, that come before a place.

    One that commits late takes its place among older ones. What is not plain is searched for, and a search that takes
    long returns with what it has found by then: fewer events than wanted, or none, are not the end.

    Raises:
        Invalid: ``before`` is not a place.
    """
    start = await _newest(connection) if before is None else _place(before)
    if wanted.is_plain:
        found = await _plain(connection, wanted, limit=limit + 1, before=start)
        more = len(found) > limit
        return Found(found[:limit], found[limit - 1].place if more else None)
    return await _search(connection, wanted, limit=limit, before=start)


async def _plain(connection: Connection, wanted: Wanted, *, limit: int, before: tuple[int, int]) -> list[Listed]:
    before_id, before_place = before
    type_ = next(iter(wanted.topics), None)
    params = {
        "namespace": wanted.namespace,
        "type": type_,
        "about": wanted.namespace if type_ is None else f"{wanted.namespace}/{type_}",
        "before_id": before_id,
        "before_place": before_place,
        "limit": limit,
    }
    rows: list[Any] = []
    for since in (before_id - RECENT, -1):
        # Not prepared: the best plan for a namespace with hardly any events is the worst for a busy one.
        cursor = await connection.execute(SQL["list_events"], {**params, "since": since}, prepare=False)
        rows = await fetch(cursor)
        if len(rows) == limit:
            break
    return await compute(_listed, rows)


async def _search(connection: Connection, wanted: Wanted, *, limit: int, before: tuple[int, int]) -> Found:
    params = {
        "namespace": wanted.namespace,
        "topics": pattern(wanted.topics),
        "subject": wanted.subject,
        "task": wanted.task,
        "run": wanted.run,
        "created_after": wanted.created_after or _EPOCH,
        "created_before": wanted.created_before or _FUTURE,
    }
    row = await (await connection.execute(SQL["oldest_event"])).fetchone()
    oldest = row[0] if row and row[0] is not None else before[0]
    until = time.monotonic() + PATIENCE
    found: list[Listed] = []
    span, size = NARROW, 0
    while before[0] >= oldest and len(found) < limit and size < MAX_SIZE:
        count = min(AT_ONCE, limit - len(found))
        window = {"since": before[0] - span, "before_id": before[0], "before_place": before[1], "limit": count}
        cursor = await connection.execute(SQL["search_events"], {**params, **window}, prepare=False)
        part = await compute(_listed, await cursor.fetchall())
        found += part
        size += sum(len(orjson.dumps(one.event.get("data"))) for one in part)
        if len(part) == count:
            before, span = place_of(part[-1].place), max(NARROW, span // 2)
        else:
            before, span = (before[0] - span + 1, 0), min(WIDE, span * 2)
        if time.monotonic() > until:
            break
    return Found(found, id_of(*before) if before[0] >= oldest else None)


async def _newest(connection: Connection) -> tuple[int, int]:
    """Return the place behind all events."""
    row = await (await connection.execute(SQL["newest_event"])).fetchone()
    return (row[0] + 1 if row and row[0] is not None else 0), 0


def _listed(rows: Iterable[tuple[int, datetime, int, dict[str, Any]]]) -> list[Listed]:
    return [Listed(id_of(id_, place), cloud_event(id_, at, place, compact)) for id_, at, place, compact in rows]


def _place(text: str) -> tuple[int, int]:
    try:
        return place_of(text)
    except ValueError:
        mistake = FieldError("before", text, "not the place of an event", "write it as the list of events gave it")
        raise Invalid([mistake]) from None


def is_wild(topic: str) -> bool:
    """Whether a topic is a pattern that may cover several types."""
    return "*" in topic or ">" in topic


def pattern(topics: Iterable[str]) -> str | None:
    """Return topics as one regular expression for whole types, as PostgreSQL has them; None for no topics."""
    found = [_expression(topic) for topic in sorted(topics)]
    return f"^({'|'.join(found)})$" if found else None


def _expression(topic: str) -> str:
    """Return a topic as a regular expression; one that begins with a wildcard covers no types of Ordinaut's own."""
    words = ["[^.]+" if word == "*" else ".+" if word == ">" else re.escape(word) for word in topic.split(".")]
    spared = rf"(?!({'|'.join(OWN)})([.]|$))" if topic[:1] in {"*", ">"} else ""
    return spared + "[.]".join(words)

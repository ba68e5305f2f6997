"""
Publishing events: what callers tell each other, with the same promises as Ordinaut's own events.

The API calls :func:`publish` in the transaction of the request. An event that was accepted stands in the outbox, also
while Redis is away; the relay sends it on like all others.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ordinaut.access.caller import Caller
from ordinaut.computing import compute
from ordinaut.errors import FieldError, Invalid, Mistake
from ordinaut.events.envelope import SOURCE_PREFIX, Published
from ordinaut.resources.jsonvalue import not_json
from ordinaut.store import events as outbox
from ordinaut.store.pool import Connection

MAX_TYPE: Final = 128
MAX_TEXT: Final = 256
"""Characters of a subject or a source."""
MAX_DATA: Final = 64 * 1024
"""Bytes of an event's data as JSON: an event tells that something happened, and where the rest of it is."""

RESERVED: Final = ("task", "run", "step", "ordinaut", "io.ordinaut")
"""Only Ordinaut tells of these, so that nobody can pretend that a run has succeeded."""

TYPE_PATTERN: Final = r"^[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*$"

_TEXT: Final = re.compile(r"[!-~]+")
_TYPE: Final = re.compile(TYPE_PATTERN)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event as a caller gives it; without a ``source`` it gets one that names the caller."""

    type: str
    data: Any
    subject: str | None = None
    source: str | None = None


async def publish(connection: Connection, *, namespace: str, events: Sequence[NewEvent], by: Caller) -> list[str]:
    """
    Accept events, as part of a transaction, and return the ids that they will have on the stream.

    Raises:
        Invalid: with every mistake in every event; where there are several, each with its place (``[2].type``).
    """
    if mistakes := await compute(_all_mistakes, events):
        raise Invalid(mistakes)
    accepted = [
        Published(one.type, namespace, by.user, data=one.data, subject=one.subject, source=one.source).compact()
        for one in events
    ]
    return await outbox.append(connection, accepted)


def _all_mistakes(events: Sequence[NewEvent]) -> list[FieldError]:
    return [
        mistake.under(f"[{place}]") if len(events) > 1 else mistake
        for place, event in enumerate(events)
        for mistake in _mistakes(event)
    ]


def _mistakes(event: NewEvent) -> Iterator[FieldError]:
    yield from _type_mistakes(event.type)
    for field, text in (("subject", event.subject), ("source", event.source)):
        if text is None:
            continue
        if len(text) > MAX_TEXT:
            yield FieldError(field, [], f"may not be longer than {MAX_TEXT}", "shorten it", Mistake.TOO_LONG)
        elif not _TEXT.fullmatch(text):
            yield FieldError(field, text, "not printable ASCII without spaces", "escape it as in a URI")
    if event.source is not None and event.source.startswith(SOURCE_PREFIX):
        remedy = "leave it out: it names you then; or write a URI of your own"
        yield FieldError("source", event.source, f"{SOURCE_PREFIX} is Ordinaut's own", remedy)
    if wrong := list(not_json(event.data, field="data")):
        yield from wrong
    elif (size := len(orjson.dumps(event.data))) > MAX_DATA:
        remedy = "put it where the readers can fetch it and tell them the place"
        yield FieldError("data", [], f"{size} bytes as JSON, allowed are {MAX_DATA}", remedy, Mistake.TOO_LONG)


def _type_mistakes(type_: str) -> Iterator[FieldError]:
    if len(type_) > MAX_TYPE:
        yield FieldError("type", [], f"may not be longer than {MAX_TYPE}", "shorten it", Mistake.TOO_LONG)
    elif not _TYPE.fullmatch(type_):
        yield FieldError("type", type_, "not lower-case words with dots between", "write one such as mail.received")
    elif any(type_ == word or type_.startswith(f"{word}.") for word in RESERVED):
        yield FieldError("type", type_, "told by Ordinaut only", f"begin with none of {', '.join(RESERVED)}")

"""
The shape of events: compact in the outbox, CloudEvents 1.0 on the stream.

Whoever changes something builds an :class:`Event` and writes ``event.compact()`` to the outbox in the same
transaction; what callers publish goes the same way as :class:`Published`. The relay turns each row into CloudEvents
(:func:`expand`) and sends them on. The types are listed in ``docs/events.md``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any
from urllib.parse import quote
from uuid import UUID

TYPE_PREFIX = "io.ordinaut."
SOURCE_PREFIX = "/ordinaut/"

_MAX_ID = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Event:
    """
    Something that happened to a task, a run or a step.

    ``type`` is `task.…`, `run.…` or `step.…`; ``run`` is the run's key as text, ``step`` a step's id.
    """

    type: str
    namespace: str
    task: str
    run: str | None = None
    step: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    def compact(self) -> dict[str, Any]:
        """Return the form for the outbox, without what is empty."""
        return compacted(self.type, self.namespace, self.task, self.run, self.step, self.data)


def compacted(
    type_: str, namespace: str, task: str, run: str | None, step: str | None, data: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the compact form of an :class:`Event` of these fields, for who makes thousands a second."""
    found: dict[str, Any] = {"type": type_, "ns": namespace}
    if task:
        found["task"] = task
    if run:
        found["run"] = run
    if step:
        found["step"] = step
    if data:
        found["data"] = dict(data)
    return found


@dataclass(frozen=True, slots=True)
class NewEvent:
    """
    An event as a publisher gives it. What is left out gets a value when it is accepted, or is left out for good.

    ``contenttype``, ``schema`` and ``base64`` are CloudEvents' ``datacontenttype``, ``dataschema`` and ``data_base64``;
    ``more`` are extension attributes. Of ``data`` and ``base64`` there is one at most.
    """

    type: str
    data: Any = None
    subject: str | None = None
    source: str | None = None
    id: str | None = None
    time: str | None = None
    contenttype: str | None = None
    schema: str | None = None
    base64: str | None = None
    more: Mapping[str, str | bool | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Published:
    """
    Something that a caller tells, of a type of its own.

    ``by`` is the caller's name. Readers can rely on it and on ``namespace``: all else is the caller's. ``source`` is
    that of an event without one.
    """

    event: NewEvent
    namespace: str
    by: str
    source: str | None = None

    def compact(self) -> dict[str, Any]:
        """Return the form for the outbox, without what is not given."""
        event = self.event
        full = {
            "type": event.type,
            "ns": self.namespace,
            "by": self.by,
            "data": event.data,
            "subject": event.subject,
            "source": event.source if event.source is not None else self.source,
            "id": event.id,
            "time": event.time,
            "contenttype": event.contenttype,
            "schema": event.schema,
            "base64": event.base64,
            "more": dict(event.more) or None,
        }
        return {key: value for key, value in full.items() if value is not None}


def id_of(outbox_id: int, place: int) -> str:
    """Return the id of the event at a place (from 0) in a row of the outbox."""
    return f"{outbox_id}-{place}"


def place_of(event_id: str) -> tuple[int, int]:
    """Return the row and the place that :func:`id_of` made an id of; raises `ValueError` for anything else."""
    outbox_id, _, place = event_id.partition("-")
    found = int(outbox_id), int(place)
    if id_of(*found) != event_id or not all(0 <= one < _MAX_ID for one in found):
        raise ValueError(event_id)
    return found


def key_of(event: Mapping[str, Any]) -> UUID:
    """
    Return the key of a CloudEvent: the first half of the SHA-256 of its source and its id.

    By the specification, these two tell it from all others; who sends it again sends them again.
    """
    return UUID(bytes=sha256(f"{event['source']}\n{event['id']}".encode()).digest()[:16])


def compact_type(type_: str) -> str:
    """Return the type that the outbox keeps for a CloudEvents type."""
    return type_.removeprefix(TYPE_PREFIX)


def expand(outbox_id: int, created_at: datetime, compacts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """
    Return the CloudEvents (JSON format, specification 1.0.2) of one outbox row.

    Unless their publisher gave them ids, these are made of the row and the place in it, so that a row relayed twice
    gives the same ids and consumers drop the repetition.
    """
    time = _time(created_at)
    return [_cloud_event(outbox_id, time, place, compact) for place, compact in enumerate(compacts)]


def cloud_event(outbox_id: int, created_at: datetime, place: int, compact: Mapping[str, Any]) -> dict[str, Any]:
    """Return the CloudEvent of one event of a row."""
    return _cloud_event(outbox_id, _time(created_at), place, compact)


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cloud_event(outbox_id: int, time: str, place: int, compact: Mapping[str, Any]) -> dict[str, Any]:
    known = {"specversion": "1.0", "id": id_of(outbox_id, place), "time": time}
    return _published(compact, known) if "by" in compact else _happened(compact, known)


def _happened(compact: Mapping[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Put in what :class:`Event` has; its subject is the path of what it is about, within its namespace."""
    namespace, task = compact["ns"], compact.get("task", "")
    subject, data = f"tasks/{task}", {"namespace": namespace, "task": task}
    if run := compact.get("run"):
        subject, data["run"] = f"{subject}/runs/{run}", run
    if step := compact.get("step"):
        subject, data["step"] = f"{subject}/steps/{step}", step
    if more := compact.get("data"):
        data.update(more)
    known["source"] = f"{SOURCE_PREFIX}namespaces/{namespace}"
    known["type"] = TYPE_PREFIX + compact["type"]
    known["subject"] = subject
    known["datacontenttype"] = "application/json"
    known["data"] = data
    return known


def _published(compact: Mapping[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    """Put in what :class:`Published` has; what its publisher gave takes the place of what is known of the row."""
    namespace, by = compact["ns"], compact["by"]
    event["source"] = compact["source"] if "source" in compact else _source_of(namespace, by)
    event["type"] = compact["type"]
    if "id" in compact:
        event["id"] = compact["id"]
    if "time" in compact:
        event["time"] = compact["time"]
    if "subject" in compact:
        event["subject"] = compact["subject"]
    if "contenttype" in compact:
        event["datacontenttype"] = compact["contenttype"]
    elif "data" in compact:
        event["datacontenttype"] = "application/json"
    if "schema" in compact:
        event["dataschema"] = compact["schema"]
    if "more" in compact:
        event |= compact["more"]
    # Last, so that nothing that a publisher gave can stand here.
    event["namespace"] = namespace
    event["publisher"] = by
    if "data" in compact:
        event["data"] = compact["data"]
    elif "base64" in compact:
        event["data_base64"] = compact["base64"]
    return event


@lru_cache(maxsize=1024)
def _source_of(namespace: str, by: str) -> str:
    """Return the source of what a caller publishes without naming one."""
    return f"{SOURCE_PREFIX}namespaces/{namespace}/callers/{quote(by, safe=':@')}"

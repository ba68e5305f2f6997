"""
The shape of events: compact in the outbox, CloudEvents 1.0 on the stream.

Whoever changes something builds an :class:`Event` and writes ``event.compact()`` to the outbox in the same
transaction; what callers publish goes the same way as :class:`Published`. The relay turns each row into CloudEvents
(:func:`expand`) and sends them on. The types are listed in ``docs/events.md``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

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
        found: dict[str, Any] = {"type": self.type, "ns": self.namespace}
        if self.task:
            found["task"] = self.task
        if self.run:
            found["run"] = self.run
        if self.step:
            found["step"] = self.step
        if self.data:
            found["data"] = dict(self.data)
        return found

    @property
    def subject(self) -> str:
        """The path of what the event is about, within its namespace."""
        parts = [f"tasks/{self.task}"]
        if self.run:
            parts.append(f"runs/{self.run}")
        if self.step:
            parts.append(f"steps/{self.step}")
        return "/".join(parts)


def from_compact(compact: Mapping[str, Any]) -> Event:
    """Return the event that ``compact()`` wrote."""
    return Event(
        type=compact["type"],
        namespace=compact["ns"],
        task=compact.get("task", ""),
        run=compact.get("run"),
        step=compact.get("step"),
        data=compact.get("data", {}),
    )


@dataclass(frozen=True, slots=True)
class Published:
    """
    Something that a caller tells, of a type of its own.

    ``by`` is the caller's name. Readers can rely on it and on ``namespace``: only ``source``, ``subject``, ``type`` and
    ``data`` are the caller's.
    """

    type: str
    namespace: str
    by: str
    data: Any = None
    subject: str | None = None
    source: str | None = None

    def compact(self) -> dict[str, Any]:
        """Return the form for the outbox, without what is not given."""
        full = {
            "type": self.type,
            "ns": self.namespace,
            "by": self.by,
            "data": self.data,
            "subject": self.subject,
            "source": self.source,
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


def compact_type(type_: str) -> str:
    """Return the type that the outbox keeps for a CloudEvents type."""
    return type_.removeprefix(TYPE_PREFIX)


def expand(outbox_id: int, created_at: datetime, compacts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """
    Return the CloudEvents (JSON format, specification 1.0.2) of one outbox row.

    Their ids are made of the row and the place in it, so that a row relayed twice gives the same ids and consumers drop
    the repetition.
    """
    return [cloud_event(outbox_id, created_at, place, compact) for place, compact in enumerate(compacts)]


def cloud_event(outbox_id: int, created_at: datetime, place: int, compact: Mapping[str, Any]) -> dict[str, Any]:
    """Return the CloudEvent of one event of a row."""
    time = created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    known = {"specversion": "1.0", "id": id_of(outbox_id, place), "time": time}
    return _published(compact, known) if "by" in compact else _happened(from_compact(compact), known)


def _happened(event: Event, known: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **known,
        "source": f"{SOURCE_PREFIX}namespaces/{event.namespace}",
        "type": TYPE_PREFIX + event.type,
        "subject": event.subject,
        "datacontenttype": "application/json",
        "data": {
            "namespace": event.namespace,
            "task": event.task,
            **({"run": event.run} if event.run else {}),
            **({"step": event.step} if event.step else {}),
            **event.data,
        },
    }


def _published(compact: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    namespace, by = compact["ns"], compact["by"]
    own = f"{SOURCE_PREFIX}namespaces/{namespace}/callers/{quote(by, safe=':@')}"
    subject = {"subject": compact["subject"]} if "subject" in compact else {}
    data = {"datacontenttype": "application/json", "data": compact["data"]} if "data" in compact else {}
    return {
        **known,
        "source": compact.get("source", own),
        "type": compact["type"],
        **subject,
        "namespace": namespace,
        "publisher": by,
        **data,
    }

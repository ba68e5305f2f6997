"""
The shape of events: compact in the outbox, CloudEvents 1.0 on the stream.

Whoever changes something builds an :class:`Event` and writes ``event.compact()`` to the outbox in the same
transaction. The relay turns each row into CloudEvents (:func:`expand`) and sends them on. The types are listed in
``docs/events.md``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

TYPE_PREFIX = "io.ordinaut."


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
        full = {
            "type": self.type,
            "ns": self.namespace,
            "task": self.task,
            "run": self.run,
            "step": self.step,
            "data": dict(self.data),
        }
        return {key: value for key, value in full.items() if value}

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


def expand(outbox_id: int, created_at: datetime, compacts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """
    Return the CloudEvents (JSON format, specification 1.0.2) of one outbox row.

    Their ids are made of the row and the place in it, so that a row relayed twice gives the same ids and consumers drop
    the repetition.
    """
    time = created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    expanded = []
    for place, compact in enumerate(compacts):
        event = from_compact(compact)
        expanded.append(
            {
                "specversion": "1.0",
                "id": f"{outbox_id}-{place}",
                "source": f"/ordinaut/namespaces/{event.namespace}",
                "type": TYPE_PREFIX + event.type,
                "subject": event.subject,
                "time": time,
                "datacontenttype": "application/json",
                "data": {
                    "namespace": event.namespace,
                    "task": event.task,
                    **({"run": event.run} if event.run else {}),
                    **({"step": event.step} if event.step else {}),
                    **event.data,
                },
            }
        )
    return expanded

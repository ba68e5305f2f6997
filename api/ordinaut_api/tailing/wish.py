"""
What somebody who follows events wants of them. Pure.

Routes make a wish of a query. The tailer chooses by it, first as events are stored: most are wanted by nobody and need
not become CloudEvents.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ordinaut.triggers.topics import ONE, REST, Topics


@dataclass(frozen=True)
class Wish:
    """
    Events of one namespace; what is not said does not matter.

    ``topics`` are types as the store keeps them, and patterns of such: one that covers is enough. ``subject`` is what
    an event is about, or a part of its path from the left; ``run`` and ``task`` are what Ordinaut's own are about.
    """

    namespace: str
    topics: frozenset[str] = field(default_factory=frozenset)
    subject: str | None = None
    task: str | None = None
    run: str | None = None

    @cached_property
    def about(self) -> frozenset[str]:
        """What the rows of the log are about that may hold such events."""
        if not self.topics or any(ONE in topic or REST in topic for topic in self.topics):
            return frozenset((self.namespace,))
        return frozenset(f"{self.namespace}/{topic}" for topic in self.topics)

    @cached_property
    def _covered(self) -> Topics[str]:
        found = Topics[str]()
        for topic in self.topics:
            found.set(topic, topic)
        return found

    def wants_type(self, type_: str) -> bool:
        """Whether events of a type may be wanted."""
        return not self.topics or bool(self._covered.covering(type_))

    def wants(self, compact: Mapping[str, Any]) -> bool:
        """Whether an event as it is stored may be wanted, of the namespace and of a type that may."""
        if self.task is None and self.run is None:
            return True
        own = "by" not in compact
        return own and self.task in {None, compact.get("task")} and self.run in {None, compact.get("run")}

    def wants_subject(self, event: Mapping[str, Any]) -> bool:
        """Whether a CloudEvent is about what is wanted."""
        return self.subject is None or is_below(event.get("subject"), self.subject)


def is_below(subject: str | None, path: str) -> bool:
    """Whether a subject is a path, or begins with it and a slash."""
    return subject is not None and (subject == path or subject.startswith(f"{path}/"))

"""
What the statuses in the API server say now, as far as the status writer must know.

The Kubernetes source puts in each object that the watch brings, the status writer compares. Ten thousand objects are
remembered at once, so that only a digest and what a new status takes over from the old one are kept, not the objects.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ordinaut.store.declared import Key, Owner
from ordinaut_operator.sync.queue import Document, key_of


@dataclass(frozen=True, slots=True)
class Observed:
    """
    A status as it was last seen.

    ``conditions`` are (type, status, lastTransitionTime), ``version`` is the resourceVersion, 0 if it can't be ordered.
    """

    uid: str
    generation: int
    version: int
    digest: bytes
    conditions: tuple[tuple[str, str, str], ...] = ()
    last_schedule_time: str | None = None
    last_successful_time: str | None = None


def digest_of(status: Mapping[str, Any]) -> bytes:
    """Return what two statuses have in common exactly if they are equal."""
    return hashlib.blake2b(orjson.dumps(status, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def observe(document: Document) -> Observed:
    """Return what there is to remember of an object."""
    metadata, status = document["metadata"], document.get("status") or {}
    version = str(metadata.get("resourceVersion", ""))
    return Observed(
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        version=int(version) if version.isdecimal() else 0,
        digest=digest_of(status),
        conditions=tuple(
            (one["type"], one["status"], one["lastTransitionTime"]) for one in status.get("conditions") or ()
        ),
        last_schedule_time=status.get("lastScheduleTime"),
        last_successful_time=status.get("lastSuccessfulTime"),
    )


class Statuses:
    """
    The statuses of all objects that exist, and which of them are to be looked at; for one event loop.

    ``taken`` are the objects whose name another origin owns, ``outdated`` those that are about another generation.
    """

    def __init__(self) -> None:
        self._observed: dict[Key, Observed] = {}
        self.taken: dict[Key, Owner] = {}
        self.outdated: set[Key] = set()
        self.declared_changed = False
        """Whether a Pipeline, a Tool, a Hook or a conflict changed: many of their statuses depend on each other."""
        self.complete = asyncio.Event()
        """Set when everything that existed at the start has been seen, and as a rule is in PostgreSQL."""
        self.woken = asyncio.Event()
        """Set when one of the above has changed."""

    def get(self, key: Key) -> Observed | None:
        """Return the status of an object, None while it has not been seen."""
        return self._observed.get(key)

    def see(self, document: Document) -> None:
        """Put in an object; late news of it are dropped."""
        key, now = key_of(document), observe(document)
        before = self._observed.get(key)
        if before is not None and 0 < now.version < before.version:
            return
        if "deletionTimestamp" in document["metadata"]:
            self.forget(key, now.uid)
            return
        self._observed[key] = now
        if (document.get("status") or {}).get("observedGeneration") != now.generation:
            self.outdated.add(key)
            self.woken.set()

    def forget(self, key: Key, uid: str) -> None:
        """Put in that an object exists no more."""
        found = self._observed.get(key)
        if found is not None and found.uid == uid:
            del self._observed[key]
            self.taken.pop(key, None)
            self.outdated.discard(key)

    def written(self, keys: Sequence[Key], conflicts: Mapping[Key, Owner]) -> None:
        """Put in that PostgreSQL has these objects now, except for the conflicts."""
        freed = [key for key in keys if self.taken.pop(key, None) is not None]
        self.taken.update(conflicts)
        if freed or conflicts or any(key.kind != "Task" for key in keys):
            self.declared_changed = True
        self.outdated.update(freed)
        self.woken.set()

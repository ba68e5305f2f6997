"""
What has been seen of a source and is not in PostgreSQL yet: for each object the newest state only.

The sources put states in (:meth:`Queue.see`, :meth:`Queue.gone`), :mod:`ordinaut_operator.sync.batches` takes them
out, writes them and reports back. The queue does no I/O and reads no clock. One object is never in two hands at once;
a state that is seen while an older one is being written waits for that; of states that wait only the newest counts.
Deletions are remembered by uid: a name that is used again is another object, and the old one must still be ended.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from ordinaut.store.declared import Incarnation, Key, Kind

Document = Mapping[str, Any]
"""An object as its source has it: the manifest with ``metadata.uid``, and ``generation`` where the source counts."""


_REMEMBERED: Final = 10_000
"""Ended incarnations whose late events are known as such; an event is late by seconds, not by so many deletions."""


@dataclass(frozen=True, slots=True)
class Change:
    """
    What is to be done about one name: end the incarnations in ``gone``, then take over ``present`` if there is one.
    """

    key: Key
    present: Document | None = None
    gone: frozenset[str] = frozenset()
    failures: int = 0


@dataclass(frozen=True, slots=True)
class _Seen:
    """The latest state that was put in. ``version`` is the resourceVersion, 0 when it can't be ordered."""

    uid: str
    generation: int
    version: int


_KEPT: Final = ("name", "namespace", "uid", "generation", "resourceVersion", "creationTimestamp")


def essence(document: Document) -> Document:
    """
    Return what is to be written of an object: without its status, and without what others keep in its metadata.

    That is often more than the spec, and would be waited for, examined and thrown away.
    """
    metadata = document["metadata"]
    kept = {name: metadata[name] for name in _KEPT if name in metadata}
    return {name: document[name] for name in ("apiVersion", "kind", "spec") if name in document} | {"metadata": kept}


def key_of(document: Document) -> Key:
    """Return the name of an object that a source has."""
    metadata = document["metadata"]
    return Key(cast(Kind, document["kind"]), metadata["namespace"], metadata["name"])


class Queue:
    """See the module; ``now`` is any clock in seconds that only goes forward."""

    def __init__(self) -> None:
        self._seen: dict[Key, _Seen] = {}
        self._ready: dict[Key, Change] = {}  # in the order in which they are taken
        self._aside: dict[Key, tuple[float, Change]] = {}
        self._busy: set[Key] = set()
        self._ended: dict[str, None] = {}  # uids, the oldest first

    def __len__(self) -> int:
        """How many objects are not written yet."""
        return len(self._ready) + len(self._aside) + len(self._busy)

    def __contains__(self, key: Key) -> bool:
        """Whether something about this object is not written yet."""
        return key in self._ready or key in self._aside or key in self._busy

    def see(self, document: Document, *, again: bool = False) -> bool:
        """
        Put in an object that exists; returns whether it is news.

        A change of its status only is none, and neither is a late event of an incarnation that has ended, unless
        ``again`` says that the object was looked up and is to be written all the same. An object that is being
        deleted counts as gone, whatever its finalizers still wait for.
        """
        key, state = key_of(document), _state_of(document)
        before = self._seen.get(key)
        if state.uid in self._ended and not again:
            return False
        if before is not None and before.uid != state.uid and 0 < state.version < before.version:
            return False  # the watch hands on the events of two incarnations in any order
        if "deletionTimestamp" in document["metadata"]:
            self.gone(key, state.uid)
            return True
        if before is not None and not again and (before.uid, before.generation) == (state.uid, state.generation):
            return False
        self._seen[key] = state
        ended = frozenset({before.uid}) if before is not None and before.uid != state.uid else frozenset[str]()
        self._put(Change(key, essence(document), ended))
        return True

    def gone(self, key: Key, uid: str) -> None:
        """Put in that an incarnation of an object exists no more."""
        self._ended[uid] = None
        if len(self._ended) > _REMEMBERED:
            del self._ended[next(iter(self._ended))]
        before = self._seen.get(key)
        if before is not None and before.uid == uid:
            del self._seen[key]
        waiting = self._waiting(key)
        keeps = waiting is not None and waiting.present is not None and waiting.present["metadata"]["uid"] != uid
        self._put(Change(key, waiting.present if waiting is not None and keeps else None, frozenset({uid})))

    def seen(self) -> list[Incarnation]:
        """Return what the source had when it was last looked at."""
        return [Incarnation(key, state.uid, state.generation) for key, state in self._seen.items()]

    def take(self, limit: int, *, now: float) -> list[Change]:
        """Hand out up to ``limit`` changes, each of another object, until :meth:`done` or :meth:`put_back`."""
        for key in [key for key, (due, _) in self._aside.items() if due <= now]:
            self._ready[key] = self._aside.pop(key)[1]
        taken: list[Change] = []
        for key, change in self._ready.items():
            if len(taken) == limit:
                break
            if key not in self._busy:
                taken.append(change)
        for change in taken:
            del self._ready[change.key]
            self._busy.add(change.key)
        return taken

    def done(self, changes: Iterable[Change]) -> None:
        """Report changes as written."""
        self._busy.difference_update(change.key for change in changes)

    def put_back(self, changes: Sequence[Change]) -> None:
        """
        Report changes as not written: they are the next to be taken, with what was seen since. Written ones stay out.
        """
        returned = {}
        for change in changes:
            if change.key in self._busy:
                self._busy.remove(change.key)
                returned[change.key] = _merged(change, self._pop(change.key))
        self._ready = returned | self._ready

    def set_aside(self, change: Change, *, until: float) -> None:
        """
        Report a change as one that can't be written: it is taken again at ``until``, or when something new is seen.
        """
        self._busy.discard(change.key)
        failed = replace(change, failures=change.failures + 1)
        if (newer := self._pop(change.key)) is not None:
            self._ready[change.key] = _merged(failed, newer)
        else:
            self._aside[change.key] = (until, failed)

    def pause(self, *, now: float) -> float | None:
        """Return the seconds until :meth:`take` has something, None if nothing waits for a time."""
        if any(key not in self._busy for key in self._ready):
            return 0.0
        return max(0.0, min(due for due, _ in self._aside.values()) - now) if self._aside else None

    def _put(self, change: Change) -> None:
        self._ready[change.key] = _merged(self._pop(change.key), change)

    def _waiting(self, key: Key) -> Change | None:
        if (aside := self._aside.get(key)) is not None:
            return aside[1]
        return self._ready.get(key)

    def _pop(self, key: Key) -> Change | None:
        if (aside := self._aside.pop(key, None)) is not None:
            return aside[1]
        return self._ready.pop(key, None)


def _merged(older: Change | None, newer: Change | None) -> Change:
    """Return the newer of two changes of one object, ending also what the older one was to end."""
    if newer is None or older is None:
        merged = newer or older
        assert merged is not None  # noqa: S101 - the callers have one of the two
        return merged
    return replace(newer, gone=older.gone | newer.gone)


def _state_of(document: Document) -> _Seen:
    metadata = document["metadata"]
    version = str(metadata.get("resourceVersion", ""))
    return _Seen(metadata["uid"], metadata.get("generation", 0), int(version) if version.isdecimal() else 0)

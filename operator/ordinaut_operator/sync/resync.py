"""
Compares PostgreSQL with the API server and puts right what the watch has missed.

kopf tells of no object that was deleted while nobody watched: before the operator started, or while the API server
was restarted. :class:`Resync` reads what is stored, *then* lists what exists (metadata only), and ends by uid what
does not exist any more; a list that could not be read to its end is never used. It does so at the start, after each
new listing, and every few minutes. The same comparison finds what exists and was never seen; that should not happen,
so it is looked at twice before it is fetched, and the watch is started again.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from ordinaut.logging import get_logger
from ordinaut.states import Origin
from ordinaut.store import declared
from ordinaut.store.declared import Incarnation, Key, Kind
from ordinaut.store.pool import Pool
from ordinaut_operator.kube import PLURALS, Kube, Refused
from ordinaut_operator.sync.queue import Document, Queue

log = get_logger(__name__)

_SETTLE: Final = 1.0
"""Seconds to wait after a listing for those of the other kinds."""

_IN_FLIGHT: Final = 8

_Collection = tuple[Kind, str | None]
"""All objects of a kind, in one namespace or in all."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What is stored but exists no more, and what exists but is not stored like that."""

    gone: list[Incarnation]
    missed: list[Incarnation]


def compare(
    stored: Iterable[Incarnation], live: Mapping[Key, Incarnation], *, seen: Iterable[Incarnation] = ()
) -> Difference:
    """Return the difference; ``seen`` are objects that may not be stored yet, to be ended as well if they are gone."""
    at_rest = {one.key: one for one in stored}
    known = {(one.key, one.uid): one for one in (*seen, *at_rest.values())}
    gone = [one for one in known.values() if one.key not in live or live[one.key].uid != one.uid]
    missed = [one for one in live.values() if not _is_stored(one, at_rest.get(one.key))]
    return Difference(gone, missed)


def _is_stored(live: Incarnation, stored: Incarnation | None) -> bool:
    return stored is not None and stored.uid == live.uid and stored.generation >= live.generation


class Resync:
    """
    Keeps a queue complete. Times are in seconds.

    ``ended`` is given each object that exists no more, ``look_up`` each one that was fetched; ``watch_failed`` is
    called when the watch has missed something; ``waiting`` returns the names that are not stored because another
    origin owns them: they are tried again each time. ``whole`` tells whether what the API server gives out is to be
    relied on: without that no round is made.

    What may not be read is left alone, and so is what is stored of it: a namespace that was deleted with the operator's
    role in it must not hold up the others. The watch says so in ``/readyz``.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        kube: Kube,
        queue: Queue,
        ended: Callable[[Key, str], None],
        look_up: Callable[[Document], None],
        watch_failed: Callable[[], None],
        waiting: Callable[[], Iterable[Key]],
        whole: Callable[[], Awaitable[bool]],
        namespaces: Sequence[str] = (),
        every: float = 300.0,
        grace: float = 10.0,
    ) -> None:
        self._pool = pool
        self._kube = kube
        self._queue = queue
        self._ended = ended
        self._look_up = look_up
        self._watch_failed = watch_failed
        self._waiting = waiting
        self._whole = whole
        self._namespaces = frozenset(namespaces)
        self._collections = [(kind, namespace) for kind in PLURALS for namespace in namespaces or (None,)]
        self._every = every
        self._grace = grace
        self._wanted = asyncio.Event()

    def soon(self) -> None:
        """Ask for a round: there was a listing."""
        self._wanted.set()

    async def begin(self) -> None:
        """
        Take over everything that exists, and end what does not exist any more.

        The watch would bring the former too, but at several times the cost of this list.
        """
        stored = await self._stored()
        live: dict[Key, Incarnation] = {}
        unread: set[_Collection] = set()
        for kind, namespace in self._collections:
            async with _read_if_allowed(kind, namespace, unread=unread):
                async for page in self._kube.objects(kind, namespace=namespace):
                    for document in page:
                        self._look_up(document)
                    live |= _alive(kind, (document["metadata"] for document in page))
        self._end(compare(_read_of(stored, unread), live).gone)

    async def run(self) -> None:
        """Go round when asked to, and every few minutes, until cancelled; raises when a round could not be finished."""
        while True:
            try:
                async with asyncio.timeout(self._every):
                    await self._wanted.wait()
            except TimeoutError:
                listed = False
            else:
                listed = True
                await asyncio.sleep(_SETTLE)
            self._wanted.clear()
            try:
                # What a listing has brought may still be on its way: then only what is gone can be told.
                await self.round(look_for_missed=not listed)
            except Exception:
                self._wanted.set()
                raise

    async def round(self, *, look_for_missed: bool) -> None:
        """Compare once."""
        if not await self._whole():
            return
        seen = self._queue.seen()
        stored = await self._stored()
        live, unread = await self._live()
        difference = compare(_read_of(stored, unread), live, seen=_read_of(seen, unread))
        self._end(difference.gone)
        waiting = {key for key in self._waiting() if not _is_of(key, unread)}
        await self._fetch(waiting)
        if look_for_missed:
            await self._check([one for one in difference.missed if one.key not in waiting])

    def _end(self, gone: Sequence[Incarnation]) -> None:
        if gone:
            log.info("objects are gone that the watch did not see go", count=len(gone), first=str(gone[0].key))
        for one in gone:
            self._ended(one.key, one.uid)

    async def _check(self, suspects: Sequence[Incarnation]) -> None:
        """Fetch those suspects that are still not stored after a while and are not about to be."""
        if not suspects:
            return
        await asyncio.sleep(self._grace)
        missed = compare(await self._stored(), {one.key: one for one in suspects}).missed
        keys = [one.key for one in missed if one.key not in self._queue]
        if keys:
            log.warning(
                "objects exist that the watch has missed; they are fetched", count=len(keys), first=str(keys[0])
            )
            await self._fetch(keys)
            self._watch_failed()

    async def _fetch(self, keys: Iterable[Key]) -> None:
        remaining = sorted(keys)
        while remaining:
            chunk, remaining = remaining[:_IN_FLIGHT], remaining[_IN_FLIGHT:]
            for document in await asyncio.gather(*(self._kube.get(key) for key in chunk)):
                if document is not None:
                    self._look_up(document)

    async def _stored(self) -> list[Incarnation]:
        """Return what is stored of the namespaces that are watched: others may belong to another operator."""
        async with self._pool.connection() as connection:
            stored = await declared.incarnations(connection, origin=Origin.KUBERNETES)
        return [one for one in stored if not self._namespaces or one.key.namespace in self._namespaces]

    async def _live(self) -> tuple[dict[Key, Incarnation], set[_Collection]]:
        """Return everything that exists, and what may not be read."""
        live: dict[Key, Incarnation] = {}
        unread: set[_Collection] = set()
        for kind, namespace in self._collections:
            async with _read_if_allowed(kind, namespace, unread=unread):
                async for page in self._kube.metadata(kind, namespace=namespace):
                    live |= _alive(kind, page)
        return live, unread


@asynccontextmanager
async def _read_if_allowed(kind: Kind, namespace: str | None, *, unread: set[_Collection]) -> AsyncIterator[None]:
    """Read a collection; one that may not be read is added to ``unread``."""
    try:
        yield
    except Refused as refusal:
        if refusal.status != HTTPStatus.FORBIDDEN:
            raise
        log.warning("objects may not be read and are left as they are", kind=kind, reason=str(refusal))
        unread.add((kind, namespace))


def _read_of(objects: Iterable[Incarnation], unread: set[_Collection]) -> list[Incarnation]:
    """Return the objects of those collections that could be read."""
    return [one for one in objects if not _is_of(one.key, unread)]


def _is_of(key: Key, collections: set[_Collection]) -> bool:
    return (key.kind, key.namespace) in collections or (key.kind, None) in collections


def _alive(kind: Kind, metadata: Iterable[Mapping[str, Any]]) -> dict[Key, Incarnation]:
    """Return the objects with this metadata; what is being deleted counts as gone."""
    alive = (one for one in metadata if "deletionTimestamp" not in one)
    keyed = ((Key(kind, one["namespace"], one["name"]), one) for one in alive)
    return {key: Incarnation(key, one["uid"], one.get("generation", 0)) for key, one in keyed}

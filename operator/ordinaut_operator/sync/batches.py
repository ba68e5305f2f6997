"""
Moves what the queue holds into PostgreSQL: some hundred objects a transaction, until it worked.

Each source runs one :class:`Batches` on its :class:`~ordinaut_operator.sync.queue.Queue`. While the database is away,
all of it waits and is tried again within seconds. An object that can't be written for a reason of its own is found by
halving the batch, set aside and tried again later, so that it holds up nobody else. ``declaration.apply`` is
idempotent: a batch whose commit was not confirmed is simply written again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final

from ordinaut import metrics
from ordinaut.declaration.apply import apply, remove
from ordinaut.declaration.examine import examine
from ordinaut.logging import get_logger
from ordinaut.states import Origin
from ordinaut.store.declared import Declared, Incarnation, Key, Owner
from ordinaut.store.pool import Pool
from ordinaut_operator.supervision import Backoff, is_away
from ordinaut_operator.sync.queue import Change, Document, Queue

log = get_logger(__name__)

_BATCH: Final = 200
_SLICE: Final = 0.01
"""Seconds of examining manifests after which the event loop gets its turn: the clock runs on the same one."""

_ASIDE: Final = 30.0
_ASIDE_CAP: Final = 600.0
"""Seconds until an object that can't be written is tried again: from the first to the second, doubling."""

Written = Callable[[Sequence[Key], Mapping[Key, Owner]], None]
"""Told after each batch: the names it was about, and those of them that another origin owns."""


class Batches:
    """
    Writes the changes of one source; ``arrived`` is called by the source whenever it has put something in.

    ``allowed`` returns when what is in the queue may be written.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        queue: Queue,
        origin: Origin,
        written: Written | None = None,
        allowed: Callable[[], Awaitable[None]] | None = None,
        batch: int = _BATCH,
    ) -> None:
        self._pool = pool
        self._queue = queue
        self._origin = origin
        self._written = written
        self._allowed = allowed
        self._batch = batch
        self._news = asyncio.Event()
        self._backoff = Backoff()

    def arrived(self) -> None:
        """Have the queue looked at."""
        metrics.SYNC_PENDING.set(len(self._queue))
        self._news.set()

    async def run(self) -> None:
        """Write whatever comes into the queue, until cancelled."""
        while True:
            await self._wait()
            if self._allowed is not None:
                await self._allowed()
            changes = self._queue.take(self._batch, now=time.monotonic())
            try:
                await self._write(changes)
                self._backoff.reset()
            except Exception as error:
                if not is_away(error):
                    raise
                pause = self._backoff.next()
                metrics.SYNC_FAILURES.inc()
                log.warning("objects wait for the database", waiting=len(self._queue), error=str(error).strip())
                await asyncio.sleep(pause)
            finally:
                self._queue.put_back(changes)
                metrics.SYNC_PENDING.set(len(self._queue))

    async def _wait(self) -> None:
        """Return when the queue has something to take."""
        while (pause := self._queue.pause(now=time.monotonic())) != 0.0:
            self._news.clear()
            try:
                async with asyncio.timeout(pause):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _write(self, changes: Sequence[Change]) -> None:
        """Write changes; halve them to find those that can't be written. Raises when the database is away."""
        if not changes:
            return
        try:
            conflicts = await self._commit(changes)
        except Exception as error:
            if is_away(error):
                raise
            if len(changes) == 1:
                self._set_aside(changes[0], error)
                return
            middle = len(changes) // 2
            await self._write(changes[:middle])
            await self._write(changes[middle:])
        else:
            self._queue.done(changes)
            if self._written is not None:
                self._written([change.key for change in changes], conflicts)

    async def _commit(self, changes: Sequence[Change]) -> Mapping[Key, Owner]:
        gone = [Incarnation(change.key, uid) for change in changes for uid in sorted(change.gone)]
        if gone:
            _count(await remove(self._pool, gone, origin=self._origin), action="removed")
        documents = [change.present for change in changes if change.present is not None]
        if not documents:
            return {}
        applied = await apply(self._pool, await _examined(documents), origin=self._origin)
        _count(applied.changed, action="changed")
        for key, owner in applied.conflicts.items():
            log.warning("name is taken; the object is left out", object=str(key), owner=owner.origin.value)
        return applied.conflicts

    def _set_aside(self, change: Change, error: Exception) -> None:
        pause = min(_ASIDE_CAP, _ASIDE * 2.0 ** min(change.failures, 16))
        self._queue.set_aside(change, until=time.monotonic() + pause)
        metrics.SYNC_FAILURES.inc()
        log.error(
            "object can't be written; it is set aside", object=str(change.key), tried_again_in=pause, exc_info=error
        )


async def _examined(documents: Iterable[Document]) -> list[Declared]:
    """Examine manifests, a few at a time."""
    examined: list[Declared] = []
    slice_ends = time.perf_counter() + _SLICE
    for document in documents:
        examined.append(examine(document))
        if time.perf_counter() > slice_ends:
            await asyncio.sleep(0)
            slice_ends = time.perf_counter() + _SLICE
    return examined


def _count(keys: Iterable[Key], *, action: str) -> None:
    for key in keys:
        metrics.SYNCED.labels(kind=key.kind, action=action).inc()

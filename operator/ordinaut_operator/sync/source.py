"""
The Kubernetes source: everything from the watch to PostgreSQL.

The operator's ``__main__`` runs one on every replica. :class:`~ordinaut_operator.watch.Watch` brings events, the
:class:`~ordinaut_operator.sync.queue.Queue` keeps the newest states, :class:`~ordinaut_operator.sync.batches.Batches`
writes them, :class:`~ordinaut_operator.sync.resync.Resync` finds what the watch has missed. Statuses that are seen on
the way go to :class:`~ordinaut_operator.status.observed.Statuses`, for the status writer. All of it stands still while
:class:`~ordinaut_operator.definitions.Definitions` says that the API server leaves fields out.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ordinaut.probes import Readiness
from ordinaut.states import Origin
from ordinaut.store.declared import Key, Owner
from ordinaut.store.pool import Pool
from ordinaut_operator.definitions import Definitions, DefinitionsOutdated
from ordinaut_operator.kube import Kube, Login, login
from ordinaut_operator.status.observed import Statuses
from ordinaut_operator.supervision import Backoff, keep_going
from ordinaut_operator.sync.batches import Batches
from ordinaut_operator.sync.queue import Document, Queue, key_of
from ordinaut_operator.sync.resync import Resync
from ordinaut_operator.watch import Watch

_PATIENCE: Final = 15.0
"""Seconds that the watch waits at most for what exists to be in PostgreSQL, before it starts."""

_GLANCE: Final = 0.05


class KubernetesSource:
    """
    Keeps PostgreSQL like the API server as long as :meth:`run` runs.

    ``log_in`` must lead to the same API server as ``kube``; ``namespaces`` empty stands for all; ``resync_every`` and
    ``grace`` are in seconds.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        kube: Kube,
        definitions: Definitions,
        readiness: Readiness,
        statuses: Statuses | None = None,
        log_in: Login = login,
        namespaces: Sequence[str] = (),
        resync_every: float = 300.0,
        grace: float = 10.0,
    ) -> None:
        self._definitions = definitions
        self._statuses = statuses or Statuses()
        self._queue = Queue()
        self._batches = Batches(
            pool=pool,
            queue=self._queue,
            origin=Origin.KUBERNETES,
            written=self._written,
            allowed=definitions.until_whole,
        )
        self._watch = Watch(
            kube=kube,
            log_in=log_in,
            sink=self._saw,
            listed=self._was_listed,
            readiness=readiness,
            namespaces=namespaces,
        )
        self._resync = Resync(
            pool=pool,
            kube=kube,
            queue=self._queue,
            ended=self._ended,
            look_up=self._looked_up,
            watch_failed=self._watch.restart,
            waiting=lambda: self._statuses.taken,
            whole=definitions.whole,
            namespaces=namespaces,
            every=resync_every,
            grace=grace,
        )

    async def run(self) -> None:
        """Take over what the API server has, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(keep_going("sync", self._batches.run))
            group.create_task(keep_going("watch", self._follow))
            group.create_task(keep_going("definitions", self._look))
            group.create_task(keep_going("resync", self._resync.run, backoff=Backoff(first=1.0, cap=15.0)))

    async def _follow(self) -> None:
        """Take over what exists, then watch: the watch lists everything too, and would take the time for it."""
        if not self._definitions.trusted:
            await self._read_everything()
            loop = asyncio.get_running_loop()
            patience = loop.time() + _PATIENCE
            while len(self._queue) and loop.time() < patience:
                await asyncio.sleep(_GLANCE)
            self._statuses.complete.set()
        await self._watch.run()

    async def _read_everything(self) -> None:
        """Put everything that exists into the queue, and let it be written if it was read whole."""
        shape = await self._definitions.check()
        await self._resync.begin()
        if shape != await self._definitions.check():
            raise DefinitionsOutdated("the definitions have changed while objects were read")
        self._definitions.trust(shape)

    async def _look(self) -> None:
        await self._definitions.run(read_anew=self._watch.restart)

    def _saw(self, event: str | None, document: Mapping[str, Any]) -> None:
        if event == "DELETED":
            self._ended(key_of(document), document["metadata"]["uid"])
            return
        self._statuses.see(document)
        if self._queue.see(document):
            self._batches.arrived()

    def _ended(self, key: Key, uid: str) -> None:
        self._statuses.forget(key, uid)
        self._queue.gone(key, uid)
        self._batches.arrived()

    def _looked_up(self, document: Document) -> None:
        self._statuses.see(document)
        if self._queue.see(document, again=True):
            self._batches.arrived()

    def _was_listed(self) -> None:
        self._resync.soon()

    def _written(self, keys: Sequence[Key], conflicts: Mapping[Key, Owner]) -> None:
        self._statuses.written(keys, conflicts)

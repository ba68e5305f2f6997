"""
The directory source: a folder of manifests in place of an API server, for a machine without Kubernetes.

``ordinaut dev`` runs the operator with it. The same queue and the same batches take over what the files declare, so
that a manifest does the same as with kubectl. Level-triggered: each change leads to a comparison of everything that
is declared with everything that is stored. What kubectl would have refused does not take the place of what is stored
already.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import watchfiles

from ordinaut.logging import get_logger
from ordinaut.probes import Readiness
from ordinaut.states import Origin
from ordinaut.store import declared
from ordinaut.store.declared import Key, Owner
from ordinaut.store.pool import Pool
from ordinaut_operator.manifests import DirectoryMissing, Found, Scan, Scanner, uid_of
from ordinaut_operator.supervision import keep_going
from ordinaut_operator.sync.batches import Batches
from ordinaut_operator.sync.queue import Document, Queue

log = get_logger(__name__)

NEED: Final = "directory"
"""What :class:`Readiness` calls the directory."""

_DEBOUNCE: Final = 200
_LOOK: Final = 2000
"""Milliseconds: for an editor to finish its writing, and until it looks without having been told of a change."""


class DirectorySource:
    """Keeps PostgreSQL like a directory as long as :meth:`run` runs."""

    def __init__(self, *, pool: Pool, directory: Path, readiness: Readiness) -> None:
        self._pool = pool
        self._directory = directory
        self._readiness = readiness
        self._scanner = Scanner(directory)
        self._queue = Queue()
        self._batches = Batches(pool=pool, queue=self._queue, origin=Origin.DIRECTORY, written=self._written)
        self._applied: dict[Key, Document | None] = {}
        """What is or will be stored; None for objects of an earlier start, whose manifests are not remembered."""
        self._wrong: set[Key] = set()
        """Those of them that are stored as what can't be used."""
        self._scanned = False
        readiness.missing(NEED, why=f"{directory} has not been read yet")

    async def run(self) -> None:
        """Take over what the directory declares, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(keep_going("sync", self._batches.run))
            group.create_task(keep_going("directory", self._follow))

    async def _follow(self) -> None:
        if not self._scanned:
            async with self._pool.connection() as connection:
                stored = await declared.incarnations(connection, origin=Origin.DIRECTORY)
            self._applied = dict.fromkeys(one.key for one in stored)
        await self._look()
        changes = watchfiles.awatch(
            self._directory, debounce=_DEBOUNCE, rust_timeout=_LOOK, yield_on_timeout=True, watch_filter=None
        )
        async for _ in changes:
            await self._look()

    async def _look(self) -> None:
        """Compare the directory with what is stored."""
        try:
            scan = await asyncio.to_thread(self._scanner.scan)
        except DirectoryMissing as error:
            self._readiness.missing(NEED, why=str(error))
            raise
        self._scanned = True
        if scan is not None:
            self._take_over(scan)
        self._met_if_done()

    def _take_over(self, scan: Scan) -> None:
        for mistake in scan.mistakes:
            log.error("wrong manifest", directory=str(self._directory), mistake=mistake)
        if scan.ignored:
            log.info("documents of other kinds are ignored", documents=scan.ignored)
        for one in scan.found.values():
            if self._is_wanted(one):
                self._applied[one.key] = one.document
                (self._wrong.add if one.mistakes else self._wrong.discard)(one.key)
                self._queue.see(one.document, again=True)
        gone = [] if scan.unsure else [key for key in self._applied if key not in scan.found and key not in scan.kept]
        for key in gone:
            del self._applied[key]
            self._wrong.discard(key)
            self._queue.gone(key, uid_of(key))
        self._batches.arrived()

    def _is_wanted(self, one: Found) -> bool:
        """
        Whether a manifest is news, and may be stored: a wrong one only where there is nothing yet, to be seen there.
        """
        if one.mistakes and one.key in self._applied and one.key not in self._wrong:
            return False
        return self._applied.get(one.key) != one.document

    def _written(self, _keys: Sequence[Key], _conflicts: Mapping[Key, Owner]) -> None:
        self._met_if_done()

    def _met_if_done(self) -> None:
        if self._scanned and not len(self._queue):
            self._readiness.met(NEED)

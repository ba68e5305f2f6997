"""
Follows the access file: what it grants now, read again when it changes.

The api and the operator open one at their start, which a broken file ends, and run :meth:`AccessFile.follow` beside
their work. A broken file that comes later is said in the log, and what was read before goes on to count.
"""

import asyncio
from pathlib import Path
from typing import Final, Self

from ordinaut.access.grants import Grants, load
from ordinaut.errors import Invalid
from ordinaut.logging import get_logger

INTERVAL: Final = 2.0
"""Seconds between looks; a token that is taken out of the file is refused after as long."""

_Signature = tuple[int, int, int] | None

log = get_logger(__name__)


class AccessFile:
    """An access file and what it grants; :meth:`open` makes one."""

    def __init__(self, path: Path, grants: Grants, signature: _Signature) -> None:
        self._path = path
        self._signature = signature
        self.grants = grants

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the file; raises `Invalid` with every mistake in it."""
        signature = _signature(path)  # before reading: a change in between is seen by the next look
        return cls(path, load(path), signature)

    def look(self) -> None:
        """Read the file again if it has changed."""
        signature = _signature(self._path)
        if signature == self._signature:
            return
        self._signature = signature
        try:
            self.grants = load(self._path)
        except Invalid as invalid:
            mistakes = str(invalid)
        else:
            log.info("the access file has changed", path=str(self._path))
            return
        log.error("the access file is broken, what it granted before goes on to count", mistakes=mistakes)

    async def follow(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            await asyncio.to_thread(self.look)


def _signature(path: Path) -> _Signature:
    """Return what differs after a change; a mounted ConfigMap changes by a link that leads to another file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino

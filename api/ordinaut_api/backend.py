"""
What the routes work with: the database, and whether it can be worked with.

``app`` opens one :class:`Backend` for the life of the process; the guard hands it to the routes.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import psycopg
from fastapi import Request

from ordinaut import process
from ordinaut.access.caller import Caller
from ordinaut.access.rights import Right
from ordinaut.errors import StoreUnready
from ordinaut.logging import get_logger
from ordinaut.probes import Readiness
from ordinaut.shapes import Counts
from ordinaut.store import audit, ready
from ordinaut.store.pool import Connection, Pool
from ordinaut_api.identity.admission import Admission, Denials
from ordinaut_api.identity.gatekeeper import Gatekeeper
from ordinaut_api.tailing.tailer import Tailer
from ordinaut_api.webhooks.doors import Doors

log = get_logger(__name__)

CONNECTION_TIMEOUT: Final = 2.0
"""Seconds that a request waits for a connection before it is answered with 503."""

_CHECK_WHILE_UNREADY: Final = 0.5
_CHECK_WHILE_READY: Final = 5.0


_UNLIMITED: Final = Counts(tasks=sys.maxsize, pipelines=sys.maxsize, tools=sys.maxsize, hooks=sys.maxsize)


@dataclass(frozen=True, slots=True)
class Backend:
    """The parts that outlive a request. ``stopping`` tells whether the process has been asked to end."""

    pool: Pool
    readiness: Readiness
    gatekeeper: Gatekeeper
    tailer: Tailer
    admission: Admission = field(default_factory=Admission)
    denials: Denials = field(default_factory=Denials)
    doors: Doors = field(default_factory=Doors)
    stopping: Callable[[], bool] = lambda: False
    limits: Counts = _UNLIMITED
    """Objects made through the API that a namespace may have."""
    max_streams: int = 20
    streams: Counter[str] = field(default_factory=Counter)
    """How many streams each caller has open, by the caller's id."""

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection, or raise ``PoolTimeout`` soon."""
        return self.pool.connection(timeout=CONNECTION_TIMEOUT)

    async def deny(self, caller: Caller, right: Right, *, namespace: str, request: Request) -> None:
        """Note in the audit trail what a caller was not allowed to do, unless it has just been told of the same."""
        if not self.denials.is_audited(caller, right, namespace=namespace):
            return
        with self.denials.written(caller, right, namespace=namespace):
            async with self.connection() as connection:
                await audit.append(
                    connection,
                    actor=caller.id,
                    verb=right.deed,
                    namespace=namespace,
                    object_=request.url.path.removeprefix(f"/v1/namespaces/{namespace}/"),
                    decision="Denied",
                    request_id=request.state.request_id,
                )


def backend_of(request: Request) -> Backend:
    """Return the backend of the application that a request came to."""
    found: Backend = request.app.state.backend
    return found


@asynccontextmanager
async def watched(backend: Backend) -> AsyncIterator[None]:
    """
    Work beside the requests as long as the context lasts.

    ``backend.readiness`` is kept true to whether the database is there and migrated, and followers are told of events.
    """
    watch, tail = asyncio.create_task(_watch_database(backend)), asyncio.create_task(backend.tailer.run())
    try:
        yield
    finally:
        await process.stop(watch, tail)


async def _watch_database(backend: Backend) -> None:
    while True:
        why = await _obstacle(backend)
        if why is None:
            backend.readiness.met(ready.NEED)
        else:
            if backend.readiness.reasons.get(ready.NEED) != why:
                log.warning("not ready", why=why)
            backend.readiness.missing(ready.NEED, why=why)
        await asyncio.sleep(_CHECK_WHILE_READY if why is None else _CHECK_WHILE_UNREADY)


async def _obstacle(backend: Backend) -> str | None:
    """Return why the database can't be worked with, or None when it can."""
    try:
        async with backend.connection() as connection:
            await ready.check_migrated(connection)
    except StoreUnready as error:
        return str(error)
    except psycopg.Error as error:
        return f"PostgreSQL does not answer: {error}".strip()
    return None

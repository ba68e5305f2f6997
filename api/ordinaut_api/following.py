"""
Following a run while it goes on: as one view with its steps, by waiting, and as a stream of Server-Sent Events.

Routes of runs call this. Whoever waits holds no connection meanwhile: a run is looked at, and then let go again, so
that a thousand callers may wait at once.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

import psycopg
from cachetools import LRUCache

from ordinaut import shapes
from ordinaut.errors import NotFound
from ordinaut.states import ENDED_RUN_PHASES, RunPhase
from ordinaut.store import declared, runs
from ordinaut.store.pool import Connection
from ordinaut.store.runs import Run
from ordinaut_api import answers, messages, objects, streams
from ordinaut_api.backend import Backend
from ordinaut_api.identity.guard import Call

POLL: Final = (0.1, 0.1, 0.2, 0.2, 0.5)
"""Seconds between looks at a run that somebody waits for; the last one repeats."""

_OUTAGE: Final = 1.0
"""Seconds between looks while the database does not answer."""

_planned: Final[LRUCache[str, list[str]]] = LRUCache(maxsize=1024)
"""Ids of the steps of a revision by its digest; revisions never change."""


async def view_of(connection: Connection, *, namespace: str, run_id: UUID) -> shapes.Run:
    """Return a run with its steps, or raise `NotFound`."""
    row = await _row(connection, namespace=namespace, run_id=run_id)
    rows = await runs.steps(connection, run_id=row.run_id)
    return objects.run(row, steps=objects.steps(rows, run=row, planned=await _planned_steps(connection, row)))


async def phases(backend: Backend, *, namespace: str, run_id: UUID) -> AsyncIterator[RunPhase]:
    """Yield the phase of a run again and again, with a pause after each."""
    looks = 0
    while True:
        async with backend.connection() as connection:
            row = await _row(connection, namespace=namespace, run_id=run_id)
        yield RunPhase(row.phase)
        await asyncio.sleep(_pause(looks))
        looks += 1


async def events(call: Call, *, run_id: UUID, seen: str | None) -> AsyncIterator[bytes]:
    """
    Yield ``run`` with the run whenever it has changed, and ``end`` when the stream is over, with the reason.

    ``seen`` is the id of the last event that the caller has: what it tells is not told again.
    """
    watch, told, looks = streams.Watch(call), time.monotonic(), 0
    while True:
        try:
            async with call.backend.connection() as connection:
                view = await view_of(connection, namespace=call.namespace, run_id=run_id)
        except psycopg.OperationalError:
            # Nothing is lost: the stream goes on when the database is back.
            yield messages.comment("the database does not answer")
            view = None
        except NotFound:
            yield streams.end("gone", at=seen)
            return
        if view is not None:
            body = await answers.run_content(view)
            state = hashlib.sha256(body).hexdigest()[:16]
            if state != seen:
                yield messages.message("run", body, at=state)
                seen, looks, told = state, 0, time.monotonic()
            if view.status.phase in ENDED_RUN_PHASES:
                yield streams.end("final", at=seen)
                return
        if (reason := await watch.reason()) is not None:
            yield streams.end(reason, at=seen)
            return
        if time.monotonic() - told > streams.HEARTBEAT:
            told = time.monotonic()
            yield messages.comment("nothing new")
        await asyncio.sleep(_OUTAGE if view is None else _pause(looks))
        looks += 1


@contextmanager
def unknown_alike(namespace: str, run_id: UUID) -> Iterator[None]:
    """Give every refusal of an unknown run the same words, also of one that another namespace has."""
    try:
        yield
    except NotFound:
        raise unknown(namespace, run_id) from None


def unknown(namespace: str, run_id: UUID) -> NotFound:
    """Return the refusal to do anything with a run that the namespace does not have."""
    return NotFound(f"Run {run_id} does not exist in namespace {namespace}.")


def _pause(looks: int) -> float:
    return POLL[min(looks, len(POLL) - 1)]


async def _row(connection: Connection, *, namespace: str, run_id: UUID) -> Run:
    row = await runs.get(connection, namespace=namespace, run_id=run_id)
    if row is None:
        raise unknown(namespace, run_id)
    return row


async def _planned_steps(connection: Connection, row: Run) -> list[str]:
    if RunPhase(row.phase) in ENDED_RUN_PHASES:
        return []
    if (known := _planned.get(row.revision)) is None:
        body = await declared.revision_body(connection, bytes.fromhex(row.revision))
        known = _planned[row.revision] = objects.planned_steps(body) if body else []
    return known

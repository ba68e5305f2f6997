"""Declaring objects in tests the way every source does."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from ordinaut.access.caller import Caller
from ordinaut.declaration import overlay, running
from ordinaut.declaration.apply import Applied, apply_in
from ordinaut.declaration.examine import examine
from ordinaut.states import Origin
from ordinaut.store.pool import Pool, open_pool

API_VERSION = "ordinaut.io/v1alpha1"


def manifest(kind: str, name: str, spec: dict[str, Any], *, namespace: str = "default") -> dict[str, Any]:
    """Return a manifest."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def tool(name: str, url: str, **more: Any) -> dict[str, Any]:
    """Return an HTTP tool served at ``<url>/<name>``."""
    return manifest("Tool", name, {"http": {"url": f"{url}/{name}"}, **more})


def pipeline(name: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a pipeline."""
    return manifest("Pipeline", name, {"steps": list(steps), **more})


def task(name: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a task; with steps, they are its own pipeline."""
    return manifest("Task", name, {**({"pipeline": {"steps": list(steps)}} if steps else {}), **more})


def hook(name: str, topic: str, *, style: str = "Standard", keys: Sequence[str] = ("key",)) -> dict[str, Any]:
    """Return a hook whose keys are in the Secret of its name."""
    references = [{"name": name, "key": key} for key in keys]
    return manifest("Hook", name, {"topic": topic, "signature": {"style": style, "secretRefs": references}})


async def declare(
    pool: Pool, *documents: dict[str, Any], origin: Origin = Origin.API, by: Caller | None = None
) -> Applied:
    """Take documents over, by somebody whose rights their runs need then."""
    objects = [examine(document) for document in documents]
    async with pool.connection() as connection, connection.transaction():
        return await apply_in(connection, objects, origin=origin, by=by)


def declare_at(url: str, *documents: dict[str, Any]) -> None:
    """Take documents over, from a test that is not async."""

    async def run() -> None:
        async with open_pool(url, application="declare", size=1) as pool:
            applied = await declare(pool, *documents)
            assert not applied.conflicts

    asyncio.run(run())


async def run_now(pool: Pool, *, namespace: str, name: str, params: Mapping[str, Any] | None = None) -> UUID:
    """Run a task in a transaction of its own; returns the run's key."""
    async with pool.connection() as connection, connection.transaction():
        return await running.run_now(connection, namespace=namespace, name=name, params=params)


async def cancel(pool: Pool, *, namespace: str, run_id: UUID) -> None:
    """Cancel a run in a transaction of its own."""
    async with pool.connection() as connection, connection.transaction():
        await running.cancel(connection, namespace=namespace, run_id=run_id)


async def retry(pool: Pool, *, run_id: UUID, namespace: str = "default") -> UUID:
    """Try a run again in a transaction of its own; returns the new run's key."""
    async with pool.connection() as connection, connection.transaction():
        return await running.retry(connection, namespace=namespace, run_id=run_id)


async def unpark(pool: Pool, *, run_id: UUID, namespace: str = "default") -> None:
    """Let a parked run go on, in a transaction of its own."""
    async with pool.connection() as connection, connection.transaction():
        await running.unpark(connection, namespace=namespace, run_id=run_id)


async def pause(pool: Pool, name: str, *, by: str = "me", namespace: str = "default") -> None:
    """Pause a task in a transaction of its own."""
    async with pool.connection() as connection, connection.transaction():
        await overlay.pause(connection, namespace=namespace, name=name, by=by)


async def resume(pool: Pool, name: str, *, namespace: str = "default") -> None:
    """Resume a task in a transaction of its own."""
    async with pool.connection() as connection, connection.transaction():
        await overlay.resume(connection, namespace=namespace, name=name)


async def snooze(pool: Pool, name: str, until: datetime, *, by: str = "me", namespace: str = "default") -> None:
    """Snooze a task in a transaction of its own."""
    async with pool.connection() as connection, connection.transaction():
        await overlay.snooze(connection, namespace=namespace, name=name, until=until, by=by)

"""Rows for tests of the store, made with the store's own functions."""

import uuid
from typing import Any

from ordinaut.states import Origin, Trigger
from ordinaut.store import clock, declared, runs
from ordinaut.store.declared import Declared, Key, Resolution
from ordinaut.store.ids import new_run_id
from ordinaut.store.pool import Connection, Pool
from ordinaut.store.runs import NewRun, Run

REVISION = b"\x01" * 32


async def make_task(connection: Connection, name: str = "task", *, namespace: str = "default", **spec: Any) -> int:
    """Return the key of a new task that is ready to run."""
    key = Key("Task", namespace, name)
    one = Declared(key, uid=str(uuid.uuid4()), generation=1, spec=spec, pipeline_ref="pipeline")
    await declared.upsert(connection, "Task", [one], origin=Origin.API)
    task_id = (await declared.task_ids(connection, [key]))[key]
    await declared.save_revisions(connection, {REVISION: b'{"pipeline": {"steps": []}, "task": {}}'})
    await declared.save_resolutions(connection, [Resolution(task_id, "Resolved", "", REVISION, {}, 0)])
    return task_id


async def run_of(pool: Pool, run_id: uuid.UUID) -> Run:
    """Return a run of the default namespace."""
    async with pool.connection() as connection:
        run = await runs.get(connection, namespace="default", run_id=run_id)
    assert run is not None
    return run


async def make_runs(
    connection: Connection,
    task_id: int,
    count: int = 1,
    *,
    priority: int = 5,
    exclusive: bool = False,
    namespace: str = "default",
) -> list[uuid.UUID]:
    """Return the keys of new runs in the queue, in their order."""
    now = await clock.now(connection)
    keys = [new_run_id(now) for _ in range(count)]
    new = [NewRun(key, namespace, task_id, REVISION, priority, {}, exclusive=exclusive) for key in keys]
    await runs.create(connection, new, trigger=Trigger.MANUAL)
    return keys

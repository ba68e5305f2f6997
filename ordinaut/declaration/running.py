"""
Running a task by hand, and cancelling a run: what the API and the command line ask for.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from ordinaut.declaration.ending import cancel_runs
from ordinaut.declaration.resolve import effective_params, is_exclusive
from ordinaut.errors import Conflict, NotFound
from ordinaut.events.envelope import Event
from ordinaut.resources.pipeline import PipelineSpec
from ordinaut.resources.task import TaskSpec
from ordinaut.states import Trigger
from ordinaut.store import clock, declared, events, runs, status
from ordinaut.store.ids import new_run_id
from ordinaut.store.pool import Connection
from ordinaut.store.runs import NewRun


async def run_now(
    connection: Connection, *, namespace: str, name: str, params: Mapping[str, Any] | None = None
) -> UUID:
    """
    Make a run of a task at once, whatever its schedules say, as part of a transaction; return its key.

    ``params`` override those of the task one by one.

    Raises:
        NotFound: there is no such task.
        Conflict: the task is not ready, or allows only one run and has one.
        Invalid: the params do not satisfy the pipeline's schema.
    """
    task = await clock.lock_task(connection, namespace=namespace, name=name)
    if task is None:
        raise NotFound(f"there is no Task {namespace}/{name}")
    if task.revision is None:
        raise Conflict(f"Task {namespace}/{name} is not ready: {task.reason}: {task.message}")
    spec = TaskSpec.model_validate(task.spec)
    if task.busy and spec.concurrency_policy == "Forbid":
        raise Conflict(
            f"Task {namespace}/{name} has a run under way and its concurrencyPolicy is Forbid; wait for it or cancel it"
        )
    body = await declared.revision_body(connection, task.revision)
    assert body is not None  # noqa: S101 - saved before the task could name it
    pipeline = PipelineSpec.model_validate(body["pipeline"])
    effective = effective_params(pipeline, {**spec.params, **(params or {})}, field="params")
    run_id = new_run_id(task.now)
    new = NewRun(run_id, namespace, task.task_id, task.revision, spec.priority, effective, exclusive=is_exclusive(spec))
    await runs.create(connection, [new], trigger=Trigger.MANUAL)
    if spec.concurrency_policy == "Replace":
        await replace_active(connection, task_id=task.task_id, task=name, newest=run_id)
    created = Event("run.created", namespace, name, run=str(run_id), data={"trigger": Trigger.MANUAL})
    await events.append(connection, [created.compact()])
    await status.notify(connection, [task.task_id])
    return run_id


async def cancel(connection: Connection, *, namespace: str, run_id: UUID) -> None:
    """
    End a run, as part of a transaction; a worker that holds it drops its work.

    Raises:
        NotFound: the namespace has no such run.
        Conflict: the run has ended already.
    """
    run = await runs.get(connection, namespace=namespace, run_id=run_id)
    if run is None:
        raise NotFound(f"there is no run {run_id} in namespace {namespace}")
    ended = await cancel_runs(
        connection, [run_id], tasks={run.task_id: run.task}, reason="Requested", error="somebody asked for it"
    )
    if not ended:
        latest = await runs.get(connection, namespace=namespace, run_id=run_id)
        raise Conflict(f"run {run_id} has ended already: {latest.phase if latest else run.phase}")
    await status.notify(connection, [run.task_id])


async def replace_active(connection: Connection, *, task_id: int, task: str, newest: UUID) -> None:
    """End the unfinished runs of a task in favour of its newest one, as part of a transaction."""
    older = [run_id for run_id in await runs.active(connection, task_ids=[task_id]) if run_id != newest]
    await cancel_runs(connection, older, tasks={task_id: task}, reason="Replaced", error=f"run {newest} took its place")

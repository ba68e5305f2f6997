"""
Running a task by hand, cancelling, retrying and unparking a run: what the API and the command line ask for.
"""

from collections.abc import Mapping
from itertools import chain
from typing import Any
from uuid import UUID

import orjson

from ordinaut import spans
from ordinaut.computing import compute
from ordinaut.declaration.ending import asked_by, cancel_runs
from ordinaut.declaration.resolve import effective_params, is_exclusive, run_keys
from ordinaut.errors import Conflict, NotFound
from ordinaut.events.envelope import Event
from ordinaut.resources.pipeline import PipelineSpec
from ordinaut.resources.task import TaskSpec
from ordinaut.states import RunPhase, Trigger, WaitReason
from ordinaut.store import clock, declared, events, history, runs, status, turns, work
from ordinaut.store.clock import RunnableTask
from ordinaut.store.ids import new_run_id
from ordinaut.store.pool import Connection
from ordinaut.store.runs import NewRun, Run
from ordinaut.store.turns import MAX_WAITING


async def run_now(
    connection: Connection, *, namespace: str, name: str, params: Mapping[str, Any] | None = None
) -> UUID:
    """
    Make a run of a task at once, whatever its schedules say, as part of a transaction; return its key.

    ``params`` override those of the task one by one.

    Raises:
        NotFound: there is no such task.
        Conflict: the task is not ready, or allows only one run and has one.
        Invalid: the params do not satisfy the pipeline's schema, or don't give the task's concurrency keys.
    """
    task = await clock.lock_task(connection, namespace=namespace, name=name)
    if task is None:
        raise NotFound(f"there is no Task {namespace}/{name}")
    spec = _runnable(task)
    assert task.revision is not None  # noqa: S101 - it is runnable
    body = await declared.revision_body(connection, task.revision)
    assert body is not None  # noqa: S101 - saved before the task could name it
    effective = await compute(_effective, body, {**spec.params, **(params or {})})
    run_id = new_run_id(task.now)
    new = NewRun(
        run_id,
        namespace,
        task.task_id,
        task.revision,
        spec.priority,
        effective,
        exclusive=is_exclusive(spec),
        waits=await _turn(connection, task, spec),
        queue=task.queue,
        keys=run_keys(spec, effective),
    )
    await _start(connection, new, task=task, spec=spec, trigger=Trigger.MANUAL)
    return run_id


def _effective(revision: Mapping[str, Any], params: Mapping[str, Any]) -> Mapping[str, Any]:
    return effective_params(PipelineSpec.model_validate(revision["pipeline"]), params, field="params")


async def cancel(connection: Connection, *, namespace: str, run_id: UUID, by: str | None = None) -> None:
    """
    End a run because somebody asked for it, as part of a transaction; a worker that holds it drops its work.

    Raises:
        NotFound: the namespace has no such run.
        Conflict: the run has ended already.
    """
    run = await runs.get(connection, namespace=namespace, run_id=run_id)
    if run is None:
        raise NotFound(f"there is no run {run_id} in namespace {namespace}")
    ended = await cancel_runs(
        connection,
        [run_id],
        tasks={run.task_id: run.task},
        reason="Requested",
        error=asked_by(by),
        parked=True,
    )
    if not ended:
        latest = await runs.get(connection, namespace=namespace, run_id=run_id)
        raise Conflict(f"run {run_id} has ended already: {latest.phase if latest else run.phase}")
    await status.notify(connection, [run.task_id])


async def retry(connection: Connection, *, namespace: str, run_id: UUID) -> UUID:
    """
    Make a run that goes on where one that has ended failed, as part of a transaction; return its key.

    It executes the same revision with the same params and event, and takes over the results of the first steps up to
    the one that did not succeed. The old run stays as it ended.

    Raises:
        NotFound: the namespace has no such run.
        Conflict: the run is under way or has succeeded; its task is gone, not ready, or allows only one run and has
            one.
    """
    old = await runs.get(connection, namespace=namespace, run_id=run_id)
    if old is None:
        raise NotFound(f"there is no run {run_id} in namespace {namespace}")
    if old.finished_at is None:
        raise Conflict(f"run {run_id} is not over: it is {old.phase}; wait for it or cancel it")
    if old.phase == RunPhase.SUCCEEDED:
        raise Conflict(f"run {run_id} has succeeded; run Task {namespace}/{old.task} to do it again")
    task = await clock.lock_task(connection, namespace=namespace, name=old.task)
    if task is None or task.task_id != old.task_id:
        raise Conflict(f"Task {namespace}/{old.task} of run {run_id} was deleted")
    spec = _runnable(task)
    again = new_run_id(task.now)
    revision = bytes.fromhex(old.revision)
    new = NewRun(
        again,
        namespace,
        task.task_id,
        revision,
        old.priority,
        old.params,
        scheduled_at=old.scheduled_at,
        exclusive=is_exclusive(spec),
        retry_of=run_id,
        waits=await _turn(connection, task, spec),
        queue=task.queue,
        keys=run_keys(spec, old.params),
        event=None if old.event is None else orjson.dumps(old.event),
        hops=old.hops,
    )
    await _start(connection, new, task=task, spec=spec, trigger=Trigger.RETRY)
    await runs.copy_steps(connection, from_run=run_id, to_run=again)
    return again


def _runnable(task: RunnableTask) -> TaskSpec:
    """Return the spec of a task that can run; raises `Conflict` for others."""
    if task.revision is None:
        raise Conflict(f"Task {task.namespace}/{task.name} is not ready: {task.reason}: {task.message}")
    return TaskSpec.model_validate(task.spec)


async def _turn(
    connection: Connection, task: RunnableTask, spec: TaskSpec, *, replacing: bool = True
) -> WaitReason | None:
    """
    Return why a run that is made now must wait, None if it need not; raises `Conflict` if none may be made.

    ``replacing``: with that policy it takes the place of those that are under way.
    """
    if not is_exclusive(spec):
        return None
    standing = (await turns.standing(connection, task_ids=[task.task_id]))[task.task_id]
    where, policy = f"Task {task.namespace}/{task.name}", spec.concurrency_policy
    if standing.busy and policy == "Forbid":
        raise Conflict(f"{where} has a run under way and its concurrencyPolicy is Forbid; wait for it or cancel it")
    if standing.busy and policy == "Replace" and not replacing:
        raise Conflict(f"{where} has a newer run under way and its concurrencyPolicy is Replace; cancel that one first")
    if standing.waiting >= MAX_WAITING and policy == "Queue":
        raise Conflict(
            f"{where} has {standing.waiting} runs that wait for their turn, and its concurrencyPolicy is Queue; "
            "wait for some of them or cancel them"
        )
    return WaitReason.TURN if standing.busy and policy == "Queue" else None


async def _start(connection: Connection, new: NewRun, *, task: RunnableTask, spec: TaskSpec, trigger: Trigger) -> None:
    """Put a run that somebody asked for into the queue."""
    data = {"trigger": trigger, **({"retryOf": str(new.retry_of)} if new.retry_of else {})}
    created = Event("run.created", new.namespace, task.name, run=str(new.run_id), data=data)
    async with connection.pipeline():
        await runs.create(connection, [new], trigger=trigger)
        await events.add(connection, [created.compact()])
        await status.notify(connection, [task.task_id])
    if spec.concurrency_policy == "Replace":
        await replace_active(connection, newest={task.task_id: new.run_id}, tasks={task.task_id: task.name})
    if spans.receiver is not None:
        # Before the commit, which is the caller's: of a run that was not made after all, there is a root and no more.
        asked = spans.request(
            run=str(new.run_id), namespace=new.namespace, task=task.name, trigger=trigger, at=task.now.timestamp()
        )
        spans.receiver.record([asked])


async def replace_active(connection: Connection, *, newest: Mapping[int, UUID], tasks: Mapping[int, str]) -> None:
    """
    End the unfinished runs of tasks in favour of the newest one of each, as part of a transaction.

    ``newest`` and ``tasks``, the names, are by the row keys of the tasks.
    """
    older: dict[int, list[UUID]] = {}
    for run_id, task_id in await turns.of(connection, task_ids=list(newest)):
        if run_id != newest[task_id]:
            older.setdefault(task_id, []).append(run_id)
    # All at once, in the order of their keys: a worker that is settling some of them locks them in that order, too.
    await work.lock_open_runs(connection, list(chain.from_iterable(older.values())))
    for task_id, replaced in older.items():
        error = f"run {newest[task_id]} took its place"
        await cancel_runs(connection, replaced, tasks=tasks, reason="Replaced", error=error)


async def unpark(connection: Connection, *, namespace: str, run_id: UUID) -> None:
    """
    Let a parked run go on, as part of a transaction: at the first step without a result, its deliveries counted anew.

    It takes the place in the queue, or behind other runs of its task, that a new run would get.

    Raises:
        NotFound: the namespace has no such run.
        Conflict: the run is not parked; its task is gone, not ready, or allows only one run and has one.
    """
    await history.hold(connection)
    parked = await _parked(connection, namespace=namespace, run_id=run_id)
    task = await clock.lock_task(connection, namespace=namespace, name=parked.task)
    if task is None or task.task_id != parked.task_id:
        raise Conflict(f"Task {namespace}/{parked.task} of run {run_id} was deleted")
    spec = _runnable(task)
    # Again: whoever had the task before may have unparked it, and is not to be told that it stands in its own way.
    await _parked(connection, namespace=namespace, run_id=run_id)
    again = NewRun(
        run_id,
        namespace,
        task.task_id,
        bytes.fromhex(parked.revision),
        parked.priority,
        parked.params,
        scheduled_at=parked.scheduled_at,
        exclusive=is_exclusive(spec),
        waits=await _turn(connection, task, spec, replacing=False),
        queue=task.queue,
        keys=run_keys(spec, parked.params),
    )
    if not await runs.unpark(connection, again):
        await _parked(connection, namespace=namespace, run_id=run_id)
    told = Event("run.unparked", namespace, task.name, run=str(run_id))
    await events.add(connection, [told.compact()])
    await status.notify(connection, [task.task_id])


async def _parked(connection: Connection, *, namespace: str, run_id: UUID) -> Run:
    """Return a run that is parked; raises `NotFound` or `Conflict` for others."""
    run = await runs.get(connection, namespace=namespace, run_id=run_id)
    if run is None:
        raise NotFound(f"there is no run {run_id} in namespace {namespace}")
    if run.phase == RunPhase.PARKED:
        return run
    if run.finished_at is None:
        raise Conflict(f"run {run_id} is not parked: it is {run.phase}")
    remedy = "" if run.phase == RunPhase.SUCCEEDED else "; try it again with a retry, which makes another run"
    raise Conflict(f"run {run_id} is not parked, it has ended: {run.phase}{remedy}")

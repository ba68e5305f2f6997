"""
Declaring and removing objects: one transaction per batch, whatever its source.

The operator's sync, the watched directory and REST call :func:`apply` and :func:`remove`. Upsert, readiness of
everything affected, clocks, subscriptions and events commit together, under a lock per namespace; repeating a call
writes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ordinaut import schedule
from ordinaut.access.caller import Caller
from ordinaut.computing import compute
from ordinaut.declaration.ending import cancel_runs
from ordinaut.declaration.resolve import Queues, Tools, clock_start, is_exclusive, resolve, subscription, task_keys
from ordinaut.events.envelope import Event
from ordinaut.resources.task import TaskSpec
from ordinaut.states import Origin
from ordinaut.store import declared, events, keys, queues, runs, status, subscriptions, turns
from ordinaut.store.declared import (
    KINDS,
    ClockStart,
    Declared,
    Incarnation,
    Key,
    Owner,
    PipelineRow,
    Resolution,
    Unresolved,
)
from ordinaut.store.pool import Connection, Pool
from ordinaut.store.subscriptions import Subscription

RESOLVED_AT_ONCE: Final = 200
"""Tasks that are read and decided about at once: thousands would keep the event loop busy for too long."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What :func:`apply` did: what was new or changed, and which names another origin owns and so were left alone."""

    changed: list[Key] = field(default_factory=list)
    conflicts: dict[Key, Owner] = field(default_factory=dict)


async def apply(pool: Pool, objects: Sequence[Declared], *, origin: Origin) -> Applied:
    """Take objects over; at most one per name. An object that the store has already, or newer, changes nothing."""
    async with pool.connection() as connection, connection.transaction():
        return await apply_in(connection, objects, origin=origin)


async def apply_in(
    connection: Connection,
    objects: Sequence[Declared],
    *,
    origin: Origin,
    by: Caller | None = None,
    owners: Mapping[Key, Owner] | None = None,
) -> Applied:
    """
    Do what :func:`apply` does as part of a transaction.

    ``by`` becomes the creator of new tasks and of tasks whose spec changed: their runs need its rights. ``owners`` are
    those of the names, from a caller who had to ask for them before, under the lock of their namespaces.
    """
    if owners is None:
        await declared.lock_namespaces(connection, {one.key.namespace for one in objects})
        owners = await declared.owners(connection, [one.key for one in objects])
    conflicts = {key: owner for key, owner in owners.items() if owner.origin is not origin}
    ours = [one for one in objects if one.key not in conflicts and not _is_former(one, owners)]
    replaced = [Incarnation(one.key, owners[one.key].uid) for one in ours if _is_another(one, owners)]
    gone = await _delete(connection, replaced, origin=origin)
    creator = await declared.creator_of(connection, by) if by and any(one.key.kind == "Task" for one in ours) else None
    changed: list[Key] = []
    for kind in KINDS:
        if batch := [one for one in ours if one.key.kind == kind]:
            changed += await declared.upsert(connection, kind, batch, origin=origin, creator=creator)
    await _settle_in(connection, [*gone, *changed], creator=creator)
    await _announce(connection, "task.applied", changed)
    return Applied(changed, conflicts)


async def remove(pool: Pool, gone: Sequence[Incarnation], *, origin: Origin) -> list[Key]:
    """Delete objects by uid and return those that were there; the unfinished runs of deleted tasks are cancelled."""
    async with pool.connection() as connection, connection.transaction():
        return await remove_in(connection, gone, origin=origin)


async def remove_in(connection: Connection, gone: Sequence[Incarnation], *, origin: Origin) -> list[Key]:
    """Do what :func:`remove` does as part of a transaction."""
    await declared.lock_namespaces(connection, {one.key.namespace for one in gone})
    deleted = await _delete(connection, gone, origin=origin)
    await _settle_in(connection, deleted)
    return deleted


def _is_former(one: Declared, owners: Mapping[Key, Owner]) -> bool:
    """Whether this is news of a task that has been deleted and made anew since: its source lags behind another."""
    since = owners[one.key].since if one.key in owners else None
    return since is not None and one.created_at is not None and one.created_at < since


def _is_another(one: Declared, owners: Mapping[Key, Owner]) -> bool:
    """Whether the name now belongs to another incarnation, whose deletion was missed."""
    return one.key in owners and owners[one.key].uid != one.uid


async def _delete(connection: Connection, gone: Sequence[Incarnation], *, origin: Origin) -> list[Key]:
    deleted: list[Key] = []
    tasks = {one.key for one in gone if one.key.kind == "Task"}
    ids = await declared.task_ids(connection, sorted(tasks)) if tasks else {}
    for kind in reversed(KINDS):
        if batch := [one for one in gone if one.key.kind == kind]:
            deleted += await declared.delete(connection, kind, batch, origin=origin)
    stopped = {ids[key]: key.name for key in deleted if key in ids}
    if stopped:
        unfinished = await runs.unfinished(connection, task_ids=list(stopped))
        await cancel_runs(connection, unfinished, tasks=stopped, reason="TaskDeleted", error="the task was deleted")
        ended = [Subscription(ids[key], key.namespace, None) for key in deleted if key in ids]
        await subscriptions.save(connection, ended)
    await _announce(connection, "task.deleted", deleted)
    return deleted


async def _settle_in(connection: Connection, changed: Sequence[Key], *, creator: int | None = None) -> None:
    """Decide anew about the tasks that changed and about those that depend on what changed."""
    tasks = [key for key in changed if key.kind == "Task"]
    others = [key for key in changed if key.kind in {"Pipeline", "Tool"}]
    affected = set((await declared.task_ids(connection, tasks)).values()) if tasks else set()
    if creator is not None:
        await declared.forgive(connection, sorted(affected), creator=creator)
    if others:
        affected |= set(await declared.dependents(connection, others))
    ordered = sorted(affected)
    for first in range(0, len(ordered), RESOLVED_AT_ONCE):
        await resolve_tasks(connection, ordered[first : first + RESOLVED_AT_ONCE])


async def resolve_tasks(connection: Connection, task_ids: Sequence[int]) -> None:
    """Decide whether tasks can run, when and on what they fire, and store what is different; part of a transaction."""
    tasks = await declared.unresolved(connection, task_ids)
    pipelines = await declared.pipelines(
        connection, {(task.namespace, task.pipeline_ref) for task in tasks if task.pipeline_ref is not None}
    )
    tools = await declared.tools(
        connection,
        {(task.namespace, name) for task in tasks for name in task.tool_refs}
        | {(pipeline.namespace, name) for pipeline in pipelines.values() for name in pipeline.tool_refs},
    )
    numbers = await queues.ensure(connection, {queue_name(task): task.namespace for task in tasks})
    # A change of a pipeline may concern thousands of tasks.
    decided = await compute(_decide, tasks, pipelines=pipelines, tools=tools, numbers=numbers)
    await declared.save_revisions(connection, decided.revisions)
    await declared.save_resolutions(connection, decided.resolutions)
    await declared.start_clocks(connection, decided.starts, tzdata=schedule.tzdata_version())
    await subscriptions.save(connection, decided.subscriptions)
    await turns.track(connection, task_ids=decided.exclusive)
    await keys.revisit(connection, task_ids=decided.keyed)
    await status.notify(connection, [task.task_id for task in tasks])


@dataclass(frozen=True, slots=True)
class _Decisions:
    """What is to be stored about some tasks."""

    revisions: dict[bytes, bytes] = field(default_factory=dict)
    resolutions: list[Resolution] = field(default_factory=list)
    starts: list[ClockStart] = field(default_factory=list)
    subscriptions: list[Subscription] = field(default_factory=list)
    exclusive: list[int] = field(default_factory=list)
    keyed: list[int] = field(default_factory=list)


def queue_name(task: Unresolved) -> str:
    """Return the queue that a task names."""
    return str(task.spec.get("queue", queues.DEFAULT))


def _decide(
    tasks: Sequence[Unresolved],
    *,
    pipelines: Mapping[tuple[str, str], PipelineRow],
    tools: Tools,
    numbers: Queues,
) -> _Decisions:
    """Return what is different now about tasks. Pure, for the CPU."""
    decided = _Decisions()
    for task in tasks:
        spec = TaskSpec.model_validate(task.spec) if task.invalid is None else None
        pipeline = pipelines.get((task.namespace, task.pipeline_ref or ""))
        found = resolve(task, spec, pipeline=pipeline, tools=tools, queues=numbers)
        digest = found.revision.digest if found.revision else None
        queue = task.queue if spec is None else numbers.get(spec.queue, task.queue)
        keyed = task_keys(task, spec, found)
        if (found.reason, found.message, digest, found.params, queue, keyed) != (
            task.reason,
            task.message,
            task.revision,
            task.params,
            task.queue,
            task.keys,
        ):
            resolution = Resolution(task.task_id, found.reason, found.message, digest, found.params, queue, keyed)
            decided.resolutions.append(resolution)
        if keyed != task.keys:
            decided.keyed.append(task.task_id)
        if found.revision and digest != task.revision:
            decided.revisions[found.revision.digest] = found.revision.body
        if start := clock_start(task, spec):
            decided.starts.append(start)
        if (triggers := subscription(task, spec)) != task.triggers:
            decided.subscriptions.append(Subscription(task.task_id, task.namespace, triggers))
        if spec is not None and is_exclusive(spec):
            decided.exclusive.append(task.task_id)
    return decided


async def _announce(connection: Connection, event: str, keys: Sequence[Key]) -> None:
    if tasks := [key for key in keys if key.kind == "Task"]:
        await events.add(connection, await compute(_events, event, tasks))


def _events(event: str, tasks: Sequence[Key]) -> list[dict[str, Any]]:
    return [Event(event, key.namespace, key.name).compact() for key in tasks]

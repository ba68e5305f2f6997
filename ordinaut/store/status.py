"""
Reading what is known of tasks, pipelines, tools and hooks: for their status in Kubernetes and for the API.

The status writer and the API read the same rows, so that ``kubectl get`` and ``ordinaut get`` tell the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row

from ordinaut.states import Origin
from ordinaut.store.declared import Kind
from ordinaut.store.pool import Connection, fetch
from ordinaut.store.queries import SQL

MAX_NOTIFICATION = 7000
"""Bytes of a NOTIFY payload that are surely taken (PostgreSQL's limit is 8000)."""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """
    Everything that a task's status is made of.

    The ``run_…`` fields are the latest run's, None before the first; the ``snoozed_…`` ones are None once a snooze is
    over. ``creator`` is the name of whoever's rights its runs need, None where they need none; ``unauthorized_at`` is
    since when they lack them. ``looped_at`` is when an event was lately skipped for the hop limit. Two rows are equal
    if they differ in nothing but ``now``, when they were read.
    """

    task_id: int
    namespace: str
    name: str
    origin: str
    uid: str
    generation: int
    version: int
    labels: dict[str, str]
    annotations: dict[str, str]
    updated_at: datetime
    spec: dict[str, Any]
    anchor: datetime
    invalid: str | None
    ready: bool
    reason: str
    message: str
    paused_at: datetime | None
    paused_by: str | None
    snoozed_until: datetime | None
    snoozed_by: str | None
    creator: str | None
    unauthorized_at: datetime | None
    next_fire_at: datetime | None
    evaluated_at: datetime | None
    last_schedule_at: datetime | None
    active: int
    run_id: UUID | None
    run_phase: str | None
    run_trigger: str | None
    run_scheduled_at: datetime | None
    run_started_at: datetime | None
    run_finished_at: datetime | None
    run_reason: str | None
    last_success_at: datetime | None
    now: datetime = field(compare=False)
    looped_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """What a pipeline's status is made of; ``missing_tools`` are missing or not valid."""

    namespace: str
    name: str
    uid: str
    generation: int
    invalid: str | None
    missing_tools: str | None


@dataclass(frozen=True, slots=True)
class ToolStatus:
    """What a tool's status is made of."""

    namespace: str
    name: str
    uid: str
    generation: int
    invalid: str | None


@dataclass(frozen=True, slots=True)
class HookStatus:
    """What a hook's status is made of."""

    namespace: str
    name: str
    uid: str
    generation: int
    invalid: str | None


@dataclass(frozen=True, slots=True)
class DeclaredRow:
    """A pipeline, tool or hook as the API shows it."""

    namespace: str
    name: str
    origin: str
    uid: str
    generation: int
    version: int
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: dict[str, Any]
    invalid: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Fire:
    """One line of the ledger."""

    scheduled_at: datetime
    outcome: str
    reason: str | None
    run_id: UUID | None
    decided_at: datetime
    backfill_id: UUID | None = None


async def tasks(connection: Connection, task_ids: Sequence[int]) -> list[TaskRow]:
    """Return what is known of live tasks, in no order."""
    cursor = connection.cursor(row_factory=class_row(TaskRow))
    await cursor.execute(SQL["task_statuses"], {"task_ids": list(task_ids)})
    return await cursor.fetchall()


async def task_ids(connection: Connection, *, origin: Origin) -> list[int]:
    """Return all live tasks of an origin, for a sweep."""
    cursor = await connection.execute(SQL["task_ids_of"], {"origin": origin.value})
    return [row[0] for row in await cursor.fetchall()]


async def uids(connection: Connection, task_ids: Sequence[int], *, origin: Origin) -> dict[int, str]:
    """Return the uids of those of these tasks that live and are of an origin."""
    cursor = await connection.execute(SQL["task_uids"], {"task_ids": list(task_ids), "origin": origin.value})
    return dict(await cursor.fetchall())


async def pipelines(connection: Connection, *, origin: Origin) -> list[PipelineStatus]:
    """Return what the pipelines of an origin should say."""
    cursor = connection.cursor(row_factory=class_row(PipelineStatus))
    await cursor.execute(SQL["pipeline_statuses"], {"origin": origin.value})
    return await cursor.fetchall()


async def tools(connection: Connection, *, origin: Origin) -> list[ToolStatus]:
    """Return what the tools of an origin should say."""
    cursor = connection.cursor(row_factory=class_row(ToolStatus))
    await cursor.execute(SQL["tool_statuses"], {"origin": origin.value})
    return await cursor.fetchall()


async def hooks(connection: Connection, *, origin: Origin) -> list[HookStatus]:
    """Return what the hooks of an origin should say."""
    cursor = connection.cursor(row_factory=class_row(HookStatus))
    await cursor.execute(SQL["hook_statuses"], {"origin": origin.value})
    return await cursor.fetchall()


async def task_named(connection: Connection, *, namespace: str, name: str) -> TaskRow | None:
    """Return what is known of one task, or None if there is none."""
    cursor = connection.cursor(row_factory=class_row(TaskRow))
    await cursor.execute(SQL["task_named"], {"namespace": namespace, "name": name})
    return await cursor.fetchone()


async def list_tasks(connection: Connection, *, namespace: str, limit: int, after: str = "") -> list[TaskRow]:
    """Return tasks of a namespace by name, from the one after ``after``."""
    cursor = connection.cursor(row_factory=class_row(TaskRow))
    await cursor.execute(SQL["list_tasks"], {"namespace": namespace, "limit": limit, "after": after})
    return await cursor.fetchall()


async def list_declared(
    connection: Connection, kind: Kind, *, namespace: str, limit: int, after: str | None = None, name: str | None = None
) -> list[DeclaredRow]:
    """Return pipelines, tools or hooks of a namespace by name, from the one after ``after``; with ``name`` only it."""
    cursor = connection.cursor(row_factory=class_row(DeclaredRow))
    await cursor.execute(
        SQL["list_declared"], {"kind": kind, "namespace": namespace, "limit": limit, "after": after, "name": name}
    )
    return await cursor.fetchall()


async def fires(
    connection: Connection, *, namespace: str, name: str, limit: int, before: datetime | None = None
) -> list[Fire]:
    """Return the ledger of a task, newest first, of nominal times before ``before``."""
    cursor = connection.cursor(row_factory=class_row(Fire))
    await cursor.execute(SQL["list_fires"], {"namespace": namespace, "name": name, "limit": limit, "before": before})
    return await fetch(cursor)


async def notify(connection: Connection, task_ids: Sequence[int]) -> None:
    """Tell the status writer which tasks changed, once a transaction; an empty payload means too many to name."""
    payload = ",".join(map(str, sorted(set(task_ids))))
    await connection.execute(SQL["notify_status"], {"task_ids": payload if len(payload) < MAX_NOTIFICATION else ""})

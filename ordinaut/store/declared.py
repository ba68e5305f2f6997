"""
Declared objects: Tasks, Pipelines, Tools and Hooks as their source wrote them, and what was decided about them.

``ordinaut.declaration`` is the only writer; it examines, resolves and schedules, this module only moves rows. All
functions are parts of the caller's transaction, which holds the namespaces' locks (:func:`lock_namespaces`).
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal

import orjson
from psycopg.rows import class_row

from ordinaut.access.caller import Caller
from ordinaut.computing import compute
from ordinaut.states import Origin
from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL

Kind = Literal["Task", "Pipeline", "Tool", "Hook"]
KINDS: tuple[Kind, ...] = ("Tool", "Pipeline", "Task", "Hook")
"""In the order in which they are taken over: what others refer to first, and who is triggered before what triggers."""

_UPSERT: Final[Mapping[Kind, str]] = {
    "Tool": "upsert_tools",
    "Pipeline": "upsert_pipelines",
    "Task": "upsert_tasks",
    "Hook": "upsert_hooks",
}
_DELETE: Final[Mapping[Kind, str]] = {
    "Tool": "delete_tools",
    "Pipeline": "delete_pipelines",
    "Task": "delete_tasks",
    "Hook": "delete_hooks",
}


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """What names a declared object."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Incarnation:
    """A declared object as it was between its creation and its deletion: a name may be used again, a uid never."""

    key: Key
    uid: str
    generation: int = 0


@dataclass(frozen=True, slots=True)
class Declared:
    """
    An object as its source has it, examined.

    ``generation`` None lets the store count; ``invalid`` is why the spec can't be used, None when it can;
    ``pipeline_ref`` and ``tool_refs`` are what it refers to. Labels and annotations of resources stay in the API
    server.
    """

    key: Key
    uid: str
    spec: Mapping[str, Any]
    generation: int | None = None
    created_at: datetime | None = None
    pipeline_ref: str | None = None
    tool_refs: tuple[str, ...] = ()
    invalid: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Owner:
    """
    Who has a name now.

    ``since`` is when a task was created; ``version`` counts what callers changed of the object: spec, labels,
    annotations and overlay.
    """

    origin: Origin
    uid: str
    since: datetime | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class Unresolved:
    """
    A task with everything that its readiness, its clock and its subscription are decided from, and what was decided
    before.
    """

    task_id: int
    namespace: str
    name: str
    spec: dict[str, Any]
    pipeline_ref: str | None
    tool_refs: list[str]
    invalid: str | None
    anchor: datetime
    ready: bool
    reason: str
    message: str
    revision: bytes | None
    params: dict[str, Any]
    queue: int
    keys: list[dict[str, Any]]
    paused_at: datetime | None
    snoozed_until: datetime | None
    schedule_key: bytes | None
    next_fire_at: datetime | None
    evaluated_at: datetime | None
    triggers: list[dict[str, Any]] | None
    now: datetime


@dataclass(frozen=True, slots=True)
class PipelineRow:
    """A pipeline that a task refers to."""

    namespace: str
    name: str
    spec: dict[str, Any]
    tool_refs: list[str]
    invalid: str | None


@dataclass(frozen=True, slots=True)
class Resolution:
    """Whether a task can run, why not, what its next run pins and gets, its queue, and its concurrency keys."""

    task_id: int
    reason: str
    message: str
    revision: bytes | None
    params: Mapping[str, Any]
    queue: int
    keys: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class ClockStart:
    """When a task fires next after its schedule was declared or edited; times up to ``evaluated_at`` never will."""

    task_id: int
    schedule_key: bytes
    next_fire_at: datetime | None
    evaluated_at: datetime


async def lock_namespaces(connection: Connection, namespaces: Iterable[str]) -> None:
    """Keep other declarations in these namespaces waiting until the transaction ends."""
    for namespace in sorted(set(namespaces)):
        await connection.execute(SQL["lock_namespace"], {"namespace": namespace})


async def owners(connection: Connection, keys: Iterable[Key]) -> dict[Key, Owner]:
    """Return who has these names; names that nobody has are left out."""
    names = [{"kind": key.kind, "namespace": key.namespace, "name": key.name} for key in keys]
    cursor = await connection.execute(SQL["name_owners"], {"names": _json(names)})
    return {
        Key(row[0], row[1], row[2]): Owner(Origin(row[3]), row[4], row[5], row[6]) for row in await cursor.fetchall()
    }


async def upsert(
    connection: Connection, kind: Kind, objects: Sequence[Declared], *, origin: Origin, creator: int | None = None
) -> list[Key]:
    """
    Take over objects of one kind and return those that were new or changed.

    ``creator`` becomes that of new tasks and of tasks whose spec changed.
    """
    statement = _UPSERT[kind]
    rows = await compute(_rows, objects, origin=origin)
    cursor = await connection.execute(SQL[statement], {"origin": origin.value, "objects": rows, "creator": creator})
    return [Key(kind, row[0], row[1]) for row in await cursor.fetchall()]


async def creator_of(connection: Connection, caller: Caller) -> int:
    """Return the key of a caller among the creators of tasks; a new one is kept."""
    identity = replace(caller, groups=tuple(sorted(caller.groups)), extra=tuple(sorted(caller.extra))).as_json()
    digest = hashlib.sha256(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)).digest()
    found = await (await connection.execute(SQL["find_creator"], {"digest": digest})).fetchone()
    if found is None:
        await connection.execute(SQL["insert_creator"], {"digest": digest, "identity": _json(identity)})
        found = await (await connection.execute(SQL["find_creator"], {"digest": digest})).fetchone()
        assert found is not None  # noqa: S101 - the insert has waited for whoever else was inserting it
    return int(found[0])


async def forgive(connection: Connection, task_ids: Sequence[int], *, creator: int) -> None:
    """Forget that tasks were refused their runs, where this creator has taken them over."""
    await connection.execute(SQL["forgive_clocks"], {"task_ids": list(task_ids), "creator": creator})


async def delete(connection: Connection, kind: Kind, gone: Sequence[Incarnation], *, origin: Origin) -> list[Key]:
    """Delete objects of one kind by uid and return those that were there."""
    statement = _DELETE[kind]
    names = [{"namespace": one.key.namespace, "name": one.key.name, "uid": one.uid} for one in gone]
    cursor = await connection.execute(SQL[statement], {"origin": origin.value, "names": _json(names)})
    return [Key(kind, *row[-2:]) for row in await cursor.fetchall()]


async def task_ids(connection: Connection, keys: Sequence[Key]) -> dict[Key, int]:
    """Return the row keys of live tasks."""
    names = [{"namespace": key.namespace, "name": key.name} for key in keys]
    cursor = await connection.execute(SQL["task_ids_named"], {"names": _json(names)})
    return {Key("Task", row[1], row[2]): row[0] for row in await cursor.fetchall()}


async def incarnations(connection: Connection, *, origin: Origin) -> list[Incarnation]:
    """Return everything that a source has declared so far."""
    cursor = await connection.execute(SQL["declared_uids"], {"origin": origin.value})
    return [Incarnation(Key(row[0], row[1], row[2]), row[3], row[4]) for row in await cursor.fetchall()]


async def dependents(connection: Connection, keys: Sequence[Key]) -> list[int]:
    """Return the tasks whose readiness depends on these pipelines and tools."""
    cursor = await connection.execute(
        SQL["dependent_tasks"],
        {
            "namespaces": sorted({key.namespace for key in keys}),
            "pipelines": [_path(key.namespace, key.name) for key in keys if key.kind == "Pipeline"],
            "tools": [_path(key.namespace, key.name) for key in keys if key.kind == "Tool"],
        },
    )
    return [row[0] for row in await cursor.fetchall()]


async def unresolved(connection: Connection, ids: Sequence[int]) -> list[Unresolved]:
    """Return tasks, locked, with what is to be decided about them."""
    cursor = connection.cursor(row_factory=class_row(Unresolved))
    await cursor.execute(SQL["tasks_to_resolve"], {"task_ids": list(ids)})
    return await cursor.fetchall()


async def pipelines(connection: Connection, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], PipelineRow]:
    """Return pipelines by (namespace, name); those that don't exist are left out."""
    wanted = set(names)
    cursor = connection.cursor(row_factory=class_row(PipelineRow))
    await cursor.execute(SQL["pipelines_named"], _names(wanted))
    return {(row.namespace, row.name): row for row in await cursor.fetchall()}


async def tools(connection: Connection, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str | None]:
    """Return, by (namespace, name), why a tool can't be used, None when it can; missing ones are left out."""
    wanted = set(names)
    cursor = await connection.execute(SQL["tools_named"], _names(wanted))
    return {(row[0], row[1]): row[2] for row in await cursor.fetchall()}


async def save_revisions(connection: Connection, revisions: Mapping[bytes, bytes]) -> None:
    """Keep revisions, by digest."""
    if revisions:
        bodies = [body.decode() for body in revisions.values()]
        await connection.execute(SQL["insert_revisions"], {"digests": list(revisions), "bodies": bodies})


async def save_resolutions(connection: Connection, resolutions: Sequence[Resolution]) -> None:
    """Record whether tasks can run."""
    if resolutions:
        await connection.execute(
            SQL["set_readiness"],
            {
                "task_ids": [one.task_id for one in resolutions],
                "reasons": [one.reason for one in resolutions],
                "messages": [one.message for one in resolutions],
                "revisions": [one.revision for one in resolutions],
                "params": [_json(one.params) for one in resolutions],
                "queues": [one.queue for one in resolutions],
                "keys": [_json(one.keys) for one in resolutions],
            },
        )


async def start_clocks(connection: Connection, starts: Sequence[ClockStart], *, tzdata: str) -> None:
    """Set tasks' clocks."""
    if starts:
        await connection.execute(
            SQL["set_clocks"],
            {
                "task_ids": [one.task_id for one in starts],
                "schedule_keys": [one.schedule_key for one in starts],
                "evaluated": [one.evaluated_at for one in starts],
                "next_fires": [one.next_fire_at for one in starts],
                "tzdata": tzdata,
            },
        )
        await connection.execute(SQL["notify_clock"])


async def revision_body(connection: Connection, digest: bytes) -> dict[str, Any] | None:
    """Return what a run executes."""
    row = await (await connection.execute(SQL["revision_body"], {"digest": digest})).fetchone()
    return None if row is None else dict(row[0])


async def tool(connection: Connection, *, namespace: str, name: str) -> tuple[dict[str, Any], str | None] | None:
    """Return a tool's spec and why it can't be used, or None when there is none."""
    row = await (await connection.execute(SQL["tool_spec"], {"namespace": namespace, "name": name})).fetchone()
    return None if row is None else (row[0], row[1])


def _rows(objects: Sequence[Declared], *, origin: Origin) -> str:
    return _json([_row(one, origin=origin) for one in objects])


def _row(one: Declared, *, origin: Origin) -> dict[str, Any]:
    # The generation of a resource does not count its metadata, so a change of them would not be taken over anyway.
    attached = origin is not Origin.KUBERNETES
    return {
        "labels": one.labels if attached else {},
        "annotations": one.annotations if attached else {},
        "namespace": one.key.namespace,
        "name": one.key.name,
        "uid": one.uid,
        "generation": one.generation,
        "spec": one.spec,
        "pipeline_ref": one.pipeline_ref,
        "tool_refs": one.tool_refs,
        "invalid": one.invalid,
        "created_at": one.created_at,
    }


def _names(wanted: set[tuple[str, str]]) -> dict[str, list[str]]:
    return {
        "namespaces": sorted({namespace for namespace, _ in wanted}),
        "names": [_path(namespace, name) for namespace, name in sorted(wanted)],
    }


def _path(namespace: str, name: str) -> str:
    return f"{namespace}/{name}"


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()

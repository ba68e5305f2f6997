"""Tasks: declaring them, seeing when they run, their ledger, and running one now."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field, ValidationError

from ordinaut import shapes
from ordinaut.declaration.nominal import upcoming
from ordinaut.declaration.running import run_now
from ordinaut.errors import Invalid, NotFound
from ordinaut.resources.wording import field_errors
from ordinaut.store import runs, status
from ordinaut.store.declared import Key
from ordinaut.store.pool import Connection
from ordinaut.store.status import TaskRow
from ordinaut_api import body, manifests, objects, pages
from ordinaut_api.backend import UseConnection
from ordinaut_api.change import Answer, perform
from ordinaut_api.identity.guard import Call, guard
from ordinaut_api.routes.declared import manifest_body
from ordinaut_api.routes.parameters import ListQuery, NameInPath, NamespaceInPath
from ordinaut_api.routes.parameters import Query as Parameters

UPCOMING = 5
"""Next times that a task shows, as in its status in Kubernetes."""

router = APIRouter(prefix="/v1/namespaces/{namespace}/tasks", tags=["tasks"])


class PreviewQuery(Parameters):
    """How far to look ahead."""

    count: int = Field(default=10, ge=1, le=100)
    """Nominal times wanted."""


async def _row(connection: Connection, *, namespace: str, name: str) -> TaskRow:
    rows = await status.list_tasks(connection, namespace=namespace, limit=1, name=name)
    if not rows:
        raise NotFound(f"{Key('Task', namespace, name)} does not exist.")
    return rows[0]


async def _next_times(row: TaskRow, *, count: int) -> list[datetime]:
    """Return the stored next time, which may be due this moment, and those after it."""
    if row.next_fire_at is None:
        return []
    # Looking far ahead takes some milliseconds of CPU, which other requests need not wait for.
    later = await asyncio.to_thread(upcoming, row.spec, anchor=row.anchor, after=row.next_fire_at, limit=count - 1)
    return [row.next_fire_at, *later]


async def _task(connection: Connection, *, namespace: str, name: str) -> shapes.Task:
    row = await _row(connection, namespace=namespace, name=name)
    return objects.task(row, upcoming=await _next_times(row, count=UPCOMING))


@router.get("", dependencies=[guard("list", "tasks")], response_model_exclude_none=True)
async def list_(
    namespace: NamespaceInPath, query: Annotated[ListQuery, Query()], connection: UseConnection
) -> shapes.Page[shapes.Task]:
    """List tasks by name."""
    name = f"{namespace}/tasks"
    after = pages.decode(query.cursor, list_name=name, read=str)
    rows = await status.list_tasks(connection, namespace=namespace, limit=query.limit + 1, after=after)
    return pages.page(rows, limit=query.limit, list_name=name, position=lambda row: row.name).show(objects.task)


@router.get("/{name}", dependencies=[guard("get", "tasks")], response_model_exclude_none=True)
async def get(namespace: NamespaceInPath, name: NameInPath, connection: UseConnection) -> shapes.Task:
    """Get a task with its next times."""
    return await _task(connection, namespace=namespace, name=name)


@router.put(
    "/{name}",
    response_model=shapes.Task,
    response_model_exclude_none=True,
    openapi_extra=manifest_body("Task"),
    responses={201: {"model": shapes.Task, "description": "Created"}},
)
async def put(
    namespace: NamespaceInPath, name: NameInPath, call: Annotated[Call, guard("update", "tasks")]
) -> Response:
    """Create or replace a task from its manifest."""
    key = Key("Task", namespace, name)
    found = await manifests.read(await body.read_object(call.request), key=key)

    async def work(connection: Connection) -> Answer:
        created = await manifests.put(connection, found)
        return Answer(201 if created else 200, await _task(connection, namespace=namespace, name=name))

    return await perform(call, work, object_=manifests.path(key))


@router.delete("/{name}", status_code=204)
async def delete(
    namespace: NamespaceInPath, name: NameInPath, call: Annotated[Call, guard("delete", "tasks")]
) -> Response:
    """Delete a task and cancel its runs; its history stays."""
    key = Key("Task", namespace, name)

    async def work(connection: Connection) -> Answer:
        await manifests.delete(connection, key=key)
        return Answer(204)

    return await perform(call, work, object_=manifests.path(key))


@router.get("/{name}/fires", dependencies=[guard("get", "tasks")], response_model_exclude_none=True)
async def fires(
    namespace: NamespaceInPath, name: NameInPath, query: Annotated[ListQuery, Query()], connection: UseConnection
) -> shapes.Page[shapes.Fire]:
    """List the ledger, newest first: one line for each nominal time, run or skipped with the reason."""
    await _row(connection, namespace=namespace, name=name)
    list_name = f"{namespace}/tasks/{name}/fires"
    before = pages.decode(query.cursor, list_name=list_name, read=datetime.fromisoformat)
    rows = await status.fires(connection, namespace=namespace, name=name, limit=query.limit + 1, before=before)
    return pages.page(
        rows,
        limit=query.limit,
        list_name=list_name,
        position=lambda row: row.scheduled_at.isoformat(),
    ).show(objects.fire)


@router.get("/{name}/preview", dependencies=[guard("get", "tasks")], response_model_exclude_none=True)
async def preview(
    namespace: NamespaceInPath, name: NameInPath, query: Annotated[PreviewQuery, Query()], connection: UseConnection
) -> shapes.Preview:
    """Tell the next nominal times."""
    row = await _row(connection, namespace=namespace, name=name)
    return shapes.Preview(items=await _next_times(row, count=query.count))


@router.post(
    "/{name}/run",
    status_code=202,
    response_model=shapes.Run,
    response_model_exclude_none=True,
    openapi_extra={
        "requestBody": {
            "required": False,
            "content": {"application/json": {"schema": shapes.RunRequest.model_json_schema()}},
        }
    },
)
async def run(
    namespace: NamespaceInPath, name: NameInPath, call: Annotated[Call, guard("create", "tasks/run")]
) -> Response:
    """Run a task now; `Location` leads to the run."""
    wanted = _run_request(await body.read_object(call.request, required=False))

    async def work(connection: Connection) -> Answer:
        run_id = await run_now(connection, namespace=namespace, name=name, params=wanted.params or None)
        made = await runs.get(connection, namespace=namespace, run_id=run_id)
        assert made is not None  # noqa: S101 - made in this transaction
        location = {"Location": f"/v1/namespaces/{namespace}/runs/{run_id}"}
        return Answer(202, objects.run(made), location)

    return await perform(call, work, object_=f"tasks/{name}", body=await call.request.body())


def _run_request(document: dict[str, Any]) -> shapes.RunRequest:
    try:
        return shapes.RunRequest.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        raise Invalid(list(field_errors(error, model=shapes.RunRequest))) from None

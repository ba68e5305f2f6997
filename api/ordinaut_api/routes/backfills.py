"""Backfills: making up for the nominal times of a past window that have not fired."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response

from ordinaut import shapes
from ordinaut.declaration import backfill as backfills
from ordinaut.store import backfill as store
from ordinaut.store import status
from ordinaut.store.backfill import Backfill
from ordinaut.store.declared import Key
from ordinaut.store.pool import Connection
from ordinaut_api import answers, body, manifests, objects, pages
from ordinaut_api.change import Answer, perform
from ordinaut_api.identity.guard import Call, guard
from ordinaut_api.routes.parameters import BackfillInPath, ListQuery, NameInPath, instant

router = APIRouter(prefix="/v1/namespaces/{namespace}", tags=["backfills"])

OF_TASK: Final = "/tasks/{name}/backfills"
OF_NAMESPACE: Final = "/backfills"


@router.post(
    OF_TASK,
    operation_id="backfillTask",
    summary="Make up for missing fires of a task",
    status_code=201,
    response_model=shapes.Backfill,
    responses={200: {"model": shapes.BackfillPlan, "description": "What would be done, if `dryRun` is true"}},
)
async def create(name: NameInPath, call: Annotated[Call, guard("create", "tasks/run")]) -> Response:
    """
    A run for each nominal time of a window that has none, at the lowest priority. `Location` leads to the backfill.

    The times are those of the task's present schedules; what has fired does not fire again.
    """
    sent = await body.read(call.request)
    wanted = body.parse(sent.document, shapes.BackfillRequest)
    since = instant(wanted.from_, field="from")
    until = None if wanted.to is None else instant(wanted.to, field="to")
    if wanted.dry_run:
        async with call.backend.connection() as connection:
            planned = await _plan(connection, call, name, since=since, until=until)
        return answers.answer(objects.backfill_plan(planned))

    async def work(connection: Connection) -> Answer:
        planned = await _plan(connection, call, name, since=since, until=until)
        made = await backfills.start(connection, planned, max_active=wanted.max_active, by=call.caller.user)
        view = objects.backfill(await _existing(connection, call.namespace, made), message=planned.message)
        return Answer(201, view, {"Location": f"/v1/namespaces/{call.namespace}/backfills/{made}"})

    detail = {"from": wanted.from_, "to": wanted.to, "maxActive": wanted.max_active}
    return await perform(call, work, object_=f"tasks/{name}/backfills", body=sent.raw, detail=detail)


@router.get(
    OF_TASK,
    operation_id="listBackfillsOfTask",
    summary="List the backfills of a task",
    response_model=shapes.Page[shapes.Backfill],
)
async def list_of_task(
    name: NameInPath, query: Annotated[ListQuery, Query()], call: Annotated[Call, guard("get", "tasks")]
) -> Response:
    """Newest first."""
    return await _page(call, query, list_name=f"{call.namespace}/tasks/{name}/backfills", task=name)


@router.get(
    OF_NAMESPACE,
    operation_id="listBackfills",
    summary="List backfills",
    response_model=shapes.Page[shapes.Backfill],
)
async def list_(query: Annotated[ListQuery, Query()], call: Annotated[Call, guard("list", "tasks")]) -> Response:
    """Newest first, those of deleted tasks too."""
    return await _page(call, query, list_name=f"{call.namespace}/backfills", task=None)


@router.get(
    OF_NAMESPACE + "/{backfill_id}",
    operation_id="getBackfill",
    summary="Get a backfill",
    response_model=shapes.Backfill,
)
async def get(backfill_id: BackfillInPath, call: Annotated[Call, guard("get", "tasks")]) -> Response:
    """How far it has come, and what it waits for."""
    async with call.backend.connection() as connection:
        found = await _existing(connection, call.namespace, backfill_id)
    return answers.answer(objects.backfill(found))


@router.post(
    OF_NAMESPACE + "/{backfill_id}/cancel",
    operation_id="cancelBackfill",
    summary="Cancel a backfill",
    status_code=202,
    response_model=shapes.Backfill,
)
async def cancel(backfill_id: BackfillInPath, call: Annotated[Call, guard("create", "runs/cancel")]) -> Response:
    """Ends a backfill that is not over: it makes no more runs. Those under way go on."""
    raw = await body.read_nothing(call.request)

    async def work(connection: Connection) -> Answer:
        await backfills.cancel(connection, namespace=call.namespace, backfill_id=backfill_id)
        return Answer(202, objects.backfill(await _existing(connection, call.namespace, backfill_id)))

    return await perform(call, work, object_=f"backfills/{backfill_id}", body=raw)


async def _plan(
    connection: Connection, call: Call, name: str, *, since: datetime, until: datetime | None
) -> backfills.Plan:
    return await backfills.plan(connection, namespace=call.namespace, name=name, since=since, until=until)


async def _existing(connection: Connection, namespace: str, backfill_id: UUID) -> Backfill:
    found = await store.get(connection, namespace=namespace, backfill_id=backfill_id)
    if found is None:
        raise backfills.unknown(namespace, backfill_id)
    return found


async def _page(call: Call, query: ListQuery, *, list_name: str, task: str | None) -> Response:
    before = pages.decode(query.cursor, list_name=list_name, read=UUID)
    async with call.backend.connection() as connection:
        if task is not None and await status.task_named(connection, namespace=call.namespace, name=task) is None:
            raise manifests.unknown(Key("Task", call.namespace, task))
        rows = await store.list_(connection, namespace=call.namespace, limit=query.limit + 1, before=before, task=task)
    part = pages.page(rows, limit=query.limit, list_name=list_name, position=lambda row: str(row.backfill_id))
    return await pages.answer(part, objects.backfill)

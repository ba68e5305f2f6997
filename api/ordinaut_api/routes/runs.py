"""Runs: what happened, what is happening, and putting an end to it."""

import asyncio
import time
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import Field

from ordinaut import shapes
from ordinaut.declaration.running import cancel as cancel_run
from ordinaut.errors import NotFound
from ordinaut.states import FINAL_RUN_PHASES, RunPhase, Trigger
from ordinaut.store import declared, runs
from ordinaut.store.pool import Connection
from ordinaut.store.runs import Run
from ordinaut_api import objects, pages
from ordinaut_api.backend import Backend, UseBackend, UseConnection
from ordinaut_api.change import Answer, perform
from ordinaut_api.identity.guard import Call, guard
from ordinaut_api.routes.parameters import ListQuery, Name, NamespaceInPath, RunInPath
from ordinaut_api.routes.parameters import Query as Parameters

MAX_WAIT: Final = 60.0
"""Seconds that one request waits for a run; proxies give up on requests that take longer."""

_POLL: Final = (0.1, 0.1, 0.2, 0.2, 0.5)
"""Seconds between looks at a run that somebody waits for; the last one repeats."""

router = APIRouter(prefix="/v1/namespaces/{namespace}/runs", tags=["runs"])


class RunQuery(ListQuery):
    """Which runs are wanted."""

    task: Name | None = None
    """Runs of the task of this name, also of deleted ones."""
    phase: RunPhase | None = None
    trigger: Trigger | None = None


class WaitQuery(Parameters):
    """How long to wait."""

    timeout: float = Field(default=30.0, ge=0, le=MAX_WAIT)
    """Seconds."""


@router.get("", dependencies=[guard("list", "runs")], response_model_exclude_none=True)
async def list_(
    namespace: NamespaceInPath, query: Annotated[RunQuery, Query()], connection: UseConnection
) -> shapes.Page[shapes.Run]:
    """List runs, newest first, without their steps and outputs."""
    list_name = f"{namespace}/runs"
    before = pages.decode(query.cursor, list_name=list_name, read=UUID)
    rows = await runs.list_(
        connection,
        namespace=namespace,
        limit=query.limit + 1,
        before=before,
        task=query.task,
        phase=query.phase,
        trigger=query.trigger,
    )
    return pages.page(rows, limit=query.limit, list_name=list_name, position=lambda row: str(row.run_id)).show(
        objects.listed_run
    )


@router.get("/{run_id}", dependencies=[guard("get", "runs")], response_model_exclude_none=True)
async def get(namespace: NamespaceInPath, run_id: RunInPath, connection: UseConnection) -> shapes.Run:
    """Get a run with its steps."""
    row = await _row(connection, namespace=namespace, run_id=run_id)
    return await _with_steps(connection, row)


@router.post("/{run_id}/cancel", status_code=202, response_model=shapes.Run, response_model_exclude_none=True)
async def cancel(
    namespace: NamespaceInPath, run_id: RunInPath, call: Annotated[Call, guard("create", "runs/cancel")]
) -> Response:
    """Cancel a run that is not over; what its worker still does is dropped."""

    async def work(connection: Connection) -> Answer:
        await cancel_run(connection, namespace=namespace, run_id=run_id)
        return Answer(202, await _with_steps(connection, await _row(connection, namespace=namespace, run_id=run_id)))

    return await perform(call, work, object_=f"runs/{run_id}", body=await call.request.body())


@router.get("/{run_id}/wait", dependencies=[guard("get", "runs")], response_model_exclude_none=True)
async def wait(
    namespace: NamespaceInPath, run_id: RunInPath, query: Annotated[WaitQuery, Query()], backend: UseBackend
) -> shapes.Run:
    """Answer with the run as soon as it is over, or as it is when the time is up."""
    await _until_over(backend, namespace=namespace, run_id=run_id, timeout=query.timeout)
    async with backend.connection() as connection:
        return await _with_steps(connection, await _row(connection, namespace=namespace, run_id=run_id))


async def _until_over(backend: Backend, *, namespace: str, run_id: UUID, timeout: float) -> None:  # noqa: ASYNC109
    deadline = time.monotonic() + timeout
    looks = 0
    while True:
        # A connection is held for the look only: a thousand callers may wait at once.
        async with backend.connection() as connection:
            row = await _row(connection, namespace=namespace, run_id=run_id)
        left = deadline - time.monotonic()
        if RunPhase(row.phase) in FINAL_RUN_PHASES or left <= 0 or backend.stopping():
            return
        await asyncio.sleep(min(_POLL[min(looks, len(_POLL) - 1)], left))
        looks += 1


async def _row(connection: Connection, *, namespace: str, run_id: UUID) -> Run:
    row = await runs.get(connection, namespace=namespace, run_id=run_id)
    if row is None:
        raise NotFound(f"Run {run_id} does not exist in namespace {namespace}.")
    return row


async def _with_steps(connection: Connection, row: Run) -> shapes.Run:
    rows = await runs.steps(connection, run_id=row.run_id)
    planned: list[str] = []
    if RunPhase(row.phase) not in FINAL_RUN_PHASES:
        body = await declared.revision_body(connection, bytes.fromhex(row.revision))
        planned = objects.planned_steps(body) if body else []
    return objects.run(row, steps=objects.steps(rows, run=row, planned=planned))

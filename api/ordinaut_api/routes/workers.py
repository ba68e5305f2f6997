"""Workers: which live, and what of a namespace they hold; other namespaces are only counted."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from ordinaut import shapes
from ordinaut.store import workers
from ordinaut_api import objects, pages
from ordinaut_api.identity.guard import Call, guard
from ordinaut_api.routes.parameters import ListQuery

MAX_NAME = 200
"""Characters of a worker's name."""

router = APIRouter(prefix="/v1/namespaces/{namespace}/workers", tags=["workers"])


@router.get("", operation_id="listWorkers", summary="List live workers", response_model=shapes.Page[shapes.Worker])
async def list_(query: Annotated[ListQuery, Query()], call: Annotated[Call, guard("list", "workers")]) -> Response:
    """By name: what each takes, and which runs of the namespace it holds. Runs of others are only counted."""
    list_name = f"{call.namespace}/workers"
    after = pages.decode(query.cursor, list_name=list_name, read=_name)
    async with call.backend.connection() as connection:
        rows = await workers.list_(connection, limit=query.limit + 1, after=after)
        part = pages.page(rows, limit=query.limit, list_name=list_name, position=lambda row: row.name)
        held = await workers.held(connection, namespace=call.namespace, workers=[row.name for row in part.items])
    return await pages.answer(part, lambda row: objects.worker(row, held=held[row.name]))


def _name(text: str) -> str:
    if not 0 < len(text) <= MAX_NAME:
        raise ValueError(text)
    return text

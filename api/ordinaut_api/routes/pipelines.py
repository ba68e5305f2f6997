"""Pipelines: the steps that runs execute."""

from collections.abc import Callable, Sequence

from ordinaut import shapes
from ordinaut.store import declared, status
from ordinaut.store.declared import Key
from ordinaut.store.pool import Connection
from ordinaut.store.status import DeclaredRow
from ordinaut_api import objects
from ordinaut_api.routes.declared import Shelf, declared_router


async def _page(connection: Connection, namespace: str, limit: int, after: str | None) -> list[DeclaredRow]:
    return await status.list_declared(connection, "Pipeline", namespace=namespace, limit=limit, after=after)


async def _row(connection: Connection, key: Key) -> DeclaredRow | None:
    rows = await status.list_declared(connection, "Pipeline", namespace=key.namespace, limit=1, name=key.name)
    return rows[0] if rows else None


async def _show(connection: Connection, rows: Sequence[DeclaredRow]) -> Callable[[DeclaredRow], shapes.Pipeline]:
    needed = {(row.namespace, name) for row in rows for name in objects.tool_names(row.spec)}
    tools = await declared.tools(connection, needed) if needed else {}
    return lambda row: objects.pipeline(row, tools=tools)


async def _read(connection: Connection, row: DeclaredRow) -> shapes.Pipeline:
    return (await _show(connection, [row]))(row)


router = declared_router(Shelf("Pipeline", shapes.Pipeline, page=_page, row=_row, show=_show, read=_read))

"""Tools: what steps can call."""

from collections.abc import Callable, Sequence

from ordinaut import shapes
from ordinaut.store import status
from ordinaut.store.declared import Key
from ordinaut.store.pool import Connection
from ordinaut.store.status import DeclaredRow
from ordinaut_api import objects
from ordinaut_api.routes.declared import Shelf, declared_router


async def _page(connection: Connection, namespace: str, limit: int, after: str | None) -> list[DeclaredRow]:
    return await status.list_declared(connection, "Tool", namespace=namespace, limit=limit, after=after)


async def _row(connection: Connection, key: Key) -> DeclaredRow | None:
    rows = await status.list_declared(connection, "Tool", namespace=key.namespace, limit=1, name=key.name)
    return rows[0] if rows else None


async def _show(_connection: Connection, _rows: Sequence[DeclaredRow]) -> Callable[[DeclaredRow], shapes.Tool]:
    return objects.tool


async def _read(_connection: Connection, row: DeclaredRow) -> shapes.Tool:
    return objects.tool(row)


router = declared_router(Shelf("Tool", shapes.Tool, page=_page, row=_row, show=_show, read=_read))

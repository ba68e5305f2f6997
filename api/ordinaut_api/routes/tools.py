"""Tools: what steps can call."""

from collections.abc import Sequence

from ordinaut import shapes
from ordinaut.store.pool import Connection
from ordinaut.store.status import DeclaredRow
from ordinaut_api import objects
from ordinaut_api.routes.declared import declared_router


async def _show(_connection: Connection, rows: Sequence[DeclaredRow]) -> list[shapes.Tool]:
    return [objects.tool(row) for row in rows]


router = declared_router("Tool", view=shapes.Tool, show=_show)

"""Tools: what steps can call."""

from collections.abc import Sequence

from ordinaut.store.pool import Connection
from ordinaut.store.status import DeclaredRow
from ordinaut_api import objects, schemas
from ordinaut_api.routes.declared import declared_router


async def _show(_connection: Connection, rows: Sequence[DeclaredRow]) -> list[schemas.Tool]:
    return [objects.tool(row) for row in rows]


router = declared_router("Tool", view=schemas.Tool, show=_show)

"""Pipelines: the steps that runs execute."""

from collections.abc import Sequence

from ordinaut import shapes
from ordinaut.store import declared
from ordinaut.store.pool import Connection
from ordinaut.store.status import DeclaredRow
from ordinaut_api import objects
from ordinaut_api.routes.declared import declared_router


async def _show(connection: Connection, rows: Sequence[DeclaredRow]) -> list[shapes.Pipeline]:
    needed = {(row.namespace, name) for row in rows for name in objects.tool_names(row.spec)}
    tools = await declared.tools(connection, needed)
    return [objects.pipeline(row, tools=tools) for row in rows]


router = declared_router("Pipeline", view=shapes.Pipeline, show=_show)

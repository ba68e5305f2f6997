"""
The audit trail: who changed what, and who was not allowed to.

The api writes a row for each change that a caller made; rows are only ever added.
"""

from collections.abc import Mapping
from typing import Any, Literal

from psycopg.types.json import Jsonb

from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL

Decision = Literal["Allowed", "Denied"]


async def append(
    connection: Connection,
    *,
    actor: str,
    verb: str,
    namespace: str,
    object_: str,
    decision: Decision,
    request_id: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Record what ``actor`` did to ``object_`` (such as ``tasks/morning-briefing``) of a namespace."""
    await connection.execute(
        SQL["append_audit"],
        {
            "actor": actor,
            "verb": verb,
            "namespace": namespace,
            "object": object_,
            "decision": decision,
            "request_id": request_id,
            "detail": None if detail is None else Jsonb(dict(detail)),
        },
    )

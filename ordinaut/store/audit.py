"""
The audit trail: who changed what, and who was not allowed to.

The api writes a row for each change that a caller made and for each refusal. Rows are never changed; the operator
forgets those that are older than they have to be kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from ordinaut.store.pool import Connection, fetch
from ordinaut.store.queries import SQL

Decision = Literal["Allowed", "Denied"]


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One line of the trail."""

    id: int
    at: datetime
    actor: str
    verb: str
    namespace: str
    object: str
    decision: str
    request_id: str | None


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


async def list_(
    connection: Connection,
    *,
    namespace: str,
    limit: int,
    before: int | None = None,
    actor: str | None = None,
    verb: str | None = None,
    decision: Decision | None = None,
) -> list[AuditRow]:
    """Return lines of a namespace, newest first, that were written before the line ``before``."""
    cursor = connection.cursor(row_factory=class_row(AuditRow))
    chosen = {"actor": actor, "verb": verb, "decision": decision}
    await cursor.execute(SQL["list_audit"], {"namespace": namespace, "limit": limit, "before": before, **chosen})
    return await fetch(cursor)


async def forget(connection: Connection, *, days: int, limit: int = 10_000) -> int:
    """Forget the oldest lines that are older than so many days, some of them; returns how many."""
    return (await connection.execute(SQL["forget_audit"], {"days": days, "limit": limit})).rowcount

"""The audit trail: who changed what, and who was not allowed to."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from ordinaut import shapes
from ordinaut.store import audit
from ordinaut_api import objects, pages
from ordinaut_api.identity.guard import Call, guard
from ordinaut_api.routes.parameters import ListQuery, Text

MAX_ACTOR: Final = 512
_MAX_ID: Final = 2**63 - 1

router = APIRouter(prefix="/v1/namespaces/{namespace}/audit", tags=["audit"])


class AuditQuery(ListQuery):
    """Which lines are wanted."""

    actor: Text | None = Field(default=None, min_length=1, max_length=MAX_ACTOR)
    """What this caller did, as authority and user."""
    verb: str | None = Field(default=None, pattern="^[a-z]{1,32}$")
    """What was done: create, update, patch, delete, run, pause, …"""
    decision: Literal["Allowed", "Denied"] | None = None
    """Changes, or what was not allowed."""


@router.get("", operation_id="listAudit", summary="Read the audit trail", response_model=shapes.Page[shapes.AuditEntry])
async def list_(query: Annotated[AuditQuery, Query()], call: Annotated[Call, guard("list", "audit")]) -> Response:
    """Newest first: one line for each change, and one for each denial."""
    list_name = f"{call.namespace}/audit"
    before = pages.decode(query.cursor, list_name=list_name, read=_line)
    async with call.backend.connection() as connection:
        rows = await audit.list_(
            connection,
            namespace=call.namespace,
            limit=query.limit + 1,
            before=before,
            actor=query.actor,
            verb=query.verb,
            decision=query.decision,
        )
    part = pages.page(rows, limit=query.limit, list_name=list_name, position=lambda row: str(row.id))
    return await pages.answer(part, objects.audit_entry)


def _line(text: str) -> int:
    if not text.isdecimal() or len(text) > 19 or int(text) > _MAX_ID:  # noqa: PLR2004
        raise ValueError(text)
    return int(text)

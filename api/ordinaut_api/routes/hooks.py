"""Hooks: the doors for webhooks, and what comes in by them."""

from collections.abc import Callable, Sequence
from typing import Annotated

from fastapi import Response

from ordinaut import shapes
from ordinaut.store import status
from ordinaut.store.declared import Key
from ordinaut.store.pool import Connection
from ordinaut.store.status import DeclaredRow
from ordinaut_api import objects
from ordinaut_api.routes.declared import Shelf, declared_router
from ordinaut_api.routes.parameters import NameInPath
from ordinaut_api.webhooks import accepting
from ordinaut_api.webhooks.delivering import Delivery, signed


async def _page(connection: Connection, namespace: str, limit: int, after: str | None) -> list[DeclaredRow]:
    return await status.list_declared(connection, "Hook", namespace=namespace, limit=limit, after=after)


async def _row(connection: Connection, key: Key) -> DeclaredRow | None:
    rows = await status.list_declared(connection, "Hook", namespace=key.namespace, limit=1, name=key.name)
    return rows[0] if rows else None


async def _show(_connection: Connection, _rows: Sequence[DeclaredRow]) -> Callable[[DeclaredRow], shapes.Hook]:
    return objects.hook


async def _read(_connection: Connection, row: DeclaredRow) -> shapes.Hook:
    return objects.hook(row)


router = declared_router(Shelf("Hook", shapes.Hook, page=_page, row=_row, show=_show, read=_read))


@router.post(
    "/{name}",
    operation_id="deliverWebhook",
    summary="Deliver a webhook",
    status_code=202,
    response_model=shapes.DeliveryAccepted,
)
async def deliver(name: NameInPath, delivery: Annotated[Delivery, signed()]) -> Response:  # noqa: ARG001 - for the path
    """The signature is checked as the hook says, no token is asked for. Accepted means that the event is on disk."""
    return await accepting.accept(delivery)

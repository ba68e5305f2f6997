"""
The routes that pipelines and tools have alike: list, get, create or replace, delete.

``pipelines`` and ``tools`` each make their router here; tasks, which also have a clock and runs, have their own.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request, Response

from ordinaut.errors import NotFound
from ordinaut.store import status
from ordinaut.store.declared import Key, Kind
from ordinaut.store.pool import Connection
from ordinaut.store.status import DeclaredRow
from ordinaut_api import body, manifests, pages, schemas
from ordinaut_api.backend import UseBackend, UseConnection
from ordinaut_api.routes.parameters import ListQuery, NameInPath, NamespaceInPath

View = TypeVar("View", bound=schemas.Object)
Show = Callable[[Connection, Sequence[DeclaredRow]], Awaitable[list[View]]]


def manifest_body(kind: Kind) -> dict[str, Any]:
    """Return the part of OpenAPI that says what PUT takes."""
    schema = {
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": "ordinaut.io/v1alpha1"},
            "kind": {"const": kind},
            "metadata": {"type": "object"},
            "spec": {"type": "object"},
        },
    }
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def declared_router(kind: Kind, *, view: type[View], show: Show[View]) -> APIRouter:
    """Return the routes of one kind; ``show`` makes its answers from rows."""
    collection = manifests.COLLECTIONS[kind]
    router = APIRouter(prefix=f"/v1/namespaces/{{namespace}}/{collection}", tags=[collection])

    async def read(connection: Connection, key: Key) -> View:
        rows = await status.list_declared(connection, kind, namespace=key.namespace, limit=1, name=key.name)
        if not rows:
            raise NotFound(f"{key} does not exist.")
        return (await show(connection, rows))[0]

    @router.get("", response_model=schemas.Page[view], response_model_exclude_none=True)  # type: ignore[valid-type]
    async def list_(
        namespace: NamespaceInPath, query: Annotated[ListQuery, Query()], connection: UseConnection
    ) -> schemas.Page[View]:
        """List by name."""
        name = f"{namespace}/{collection}"
        after = pages.decode(query.cursor, list_name=name, read=str)
        rows = await status.list_declared(connection, kind, namespace=namespace, limit=query.limit + 1, after=after)
        found = pages.page(rows, limit=query.limit, list_name=name, position=lambda row: row.name)
        return schemas.Page(items=await show(connection, found.items), next_cursor=found.next_cursor)

    @router.get("/{name}", response_model=view, response_model_exclude_none=True)
    async def get(namespace: NamespaceInPath, name: NameInPath, connection: UseConnection) -> View:
        """Get one."""
        return await read(connection, Key(kind, namespace, name))

    @router.put(
        "/{name}",
        response_model=view,
        response_model_exclude_none=True,
        openapi_extra=manifest_body(kind),
        responses={201: {"model": view, "description": "Created"}},
    )
    async def put(
        namespace: NamespaceInPath, name: NameInPath, request: Request, response: Response, backend: UseBackend
    ) -> View:
        """Create or replace one from its manifest."""
        key = Key(kind, namespace, name)
        response.status_code = 201 if await manifests.put(backend, await body.read_object(request), key=key) else 200
        async with backend.connection() as connection:
            return await read(connection, key)

    @router.delete("/{name}", status_code=204)
    async def delete(namespace: NamespaceInPath, name: NameInPath, backend: UseBackend) -> None:
        """Delete one."""
        await manifests.delete(backend, key=Key(kind, namespace, name))

    return router

"""
The routes that pipelines and tools have alike: list, get, create or replace, delete.

``pipelines`` and ``tools`` each make their router here; tasks, which also have a clock and runs, have their own.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Response

from ordinaut import shapes
from ordinaut.errors import NotFound
from ordinaut.store import status
from ordinaut.store.declared import Key, Kind
from ordinaut.store.pool import Connection
from ordinaut.store.status import DeclaredRow
from ordinaut_api import body, manifests, pages
from ordinaut_api.backend import UseConnection
from ordinaut_api.change import Answer, perform
from ordinaut_api.identity.guard import Call, guard
from ordinaut_api.routes.parameters import ListQuery, NameInPath, NamespaceInPath

View = TypeVar("View", bound=shapes.Object)
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

    @router.get(
        "",
        dependencies=[guard("list", collection)],
        response_model=shapes.Page[view],  # type: ignore[valid-type]
        response_model_exclude_none=True,
    )
    async def list_(
        namespace: NamespaceInPath, query: Annotated[ListQuery, Query()], connection: UseConnection
    ) -> shapes.Page[View]:
        """List by name."""
        name = f"{namespace}/{collection}"
        after = pages.decode(query.cursor, list_name=name, read=str)
        rows = await status.list_declared(connection, kind, namespace=namespace, limit=query.limit + 1, after=after)
        found = pages.page(rows, limit=query.limit, list_name=name, position=lambda row: row.name)
        return shapes.Page(items=await show(connection, found.items), next_cursor=found.next_cursor)

    @router.get(
        "/{name}", dependencies=[guard("get", collection)], response_model=view, response_model_exclude_none=True
    )
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
        namespace: NamespaceInPath, name: NameInPath, call: Annotated[Call, guard("update", collection)]
    ) -> Response:
        """Create or replace one from its manifest."""
        key = Key(kind, namespace, name)
        found = await manifests.read(await body.read_object(call.request), key=key)

        async def work(connection: Connection) -> Answer:
            created = await manifests.put(connection, found)
            return Answer(201 if created else 200, await read(connection, key))

        return await perform(call, work, object_=manifests.path(key))

    @router.delete("/{name}", status_code=204)
    async def delete(
        namespace: NamespaceInPath, name: NameInPath, call: Annotated[Call, guard("delete", collection)]
    ) -> Response:
        """Delete one."""
        key = Key(kind, namespace, name)

        async def work(connection: Connection) -> Answer:
            await manifests.delete(connection, key=key)
            return Answer(204)

        return await perform(call, work, object_=manifests.path(key))

    return router

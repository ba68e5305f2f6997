"""
The routes that tasks, pipelines, tools and hooks have alike: list, get, create, replace, patch, delete.

``tasks``, ``pipelines``, ``tools`` and ``hooks`` each describe their :class:`Shelf` and make their router here. A
change answers with the object as it is after it, and its ETag.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import APIRouter, Query, Response

from ordinaut import shapes
from ordinaut.access.rights import Right
from ordinaut.computing import compute
from ordinaut.errors import Conflict
from ordinaut.states import Origin
from ordinaut.store.declared import Declared, Key, Kind, Owner
from ordinaut.store.pool import Connection
from ordinaut.store.status import DeclaredRow, TaskRow
from ordinaut_api import answers, body, manifests, pages
from ordinaut_api.change import Answer, RightMissing, perform
from ordinaut_api.identity.guard import Call, guard
from ordinaut_api.preconditions import Preconditions, check, etag, preconditions
from ordinaut_api.routes.parameters import ListQuery, NameInPath
from ordinaut_api.unchanged import Unchanged

PATCH_ATTEMPTS: Final = 5
"""How often a patch is made anew because the object changed meanwhile."""


AnyRow = TypeVar("AnyRow", TaskRow, DeclaredRow)
View = TypeVar("View", bound=shapes.Object)


@dataclass(frozen=True, slots=True)
class Shelf(Generic[AnyRow, View]):
    """
    Where the objects of a kind are read.

    ``page`` returns rows by name (connection, namespace, rows wanted, name to start after), ``row`` one of them.
    ``show`` reads what else a list of views needs and returns what makes a view of a row; ``read`` returns everything
    about one; where a view is made of its row and nothing else, ``unchanged`` keeps the JSON of it.
    """

    kind: Kind
    view: type[View]
    page: Callable[[Connection, str, int, str | None], Awaitable[list[AnyRow]]]
    row: Callable[[Connection, Key], Awaitable[AnyRow | None]]
    show: Callable[[Connection, Sequence[AnyRow]], Awaitable[Callable[[AnyRow], View]]]
    read: Callable[[Connection, AnyRow], Awaitable[View]]
    unchanged: Unchanged[AnyRow] | None = None

    async def view_of(self, connection: Connection, key: Key) -> View:
        """Return everything about one object, or raise `NotFound`."""
        return await self.read(connection, await self.existing(connection, key))

    async def existing(self, connection: Connection, key: Key) -> AnyRow:
        """Return the row of an object, or raise `NotFound`."""
        row = await self.row(connection, key)
        if row is None:
            raise manifests.unknown(key)
        return row

    async def content_of(self, connection: Connection, key: Key, row: AnyRow) -> bytes:
        """Return everything about one object as JSON."""
        if self.unchanged is None:
            return answers.content(await self.read(connection, row))
        known = self.unchanged.get(key, row)
        return known or self.unchanged.keep(key, row, answers.content(await self.read(connection, row)))

    async def shown(self, connection: Connection, key: Key, *, status: int = 200, **headers: str) -> Answer:
        """Return the answer to a change of an object."""
        view = await self.view_of(connection, key)
        return Answer(status, view, {**answers.tagged(view), **headers})


def declared_router(shelf: Shelf[AnyRow, View]) -> APIRouter:
    """Return the routes of one kind."""
    collection = manifests.COLLECTIONS[shelf.kind]
    router = APIRouter(prefix=f"/v1/namespaces/{{namespace}}/{collection}", tags=[collection])
    for add in (_reading, _creating, _replacing, _patching, _deleting):
        add(router, shelf)
    return router


def _reading(router: APIRouter, shelf: Shelf[AnyRow, View]) -> None:
    kind, view = shelf.kind, shelf.view
    collection = manifests.COLLECTIONS[kind]

    @router.get("", operation_id=f"list{kind}s", summary=f"List {collection}", response_model=shapes.Page[view])  # type: ignore[valid-type]
    async def list_(query: Annotated[ListQuery, Query()], call: Annotated[Call, guard("list", collection)]) -> Response:
        name = f"{call.namespace}/{collection}"
        after = pages.decode(query.cursor, list_name=name, read=str)
        async with call.backend.connection() as connection:

            async def read(count: int, last: AnyRow | None) -> list[AnyRow]:
                return await shelf.page(connection, call.namespace, count, last.name if last else after)

            rows, more = await pages.collect(read, limit=query.limit, weight=lambda row: (row.spec, row.annotations))
            show = await shelf.show(connection, rows)
        part = pages.part(rows, more=more, list_name=name, position=lambda row: row.name)
        return await pages.answer(part, show)

    @router.get("/{name}", operation_id=f"get{kind}", summary=f"Get a {kind.lower()}", response_model=view)
    async def get(name: NameInPath, call: Annotated[Call, guard("get", collection)]) -> Response:
        key = Key(kind, call.namespace, name)
        async with call.backend.connection() as connection:
            row = await shelf.existing(connection, key)
            content = await shelf.content_of(connection, key, row)
        return answers.written(content, headers={"ETag": etag(row.uid, row.version)})


def _creating(router: APIRouter, shelf: Shelf[AnyRow, View]) -> None:
    kind, view = shelf.kind, shelf.view
    collection = manifests.COLLECTIONS[kind]

    @router.post(
        "",
        operation_id=f"create{kind}",
        summary=f"Create a {kind.lower()}",
        status_code=201,
        response_model=view,
    )
    async def create(call: Annotated[Call, guard("create", collection)]) -> Response:
        sent = await body.read(call.request)
        found = await compute(manifests.check, sent.document, kind=kind, namespace=call.namespace)

        async def work(connection: Connection) -> Answer:
            await manifests.declare(connection, [found], call=call, admit=_only_new)
            location = f"/v1/namespaces/{call.namespace}/{manifests.path(found.key)}"
            return await shelf.shown(connection, found.key, status=201, Location=location)

        return await perform(call, work, object_=manifests.path(found.key), body=sent.raw)


def _replacing(router: APIRouter, shelf: Shelf[AnyRow, View]) -> None:
    kind, view = shelf.kind, shelf.view
    collection = manifests.COLLECTIONS[kind]

    @router.put(
        "/{name}",
        operation_id=f"replace{kind}",
        summary=f"Create or replace a {kind.lower()}",
        response_model=view,
        responses={201: {"model": view, "description": "Created"}},
    )
    async def put(name: NameInPath, call: Annotated[Call, guard("update", collection)]) -> Response:
        wanted = preconditions(call.request.headers)
        sent = await body.read(call.request)
        found = await compute(manifests.check, sent.document, kind=kind, namespace=call.namespace, name=name)
        create = Right("create", collection)
        # Asked before the transaction: the answer may have to come from the API server.
        may_create = not wanted.demands_existence and await call.backend.gatekeeper.allows(
            call.caller, create, namespace=call.namespace
        )

        def admit(key: Key, owner: Owner | None) -> None:
            check(wanted, key=key, owner=owner)
            if owner is None and not may_create:
                raise RightMissing(create)

        async def work(connection: Connection) -> Answer:
            (outcome,) = await manifests.declare(connection, [found], call=call, admit=admit)
            return await shelf.shown(connection, found.key, status=201 if outcome.result == "created" else 200)

        return await perform(call, work, object_=manifests.path(found.key))


def _patching(router: APIRouter, shelf: Shelf[AnyRow, View]) -> None:
    kind, view = shelf.kind, shelf.view
    collection = manifests.COLLECTIONS[kind]

    @router.patch(
        "/{name}", operation_id=f"patch{kind}", summary=f"Change parts of a {kind.lower()}", response_model=view
    )
    async def patch(name: NameInPath, call: Annotated[Call, guard("patch", collection)]) -> Response:
        wanted = preconditions(call.request.headers)
        sent = await body.read(call.request, media=body.MERGE_PATCH)
        manifests.refuse_server_fields(sent.document)
        key = Key(kind, call.namespace, name)
        for _ in range(PATCH_ATTEMPTS):
            basis, found = await _patched(call, shelf, key=key, patch=sent.document, wanted=wanted)
            try:
                return await perform(call, _replace(call, shelf, found=found, basis=basis), object_=manifests.path(key))
            except _ChangedMeanwhile:
                continue
        raise Conflict(f"{key} is being changed by others all the time; try again.")


def _deleting(router: APIRouter, shelf: Shelf[AnyRow, View]) -> None:
    kind = shelf.kind
    collection = manifests.COLLECTIONS[kind]

    @router.delete("/{name}", operation_id=f"delete{kind}", summary=f"Delete a {kind.lower()}", status_code=204)
    async def delete(name: NameInPath, call: Annotated[Call, guard("delete", collection)]) -> Response:
        wanted = preconditions(call.request.headers)
        key = Key(kind, call.namespace, name)

        async def work(connection: Connection) -> Answer:
            await manifests.delete(connection, key=key, wanted=wanted)
            return Answer(204)

        return await perform(call, work, object_=manifests.path(key))


def _only_new(key: Key, owner: Owner | None) -> None:
    manifests.leave_to_owner(key, owner)
    if owner is not None:
        raise Conflict(f"{key} exists already: replace it with PUT, change it with PATCH, or take another name.")


class _ChangedMeanwhile(Exception):
    """What a patch was made of is not what is stored any more."""


async def _patched(
    call: Call, shelf: Shelf[AnyRow, View], *, key: Key, patch: Mapping[str, Any], wanted: Preconditions
) -> tuple[str, Declared]:
    """
    Return the ETag of the stored object and what a patch makes of it.

    Outside of the transaction: checking the result takes a while, and nobody else's change need wait for it.
    """
    async with call.backend.connection() as connection:
        row = await shelf.row(connection, key)
    if row is None:
        raise manifests.unknown(key)
    owner = Owner(Origin(row.origin), row.uid, version=row.version)
    manifests.leave_to_owner(key, owner)
    check(wanted, key=key, owner=owner)
    basis = etag(row.uid, row.version)
    document = manifests.written(key, spec=row.spec, labels=row.labels, annotations=row.annotations)
    result = manifests.patched(document, patch)
    return basis, await compute(manifests.check, result, kind=key.kind, namespace=key.namespace, name=key.name)


def _replace(
    call: Call, shelf: Shelf[AnyRow, View], *, found: Declared, basis: str
) -> Callable[[Connection], Awaitable[Answer]]:
    def admit(key: Key, owner: Owner | None) -> None:
        if owner is None:
            raise manifests.unknown(key)
        manifests.leave_to_owner(key, owner)
        if etag(owner.uid, owner.version) != basis:
            raise _ChangedMeanwhile

    async def work(connection: Connection) -> Answer:
        await manifests.declare(connection, [found], call=call, admit=admit)
        return await shelf.shown(connection, found.key)

    return work

"""
What tasks, pipelines, tools and hooks have alike: list, get, create, put, patch, delete.

``tasks`` adds the verbs of tasks. Manifests go in as dicts, as they stand in YAML files; objects come out.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, Generic, TypeVar
from uuid import uuid4

from ordinaut.client.connection import IF_MATCH, KEY, Call, Connection, segment
from ordinaut.client.errors import WrongName
from ordinaut.client.reading import Json, Reader

View = TypeVar("View")

PAGE: Final = 500
"""Items asked for at once, the most that the API gives."""

MERGE_PATCH: Final = "application/merge-patch+json"


class Namespaced:
    """What belongs to one namespace: its path, the connection to it, and how answers become objects."""

    def __init__(self, connection: Connection, *, namespace: str, read: Reader) -> None:
        self._connection = connection
        self._base = f"/v1/namespaces/{segment(namespace)}"
        self._read = read

    def _path(self, *names: str) -> str:
        """Return a path in the namespace, from names that may hold anything."""
        return "/".join([self._base, *(segment(name) for name in names)])

    async def _ask(self, shape: str, call: Call) -> Any:
        return self._read(shape, await self._connection.ask(call))

    async def _pages(
        self, shape: str, path: str, *, limit: int | None = None, at_once: int | None = PAGE, **query: object
    ) -> AsyncIterator[Any]:
        """Yield the items of a list, page by page, at most ``limit``; ``at_once`` None lets the API choose the size."""
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            size = at_once if left is None or at_once is None else min(at_once, left)
            page = await self._connection.ask(Call("GET", path, {"limit": size, "cursor": cursor, **query}))
            for item in page["items"]:
                yield self._read(shape, item)
            left = None if left is None else left - len(page["items"])
            cursor = page.get("nextCursor")
            if cursor is None:
                return


class Declared(Namespaced, Generic[View]):
    """One collection of declared objects."""

    def __init__(self, connection: Connection, *, namespace: str, read: Reader, collection: str, shape: str) -> None:
        super().__init__(connection, namespace=namespace, read=read)
        self._collection = collection
        self._shape = shape

    def list(self, *, limit: int | None = None) -> AsyncIterator[View]:
        """Yield all objects by name, or the first ``limit``; pages are fetched as they are needed."""
        return self._pages(self._shape, self._path(self._collection), limit=limit)

    async def get(self, name: str) -> View:
        """Return an object; raises ``NotFound``."""
        return await self._one(Call("GET", self._path(self._collection, name)))

    async def create(self, manifest: Mapping[str, Any], *, idempotency_key: str | None = None) -> View:
        """Create an object; raises ``Conflict`` if its name is taken."""
        headers = keyed(idempotency_key)
        return await self._one(Call("POST", self._path(self._collection), body=manifest, headers=headers))

    async def put(self, manifest: Mapping[str, Any], *, if_match: object = None) -> View:
        """
        Create or replace the object of the manifest's name.

        With ``if_match``, an object that was read before or its ETag, it is only replaced if it has not changed
        since; else raises ``PreconditionFailed``.
        """
        path = self._path(self._collection, name_in(manifest))
        return await self._one(Call("PUT", path, body=manifest, headers=matching(if_match)))

    async def patch(self, name: str, changes: Mapping[str, Any], *, if_match: object = None) -> View:
        """Change parts of an object by a JSON merge patch (RFC 7396): what is ``None`` is taken away."""
        path = self._path(self._collection, name)
        headers = matching(if_match)
        return await self._one(Call("PATCH", path, body=changes, media_type=MERGE_PATCH, headers=headers))

    async def delete(self, name: str, *, if_match: object = None) -> None:
        """Delete an object."""
        call = Call("DELETE", self._path(self._collection, name), headers=matching(if_match))
        await self._connection.ask(call)

    async def _one(self, call: Call) -> View:
        found: View = await self._ask(self._shape, call)
        return found


def keyed(key: str | None) -> dict[str, str]:
    """Return the header that makes a POST safe to repeat; a new key for each request unless the caller has one."""
    return {KEY: key or str(uuid4())}


def matching(condition: object) -> dict[str, str]:
    """Return the header for a condition: an ETag, or an object as it was read; nothing for None."""
    return {} if condition is None else {IF_MATCH: condition if isinstance(condition, str) else etag(condition)}


def etag(found: object) -> str:
    """Return the ETag of an object that the API gave."""
    if isinstance(found, Mapping):
        uid, version = found["metadata"]["uid"], found["metadata"].get("resourceVersion")
    else:
        metadata: Any = getattr(found, "metadata")  # noqa: B009 - any shape with metadata will do
        uid, version = metadata.uid, metadata.resource_version
    if version is None:
        raise ValueError("this object has no version: only tasks, pipelines, tools and hooks do")
    return f'"{uid}.{version}"'


def name_in(manifest: Mapping[str, Any]) -> str:
    """Return the name in a manifest, for the path."""
    metadata = manifest.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if isinstance(name, str) and name:
        return name
    raise WrongName("metadata.name: the manifest has no name; write it like morning-briefing")


def given(**fields: object) -> Json:
    """Return the fields that have a value."""
    return {name: value for name, value in fields.items() if value is not None}

"""
Declaring objects through the API: what PUT and DELETE of tasks, pipelines and tools have in common.

Such objects live in PostgreSQL only (origin API) and otherwise run exactly like those of resources. A name that a
resource or a file of the watched directory has is left alone: its owner is named, and edits belong there.
"""

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from ordinaut.declaration import examine
from ordinaut.declaration.apply import apply_in, remove_in
from ordinaut.errors import Conflict, FieldError, Invalid, NotFound
from ordinaut.resources.original import from_original
from ordinaut.states import Origin
from ordinaut.store import declared
from ordinaut.store.declared import Declared, Incarnation, Key, Kind, Owner
from ordinaut.store.pool import Connection

COLLECTIONS: Final[Mapping[Kind, str]] = {"Task": "tasks", "Pipeline": "pipelines", "Tool": "tools"}


async def put(connection: Connection, found: Declared) -> bool:
    """
    Create or replace an object, as part of a transaction; return whether it is new.

    Raises:
        Conflict: the name belongs to somebody else.
    """
    key = found.key
    await declared.lock_namespaces(connection, [key.namespace])
    owner = (await declared.owners(connection, [key])).get(key)
    if owner and owner.origin is not Origin.API:
        raise owned(key, owner)
    uid = owner.uid if owner else str(uuid.uuid4())
    await apply_in(connection, [replace(found, uid=uid)], origin=Origin.API)
    return owner is None


async def delete(connection: Connection, *, key: Key) -> None:
    """Delete the object that ``key`` names; raises `NotFound` or, when it belongs to somebody else, `Conflict`."""
    await declared.lock_namespaces(connection, [key.namespace])
    owner = (await declared.owners(connection, [key])).get(key)
    if owner is None:
        raise NotFound(f"{key} does not exist.")
    if owner.origin is not Origin.API:
        raise owned(key, owner)
    await remove_in(connection, [Incarnation(key, owner.uid)], origin=Origin.API)


def path(key: Key) -> str:
    """Return the path of an object within its namespace."""
    return f"{COLLECTIONS[key.kind]}/{key.name}"


def owned(key: Key, owner: Owner) -> Conflict:
    """Return the refusal to touch what somebody else owns, naming the owner and where to turn."""
    if owner.origin is Origin.KUBERNETES:
        belongs = (
            f"the Kubernetes resource {key.kind} {key.namespace}/{key.name} (uid {owner.uid}): edit it with kubectl"
        )
    elif owner.origin is Origin.DIRECTORY:
        belongs = "a manifest in the directory that `ordinaut dev` watches: edit that file"
    else:
        belongs = "the API: try again"
    return Conflict(f"{key} belongs to {belongs}, or take another name.")


def addressed(document: object, *, namespace: str) -> object:
    """Return the manifest with the namespace of its path, unless it names one itself."""
    metadata = document.get("metadata") if isinstance(document, Mapping) else None
    if not isinstance(document, Mapping) or not isinstance(metadata, Mapping):
        return document  # which the models refuse in their own words
    return {**document, "metadata": {"namespace": namespace, **metadata}}


async def read(document: object, *, key: Key) -> Declared:
    """Return a checked object; checking may take some milliseconds of CPU, which other requests need not wait for."""
    return await asyncio.to_thread(_declared, document, key=key)


def _declared(document: object, *, key: Key) -> Declared:
    """Return the checked object; raises `Invalid` also where the manifest contradicts its path."""
    found = examine.declared(examine.check(addressed(from_original(document), namespace=key.namespace)))
    parts = {
        "kind": (found.key.kind, key.kind),
        "metadata.namespace": (found.key.namespace, key.namespace),
        "metadata.name": (found.key.name, key.name),
    }
    mistakes = [
        FieldError(field, given, f"the path says {expected}", "make the two the same")
        for field, (given, expected) in parts.items()
        if given != expected
    ]
    if mistakes:
        raise Invalid(mistakes)
    return found

"""
Declaring objects through the API: what creating, replacing, patching and deleting objects of any kind share.

Such objects live in PostgreSQL only (origin API) and otherwise run exactly like those of resources. A name that a
resource or a file of the watched directory has is left alone: its owner is named, and edits belong there. Everything
that changes the store is part of the caller's transaction and holds the lock of the namespace.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal

from ordinaut.computing import compute
from ordinaut.declaration import examine
from ordinaut.declaration.apply import apply_in, remove_in
from ordinaut.errors import Conflict, FieldError, Invalid, NotFound
from ordinaut.resources.manifest import API_VERSION, not_yours
from ordinaut.resources.metadata import SERVER_FIELDS
from ordinaut.resources.original import from_original
from ordinaut.states import Origin
from ordinaut.store import declared, quotas
from ordinaut.store.declared import Declared, Incarnation, Key, Kind, Owner
from ordinaut.store.ids import new_uids
from ordinaut.store.pool import Connection
from ordinaut_api.identity.guard import Call
from ordinaut_api.preconditions import Preconditions
from ordinaut_api.preconditions import check as check_preconditions
from ordinaut_api.problems import Problem, ProblemError

COLLECTIONS: Final[Mapping[Kind, str]] = {
    "Task": "tasks",
    "Pipeline": "pipelines",
    "Tool": "tools",
    "Hook": "hooks",
}

Admit = Callable[[Key, Owner | None], None]
"""Decides, by raising, whether an object may be declared over what has its name now."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one object."""

    key: Key
    uid: str
    result: Literal["created", "replaced", "unchanged"]


async def declare(connection: Connection, found: Sequence[Declared], *, call: Call, admit: Admit) -> list[Outcome]:
    """
    Create or replace objects of one kind in the namespace of a call; each has a name of its own.

    Raises:
        Conflict: a name belongs to somebody else.
        ProblemError: there would be more objects than the namespace may have, or what ``admit`` raises.
    """
    await declared.lock_namespaces(connection, [call.namespace])
    owners = await declared.owners(connection, [one.key for one in found])
    await asyncio.sleep(0)  # to read a thousand of them took some milliseconds
    for one in found:
        admit(one.key, owners.get(one.key))
    for one in found:
        leave_to_owner(one.key, owners.get(one.key))
    new = [one.key for one in found if one.key not in owners]
    if new:
        await _keep_quota(connection, new, call=call)
    made = dict(zip(new, new_uids(len(new)), strict=True))
    uids = {one.key: made.get(one.key) or owners[one.key].uid for one in found}
    named = partial(_with_uids, found, uids)
    objects = named() if len(found) == 1 else await compute(named)
    applied = await apply_in(connection, objects, origin=Origin.API, by=call.caller, owners=owners)
    changed = set(applied.changed)
    return [
        Outcome(key, uid, "created" if key not in owners else "replaced" if key in changed else "unchanged")
        for key, uid in uids.items()
    ]


def _with_uids(found: Sequence[Declared], uids: Mapping[Key, str]) -> list[Declared]:
    return [replace(one, uid=uids[one.key]) for one in found]


async def delete(connection: Connection, *, key: Key, wanted: Preconditions) -> None:
    """Delete the object that ``key`` names; raises `NotFound`, a problem (412) or, if somebody else's, `Conflict`."""
    owner = await owned(connection, key=key, wanted=wanted)
    leave_to_owner(key, owner)
    await remove_in(connection, [Incarnation(key, owner.uid)], origin=Origin.API)


async def owned(connection: Connection, *, key: Key, wanted: Preconditions) -> Owner:
    """Return who has a name, under the lock of its namespace; raises `NotFound` or a problem (412)."""
    await declared.lock_namespaces(connection, [key.namespace])
    owner = (await declared.owners(connection, [key])).get(key)
    if owner is None:
        raise unknown(key)
    check_preconditions(wanted, key=key, owner=owner)
    return owner


async def _keep_quota(connection: Connection, new: Sequence[Key], *, call: Call) -> None:
    collection = COLLECTIONS[new[0].kind]
    limit = getattr(call.backend.limits, collection)
    used = getattr(await quotas.usage(connection, namespace=call.namespace), collection)
    if used + len(new) > limit:
        detail = (
            f"Namespace {call.namespace} has {used} {collection} made through the API, and {limit} are allowed: "
            f"delete some, or ask for a higher ORDINAUT_API_MAX_{collection.upper()}."
        )
        raise ProblemError(Problem(403, detail, slug="quota-exceeded"))


def path(key: Key) -> str:
    """Return the path of an object within its namespace."""
    return f"{COLLECTIONS[key.kind]}/{key.name}"


def unknown(key: Key) -> NotFound:
    """Return the refusal to do anything with what does not exist."""
    return NotFound(f"{key} does not exist.")


def leave_to_owner(key: Key, owner: Owner | None) -> None:
    """Raise `Conflict`, naming the owner and where to turn, for what was not made through the API."""
    if owner is None or owner.origin is Origin.API:
        return
    if owner.origin is Origin.KUBERNETES:
        belongs = (
            f"the Kubernetes resource {key.kind} {key.namespace}/{key.name} (uid {owner.uid}): edit it with kubectl"
        )
    else:
        belongs = "a manifest in the directory that `ordinaut dev` watches: edit that file"
    raise Conflict(f"{key} belongs to {belongs}, or take another name.")


def check(document: object, *, kind: Kind, namespace: str, name: str | None = None) -> Declared:
    """
    Return a checked object; takes some milliseconds of CPU, so call it beside the event loop.

    Raises `Invalid` also where the manifest contradicts the kind, namespace or ``name`` of its path.
    """
    found = examine.declared(examine.check(_addressed(from_original(document), namespace=namespace)))
    parts = [
        ("kind", found.key.kind, kind),
        ("metadata.namespace", found.key.namespace, namespace),
        ("metadata.name", found.key.name, name or found.key.name),
    ]
    mistakes = [
        FieldError(field, given, f"the path says {expected}", "make the two the same")
        for field, given, expected in parts
        if given != expected
    ]
    if mistakes:
        raise Invalid(mistakes)
    return found


def _addressed(document: object, *, namespace: str) -> object:
    """Return the manifest with the namespace of its path, unless it names one itself."""
    metadata = document.get("metadata") if isinstance(document, Mapping) else None
    if not isinstance(document, Mapping) or not isinstance(metadata, Mapping):
        return document  # which the models refuse in their own words
    if metadata.get("namespace") is None:
        metadata = {**metadata, "namespace": namespace}
    return {**document, "metadata": metadata}


def written(key: Key, *, spec: Any, labels: Mapping[str, str], annotations: Mapping[str, str]) -> dict[str, Any]:
    """Return the manifest that would declare a stored object: what a patch is applied to."""
    metadata = {"name": key.name, "namespace": key.namespace, "labels": labels, "annotations": annotations}
    return {"apiVersion": API_VERSION, "kind": key.kind, "metadata": metadata, "spec": spec}


def patched(target: object, patch: object) -> object:
    """Return ``target`` after a merge patch (RFC 7396): objects are merged, null removes, all else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = patched(result.get(name), value)
    return result


def refuse_server_fields(patch: Mapping[str, Any]) -> None:
    """Raise `Invalid` if a patch names what only the server sets, even to remove it."""
    metadata = patch.get("metadata")
    named = ["status"] if "status" in patch else []
    if isinstance(metadata, Mapping):
        named += [f"metadata.{name}" for name in SERVER_FIELDS if name in metadata]
    if named:
        raise Invalid([not_yours(field, []) for field in named])

"""
Declaring many tasks at once: one request, one transaction, all or none.

Agents that plan a week make hundreds of small tasks; each by itself would be a commit of its own. The route of
``tasks:batch`` calls :func:`declare`. The batches of one caller are taken one after the other: each fills the memory
with objects and the event loop with work, and together they would get done no sooner.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final
from weakref import WeakValueDictionary

from fastapi import Response

from ordinaut import shapes
from ordinaut.access.rights import Right
from ordinaut.computing import compute
from ordinaut.errors import Conflict, FieldError, Invalid, Mistake, Mistakes
from ordinaut.states import Origin
from ordinaut.store.declared import Declared, Key, Owner
from ordinaut.store.pool import Connection
from ordinaut_api import body, manifests
from ordinaut_api.change import Answer, RightMissing, perform
from ordinaut_api.identity.guard import Call
from ordinaut_api.problems import Problem, ProblemError

MAX_ITEMS: Final = 1000

_REPLACE: Final = Right("update", "tasks")


_turns: Final[WeakValueDictionary[str, asyncio.Lock]] = WeakValueDictionary()
"""By caller; a lock is kept by those who hold it or wait for it."""


async def declare(call: Call) -> Response:
    """Create or replace the tasks in the body of a request."""
    async with _turns.setdefault(call.caller.id, asyncio.Lock()):
        return await _declare(call)


async def _declare(call: Call) -> Response:
    sent = await body.read(call.request, limit=body.MAX_BATCH)
    found = await compute(_checked, sent.document, namespace=call.namespace)
    # Asked before the transaction: the answer may have to come from the API server.
    may_replace = await call.backend.gatekeeper.allows(call.caller, _REPLACE, namespace=call.namespace)
    taken: list[FieldError] = []

    def admit(key: Key, owner: Owner | None) -> None:
        if owner is not None and owner.origin is not Origin.API:
            taken.append(_taken(key, owner, found))
        elif owner is not None and not may_replace:
            raise RightMissing(_REPLACE)

    async def work(connection: Connection) -> Answer:
        taken.clear()
        try:
            outcomes = await manifests.declare(connection, found, call=call, admit=admit)
        except Conflict:
            if not taken:
                raise
            raise _names_taken(taken) from None
        return Answer(200, await compute(_result, outcomes))

    names = [one.key.name for one in found]
    return await perform(call, work, object_="tasks:batch", body=sent.raw, detail={"names": names})


def _result(outcomes: Sequence[manifests.Outcome]) -> shapes.BatchResult:
    items = [shapes.BatchItem(name=one.key.name, uid=one.uid, result=one.result) for one in outcomes]
    return shapes.BatchResult(items=items)


def _checked(document: Mapping[str, Any], *, namespace: str) -> list[Declared]:
    """Return the tasks of a batch, or raise `Invalid` with the mistakes of all of them."""
    mistakes = Mistakes()
    found = []
    for index, item in enumerate(_items(document)):
        with mistakes.caught(under=f"items[{index}]"):
            found.append(manifests.check(item, kind="Task", namespace=namespace))
    mistakes.raise_any()
    _refuse_repeated(found)
    return found


def _items(document: Mapping[str, Any]) -> list[Any]:
    if unknown := [name for name in document if name != "items"]:
        raise Invalid([FieldError(name, None, "", "leave it out", Mistake.UNKNOWN) for name in unknown])
    items = document.get("items")
    if items is None:
        raise Invalid([FieldError("items", None, "", "", Mistake.REQUIRED)])
    if not isinstance(items, list) or not 1 <= len(items) <= MAX_ITEMS:
        raise Invalid([FieldError("items", [], f"not a list of 1 to {MAX_ITEMS}", "send more in further batches")])
    return items


def _refuse_repeated(found: Sequence[Declared]) -> None:
    first: dict[str, int] = {}
    mistakes = []
    for index, one in enumerate(found):
        earlier = first.setdefault(one.key.name, index)
        if earlier != index:
            message = f"items[{earlier}] has the same name"
            mistakes.append(FieldError(f"items[{index}].metadata.name", one.key.name, message, "give it another"))
    if mistakes:
        raise Invalid(mistakes)


def _taken(key: Key, owner: Owner, found: Sequence[Declared]) -> FieldError:
    index = next(index for index, one in enumerate(found) if one.key == key)
    try:
        manifests.leave_to_owner(key, owner)
    except Conflict as conflict:
        said = str(conflict)
    return FieldError(f"items[{index}].metadata.name", key.name, said, "")


def _names_taken(taken: Sequence[FieldError]) -> ProblemError:
    detail = f"{len(taken)} of the names belong to others; nothing has been changed. {taken[0].message}"
    return ProblemError(Problem(409, detail, taken))

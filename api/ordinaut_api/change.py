"""
Changing something: one transaction for the change, its line in the audit trail, and the answer to its Idempotency-Key.

Routes that change something hand their work to :func:`perform`. What they do is committed as a whole or not at all:
whoever has an answer has a durable one, and whoever sends the request again with the same key gets the same answer.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel
from starlette.responses import Response

from ordinaut.access.rights import Right
from ordinaut.errors import FieldError, Invalid
from ordinaut.store import audit, idempotency
from ordinaut.store.pool import Connection
from ordinaut_api import answers
from ordinaut_api.identity.guard import Call
from ordinaut_api.problems import Problem, ProblemError, right_missing

KEY: Final = "Idempotency-Key"
MAX_KEY: Final = 255

REPLAYED: Final = "Idempotency-Replayed"
"""Header of an answer that was given before."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a change is answered with."""

    status: int
    content: BaseModel | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        """Return the content as JSON; nothing for an answer without content."""
        return b"" if self.content is None else answers.content(self.content)


Work = Callable[[Connection], Awaitable[Answer]]


class RightMissing(Exception):
    """Work that turned out to need one more right, which its caller does not hold."""

    def __init__(self, right: Right) -> None:
        super().__init__(str(right))
        self.right = right


async def perform(
    call: Call, work: Work, *, object_: str, body: bytes = b"", detail: Mapping[str, Any] | None = None
) -> Response:
    """
    Do ``work`` in a transaction and return its answer.

    Args:
        call: the request, its caller and the right that it used.
        work: changes the store as part of the transaction; what it raises undoes everything.
        object_: what is changed, as a path within the namespace (``tasks/morning-briefing``), for the audit trail.
        body: the raw body, which must be the same if the Idempotency-Key comes again.
        detail: more for the audit trail.

    Raises:
        ProblemError: the key was used for another request (409), or the caller lacks a right (403).
    """
    claim = _claim(call, body)
    try:
        return await _transact(call, work, object_=object_, claim=claim, detail=detail)
    except RightMissing as missing:
        refusal = missing.right
    # After the transaction has been undone: the denial stays in the audit trail.
    await call.backend.deny(call.caller, refusal, namespace=call.namespace, request=call.request)
    raise ProblemError(right_missing(call.caller.user, refusal, namespace=call.namespace))


async def _transact(
    call: Call, work: Work, *, object_: str, claim: idempotency.Claim | None, detail: Mapping[str, Any] | None
) -> Response:
    async with call.backend.connection() as connection, connection.transaction():
        if claim and (earlier := await idempotency.claim(connection, claim)):
            return _again(earlier, claim)
        answer = await work(connection)
        content = answer.body()
        await audit.append(
            connection,
            actor=call.caller.id,
            verb=call.right.deed,
            namespace=call.namespace,
            object_=object_,
            decision="Allowed",
            request_id=call.request.state.request_id,
            detail=detail,
        )
        if claim:
            kept = idempotency.Answer(claim.digest, answer.status, dict(answer.headers), content)
            await idempotency.keep(connection, claim, kept)
    return _response(answer.status, content, answer.headers)


def _claim(call: Call, body: bytes) -> idempotency.Claim | None:
    keys = call.request.headers.getlist(KEY)
    if not keys or call.request.method != "POST":
        return None
    key = keys[0]
    if len(keys) > 1:
        raise Invalid([FieldError(KEY, key, "there are several", "send one")])
    if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        raise Invalid([FieldError(KEY, key, f"not 1 to {MAX_KEY} printable ASCII characters", "send a UUID")])
    url = call.request.url
    digest = hashlib.sha256(b"\n".join([url.path.encode(), url.query.encode(), body])).digest()
    return idempotency.Claim(call.namespace, call.caller.id, call.request.scope["route"].path, key, digest)


def _again(earlier: idempotency.Answer, claim: idempotency.Claim) -> Response:
    if earlier.digest != claim.digest:
        detail = f"{KEY} {claim.key} was used for another request; send a new key with each new request."
        raise ProblemError(Problem(409, detail, slug="idempotency-conflict"))
    return _response(earlier.status, earlier.body, {**earlier.headers, REPLAYED: "true"})


def _response(status: int, body: bytes, headers: Mapping[str, str]) -> Response:
    fresh = {**answers.FRESH, **headers}
    return Response(body, status, fresh, media_type="application/json" if body else None)

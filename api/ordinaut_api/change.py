"""
Changing something: one transaction for the change, its line in the audit trail, and the answer to its Idempotency-Key.

Routes that change something hand their work to :func:`perform`. What they do is committed as a whole or not at all:
whoever has an answer has a durable one, and whoever sends the request again with the same key gets the same answer.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel
from starlette.responses import Response

from ordinaut.errors import Conflict, FieldError, Invalid
from ordinaut.store import audit, idempotency
from ordinaut.store.pool import Connection
from ordinaut_api.identity.guard import Call

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
        return b"" if self.content is None else self.content.model_dump_json(by_alias=True, exclude_none=True).encode()


Work = Callable[[Connection], Awaitable[Answer]]


async def perform(call: Call, work: Work, *, object_: str, body: bytes = b"") -> Response:
    """
    Do ``work`` in a transaction and return its answer.

    Args:
        call: the request, its caller and the right that it used.
        work: changes the store as part of the transaction; what it raises undoes everything.
        object_: what is changed, as a path within the namespace (``tasks/morning-briefing``), for the audit trail.
        body: the raw body, which must be the same if the Idempotency-Key comes again.

    Raises:
        Conflict: the key was used for another request.
    """
    claim = _claim(call, body)
    async with call.backend.connection() as connection, connection.transaction():
        if claim and (earlier := await idempotency.claim(connection, claim)):
            return _again(earlier, claim)
        answer = await work(connection)
        content = answer.body()
        await audit.append(
            connection,
            actor=call.caller.id,
            verb=call.right.verb if call.right.resource.count("/") == 0 else call.right.resource.split("/")[1],
            namespace=call.namespace,
            object_=object_,
            decision="Allowed",
            request_id=call.request.state.request_id,
        )
        if claim:
            kept = idempotency.Answer(claim.digest, answer.status, dict(answer.headers), content)
            await idempotency.keep(connection, claim, kept)
    return _response(answer.status, content, answer.headers)


def _claim(call: Call, body: bytes) -> idempotency.Claim | None:
    key = call.request.headers.get(KEY)
    if key is None or call.request.method != "POST":
        return None
    if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        raise Invalid([FieldError(KEY, key, f"not 1 to {MAX_KEY} printable ASCII characters", "send a UUID")])
    url = call.request.url
    digest = hashlib.sha256(b"\n".join([url.path.encode(), url.query.encode(), body])).digest()
    return idempotency.Claim(call.namespace, call.caller.id, call.request.scope["route"].path, key, digest)


def _again(earlier: idempotency.Answer, claim: idempotency.Claim) -> Response:
    if earlier.digest != claim.digest:
        raise Conflict(f"{KEY} {claim.key} was used for another request; send a new key with each new request.")
    return _response(earlier.status, earlier.body, {**earlier.headers, REPLAYED: "true"})


def _response(status: int, body: bytes, headers: Mapping[str, str]) -> Response:
    return Response(body, status, dict(headers), media_type="application/json" if body else None)

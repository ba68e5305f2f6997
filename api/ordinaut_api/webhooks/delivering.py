"""
Whether a delivery may come in: the guard of the one route that asks for a signature instead of a token.

What anybody can send is refused with one answer, whatever is wrong with it, so that nobody learns which hooks there
are. It is counted, and not written to the audit trail, which strangers must not be able to fill. The body is read up to
a limit, and its JSON only when the signature is good.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Depends, Request

from ordinaut.access.caller import Authority, Caller
from ordinaut.access.rights import Right
from ordinaut.errors import Invalid
from ordinaut.logging import get_logger
from ordinaut.metrics import WEBHOOKS
from ordinaut.resources.scalars import is_name
from ordinaut.store import hooks
from ordinaut_api import body
from ordinaut_api.backend import Backend, backend_of
from ordinaut_api.identity.gatekeeper import too_many
from ordinaut_api.identity.guard import Call, Signed
from ordinaut_api.problems import RETRY_AFTER, Problem, ProblemError
from ordinaut_api.webhooks.doors import STYLES, Door
from ordinaut_api.webhooks.styles import WINDOW, About, Claim, is_signed, is_timely

DELIVER: Final = Right("create", "hooks/deliver")
"""What a good signature lets one do. It is in no role: nobody is given it in another way."""

_SIGNATURES: Final = frozenset(header for style in STYLES.values() for header in style.headers)

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery whose signature is good; ``digest`` tells it from all others of its hook."""

    call: Call
    door: Door
    about: About
    document: Mapping[str, Any]
    raw: bytes
    digest: bytes


class Signature(Signed):
    """The dependency of the route for deliveries. ``clock`` is that of the senders: Unix time."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    async def __call__(self, request: Request) -> Delivery:
        """Return the delivery, or raise a problem with 401, 413, 429 or 503, or one about the body."""
        backend = backend_of(request)
        door = await _door(request, backend)
        claim = door.style.claim(request.headers)
        if claim is None:
            raise _refused()
        raw = await _body(request)
        await self._verify(backend, door, claim, raw)
        caller = Caller(Authority.LOCAL, f"ordinaut:hook:{door.name}")
        request.state.caller = caller.id  # for the log line of the gate
        standing = backend.doors.admit(door)
        if not standing.allowed:
            WEBHOOKS.labels("limited").inc()
            raise too_many(f"Hook {door} gets too many deliveries.", seconds=standing.seconds)
        call = Call(request, backend, caller, DELIVER, door.namespace)
        return await _read(call, door, claim, raw)

    async def _verify(self, backend: Backend, door: Door, claim: Claim, raw: bytes) -> None:
        keys, complete = await backend.doors.keys(door)
        if not is_signed(claim, raw, keys=keys):
            # A key that can't be read may be the one; senders try again what they are told to.
            raise _refused() if complete else _unavailable()
        if not is_timely(claim, now=self._clock()):
            WEBHOOKS.labels("late").inc()
            raise _unsigned(f"The signature's time differs from this server's by more than {WINDOW} s: sign anew.")


def signed() -> Any:
    """Return the dependency of the route for deliveries."""
    return Depends(Signature())


async def _door(request: Request, backend: Backend) -> Door:
    """Return the door that a request names, if it has any signature at all."""
    namespace, name = request.path_params["namespace"], request.path_params["name"]
    if not (is_name(namespace) and is_name(name)) or not any(header in request.headers for header in _SIGNATURES):
        raise _refused()
    async with backend.connection() as connection:
        hook = await hooks.named(connection, namespace=namespace, name=name)
    if hook is None:
        raise _refused()
    if hook.invalid is not None:
        log.warning("a hook can't be used", hook=f"{namespace}/{name}", why=hook.invalid)
        raise _unavailable()
    return Door.of(hook, namespace=namespace, name=name)


async def _body(request: Request) -> bytes:
    try:
        return await body.read_raw(request)
    except ProblemError:
        WEBHOOKS.labels("refused").inc()
        raise


async def _read(call: Call, door: Door, claim: Claim, raw: bytes) -> Delivery:
    """Return the delivery that a good signature vouches for."""
    media = call.request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media != body.JSON:
        WEBHOOKS.labels("invalid").inc()
        detail = f"Hooks take JSON: have the sender deliver with Content-Type: {body.JSON}."
        raise ProblemError(Problem(415, detail))
    try:
        document = await body.decoded(raw)
    except (ProblemError, Invalid):
        WEBHOOKS.labels("invalid").inc()
        raise
    about = door.style.about(call.request.headers, document)
    named = about.id.encode() if about.id is not None else claim.prefix + raw
    return Delivery(call, door, about, document, raw, hashlib.sha256(named).digest())


def _refused() -> ProblemError:
    WEBHOOKS.labels("refused").inc()
    return _unsigned(
        "No hook at this path takes this signature: compare the path, the style and the secret with the sender's."
    )


def _unsigned(detail: str) -> ProblemError:
    return ProblemError(Problem(401, detail, headers={"WWW-Authenticate": 'Signature realm="ordinaut"'}))


def _unavailable() -> ProblemError:
    WEBHOOKS.labels("unavailable").inc()
    detail = (
        "The signature can't be checked now, and nothing was done: deliver again later. The log of the api says why."
    )
    return ProblemError(Problem(503, detail, headers={"Retry-After": str(RETRY_AFTER)}))

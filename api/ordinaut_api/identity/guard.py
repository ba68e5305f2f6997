"""
The guard of a route: lets a request pass if its caller holds the route's right in the namespace of the path.

A route declares its guard as a dependency, which runs before anything of the request is read or checked::

    @router.get("", dependencies=[guard("list", "tasks")])
    async def list_(...): ...

    @router.post("/{name}/run")
    async def run(call: Annotated[Call, guard("create", "tasks/run")], ...): ...

The second form is for routes that change something: ``change.perform`` needs the :class:`Call`. ``app`` calls
:func:`check`, so that a route without a guard ends the process at its start.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Depends, Request
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import BaseRoute

from ordinaut.access.caller import Caller
from ordinaut.access.rights import Right
from ordinaut.errors import FieldError, Invalid
from ordinaut.resources.scalars import is_name
from ordinaut_api.backend import Backend, backend_of
from ordinaut_api.identity.gatekeeper import too_many
from ordinaut_api.problems import ProblemError, right_missing

GUARDED: Final = "/v1/"
"""Where every route has a guard."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose caller holds the right that it needs."""

    request: Request
    backend: Backend
    caller: Caller
    right: Right
    namespace: str


class Guard:
    """The dependency; a route has exactly one."""

    def __init__(self, right: Right) -> None:
        self.right = right

    async def __call__(self, request: Request) -> Call:
        """Return the call, or raise a problem with 401, 403 or 429."""
        backend = backend_of(request)
        namespace = request.path_params["namespace"]
        proper = is_name(namespace)
        caller = await _admitted(request, backend, namespace=namespace if proper else None)
        if not proper:
            raise Invalid([FieldError("namespace", namespace, "not a name", "write it like team-a")])
        if not await backend.gatekeeper.allows(caller, self.right, namespace=namespace):
            await backend.deny(caller, self.right, namespace=namespace, request=request)
            raise ProblemError(right_missing(caller.user, self.right, namespace=namespace))
        return Call(request, backend, caller, self.right, namespace)


class Known:
    """The dependency of a route that needs an identity and no right."""

    async def __call__(self, request: Request) -> Caller:
        """Return who calls, or raise a problem with 401 or 429."""
        return await _admitted(request, backend_of(request), namespace=None)


class Signed:
    """The base of the dependency of a route whose requests are signed: the signature is the right."""


def guard(verb: str, resource: str) -> Any:
    """Return the dependency of a route that needs a right."""
    return Depends(Guard(Right(verb, resource)))


def known() -> Any:
    """Return the dependency of a route that anybody with an identity may ask."""
    return Depends(Known())


def right_of(route: BaseRoute | RouteContext) -> Right | None:
    """Return the right that a route asks for, None if it asks for none."""
    return next((one.right for one in _guards(route) if isinstance(one, Guard)), None)


def needs_identity(route: BaseRoute | RouteContext) -> bool:
    """Whether a route asks who calls."""
    return any(not isinstance(one, Signed) for one in _guards(route))


def needs_signature(route: BaseRoute | RouteContext) -> bool:
    """Whether a route asks for a signature in place of an identity."""
    return any(isinstance(one, Signed) for one in _guards(route))


def check(routes: Iterable[BaseRoute]) -> None:
    """Raise an error that names each route under ``/v1/`` without exactly one guard."""
    wrong = [
        str(route.path)
        for route in iter_route_contexts(list(routes))
        if str(route.path).startswith(GUARDED) and len(_guards(route)) != 1
    ]
    if wrong:
        raise TypeError(f"routes without exactly one guard: {', '.join(wrong)}")


def _guards(route: BaseRoute | RouteContext) -> list[Guard | Known | Signed]:
    dependant = getattr(route, "dependant", None)
    calls = [one.call for one in dependant.dependencies] if dependant else []
    return [one for one in calls if isinstance(one, Guard | Known | Signed)]


async def _admitted(request: Request, backend: Backend, *, namespace: str | None) -> Caller:
    """Return who calls, unless that caller has asked for too much."""
    peer = request.client.host if request.client else ""
    caller = await backend.gatekeeper.authenticate(request.headers, peer=peer)
    admitted = backend.admission.admit(caller, namespace=namespace)
    # For the gate, which writes the log line and the headers of every answer.
    request.state.caller, request.state.headers = caller.id, admitted.headers
    if not admitted.allowed:
        raise too_many(
            "You have sent too many requests; RateLimit-Policy says how many may be.", seconds=admitted.seconds
        )
    return caller

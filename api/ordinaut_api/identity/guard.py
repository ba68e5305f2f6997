"""
The guard of a route: lets a request pass if its caller holds the route's right in the namespace of the path.

A route declares its guard as a dependency, which runs before anything of the request is read or checked::

    @router.get("", dependencies=[guard("list", "tasks")])
    async def list_(...): ...

    @router.post("/{name}/run")
    async def run(call: Annotated[Call, guard("create", "tasks/run")], ...): ...

The second form is for routes that change something: ``change.perform`` needs the :class:`Call`.
"""

from dataclasses import dataclass
from typing import Any

from fastapi import Depends, Request

from ordinaut.access.caller import Caller
from ordinaut.access.rights import Right
from ordinaut.errors import FieldError, Invalid
from ordinaut_api.backend import Backend, UseBackend
from ordinaut_api.problems import Problem, ProblemError
from ordinaut_api.routes.parameters import is_name


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

    async def __call__(self, request: Request, backend: UseBackend) -> Call:
        """Return the call, or raise a problem with 401 or 403."""
        caller = await backend.gatekeeper.authenticate(request.headers)
        namespace = request.path_params["namespace"]
        if not is_name(namespace):
            raise Invalid([FieldError("namespace", namespace, "not a name", "write it like team-a")])
        if not await backend.gatekeeper.allows(caller, self.right, namespace=namespace):
            await backend.deny(caller, self.right, namespace=namespace, request=request)
            raise ProblemError(
                Problem(403, f"{caller.user} may not {self.right} in namespace {namespace}; ask for a role that can.")
            )
        return Call(request, backend, caller, self.right, namespace)


def guard(verb: str, resource: str) -> Any:
    """Return the dependency of a route that needs a right."""
    return Depends(Guard(Right(verb, resource)))

"""
The gatekeeper: what the guard of every route asks.

``app`` makes one from the settings. :class:`Open` is for the loopback interface, where reaching the port is the right.
"""

from typing import Protocol

from starlette.datastructures import Headers

from ordinaut.access.caller import LOCAL, Caller
from ordinaut.access.rights import Right


class Gatekeeper(Protocol):
    """Knows callers by their headers, and what each may do."""

    async def authenticate(self, headers: Headers) -> Caller:
        """Return who calls; raises :class:`~ordinaut_api.problems.ProblemError` with 401 for anybody unknown."""

    async def allows(self, caller: Caller, right: Right, *, namespace: str) -> bool:
        """Tell whether a caller holds a right in a namespace; no means no also where nobody can tell."""


class Open:
    """Lets everybody do everything, as somebody on this machine."""

    async def authenticate(self, headers: Headers) -> Caller:  # noqa: ARG002 - part of the protocol
        """Return the one caller there is."""
        return LOCAL

    async def allows(self, caller: Caller, right: Right, *, namespace: str) -> bool:  # noqa: ARG002 - as above
        """Allow it."""
        return True

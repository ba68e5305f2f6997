"""
What the gatekeeper needs of those who vouch for callers, and of those who know their rights.

``kubernetes``, ``oidc`` and ``statictokens`` provide it.
"""

from typing import Protocol

from ordinaut.access.caller import Caller
from ordinaut.access.rights import Right
from ordinaut.errors import OrdinautError
from ordinaut_api.identity.remembered import Answer


class AuthorityAway(OrdinautError):
    """Whoever would know does not answer; nobody is let in for that."""


class Authenticator(Protocol):
    """Vouches for the bearers of tokens; ``at_hand`` if it has its answers in memory, so that nothing need be kept."""

    at_hand: bool

    def claims(self, token: str) -> bool:
        """Whether this authority decides about a token; none after it is asked then."""

    async def ask(self, token: str) -> Answer[Caller | None]:
        """Return whose a token is, and for how long that holds; raises :class:`AuthorityAway`."""


class Authorizer(Protocol):
    """Knows what callers may do."""

    async def allows(self, caller: Caller, right: Right, *, namespace: str) -> bool:
        """Tell whether a caller holds a right in a namespace; raises :class:`AuthorityAway`."""

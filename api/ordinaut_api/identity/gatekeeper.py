"""
The gatekeeper: what the guard of every route asks.

``app`` makes one from the settings (``assembly``). :class:`Open` is for the loopback interface, where reaching the port
is the right; :class:`Identities` asks the authorities.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from starlette.datastructures import Headers

from ordinaut.access.caller import LOCAL, Authority, Caller
from ordinaut.access.grants import hash_of
from ordinaut.access.rights import Right
from ordinaut.metrics import AUTHENTICATION_FAILURES
from ordinaut_api.identity.authority import Authenticator, AuthorityAway, Authorizer
from ordinaut_api.identity.bearer import token_of, unauthenticated
from ordinaut_api.identity.remembered import Answer, Remembered
from ordinaut_api.identity.windows import Windows
from ordinaut_api.problems import Problem, ProblemError

RETRY_AFTER: Final = 2
"""Seconds after which a caller should ask again while an authority is away."""

_NETWORK_OF_A_CUSTOMER: Final = 64
"""Bits of an IPv6 address that name who has it; the others are theirs to choose."""


class Gatekeeper(Protocol):
    """Knows callers by their headers, and what each may do."""

    async def authenticate(self, headers: Headers, *, peer: str) -> Caller:
        """
        Return who calls from the address ``peer``.

        Raises :class:`~ordinaut_api.problems.ProblemError`: 401 for anybody unknown, 429 after too many of those from
        one address, 503 where nobody can tell.
        """

    async def allows(self, caller: Caller, right: Right, *, namespace: str) -> bool:
        """Tell whether a caller holds a right in a namespace; a problem with 503 where nobody can tell."""


class Open:
    """Lets everybody do everything, as somebody on this machine."""

    async def authenticate(self, headers: Headers, *, peer: str) -> Caller:  # noqa: ARG002 - part of the protocol
        """Return the one caller there is."""
        return LOCAL

    async def allows(self, caller: Caller, right: Right, *, namespace: str) -> bool:  # noqa: ARG002 - as above
        """Allow it."""
        return True


class Identities:
    """Asks the authority whose a token is, and the one that knows its bearer's rights; default is no."""

    def __init__(
        self,
        *,
        authenticators: Sequence[Authenticator],
        authorizers: Mapping[Authority, Authorizer],
        failures: Windows,
        remembered: Remembered[bytes, Caller | None] | None = None,
    ) -> None:
        self._authenticators = authenticators
        self._authorizers = authorizers
        self._failures = failures
        self._remembered = remembered or Remembered()

    async def authenticate(self, headers: Headers, *, peer: str) -> Caller:
        """Return who calls; see :class:`Gatekeeper`."""
        token = token_of(headers)
        caller = None if token is None else await self._at_once(token)
        if caller is not None:
            return caller  # before the failures: who is known is let in, whoever else sits behind the same proxy
        network = network_of(peer)
        standing = self._failures.look(network)
        if not standing.allowed:
            AUTHENTICATION_FAILURES.labels("limited").inc()
            raise too_many("Too many requests without a valid token come from your address.", seconds=standing.seconds)
        caller = None if token is None else await self._asked(token)
        if caller is None:
            self._failures.hit(network)
            AUTHENTICATION_FAILURES.labels("refused").inc()
            raise unauthenticated()
        return caller

    async def allows(self, caller: Caller, right: Right, *, namespace: str) -> bool:
        """Tell whether a caller holds a right in a namespace; see :class:`Gatekeeper`."""
        authorizer = self._authorizers.get(caller.authority)
        if authorizer is None:
            return False
        try:
            return await authorizer.allows(caller, right, namespace=namespace)
        except AuthorityAway as away:
            raise _unavailable(away) from None

    async def close(self) -> None:
        """End what is being asked."""
        await self._remembered.close()

    async def _at_once(self, token: str) -> Caller | None:
        """Return whose a token is, if that takes no question to anybody outside."""
        for one in self._authenticators:
            if one.at_hand and one.claims(token):
                return (await one.ask(token)).value
        known = self._remembered.known(hash_of(token))
        return known.value if known else None

    async def _asked(self, token: str) -> Caller | None:
        # The first that claims a token decides alone: what one authority refuses is tried with no other.
        authority = next((one for one in self._authenticators if one.claims(token)), None)
        if authority is None or authority.at_hand:
            return None

        async def ask() -> Answer[Caller | None]:
            return await authority.ask(token)

        try:
            return await self._remembered.get(hash_of(token), ask)
        except AuthorityAway as away:
            AUTHENTICATION_FAILURES.labels("unavailable").inc()
            raise _unavailable(away) from None


def network_of(peer: str) -> str:
    """Return what stands for the owner of an address."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _NETWORK_OF_A_CUSTOMER), strict=False))
    return peer


def too_many(detail: str, *, seconds: int) -> ProblemError:
    """Return the answer to somebody who has to wait."""
    return ProblemError(Problem(429, f"{detail} Ask again in {seconds} s.", headers={"Retry-After": str(seconds)}))


def _unavailable(away: AuthorityAway) -> ProblemError:
    return ProblemError(
        Problem(503, f"{away} Nothing was done; ask again in a moment.", headers={"Retry-After": str(RETRY_AFTER)})
    )

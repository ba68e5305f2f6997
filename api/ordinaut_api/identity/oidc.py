"""
Callers that an OpenID Connect issuer knows: signed tokens, checked here with the issuer's public keys.

Only asymmetric signatures are taken, each key with the one algorithm that is its own, so that neither ``none`` nor a
public key used as a shared secret can pass. The keys come from the issuer's discovery document (``issuerkeys``).
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import jwt

from ordinaut.access.caller import Authority, Caller
from ordinaut_api.identity.bearer import unverified_claims
from ordinaut_api.identity.issuerkeys import ALGORITHMS, IssuerKeys
from ordinaut_api.identity.remembered import Answer

LEEWAY_SECONDS: Final = 30
"""How far the issuer's clock may differ from ours."""

GOOD_TOKEN_SECONDS: Final = 60.0
BAD_TOKEN_SECONDS: Final = 5.0

_MAX_NAME: Final = 253
_MAX_GROUPS: Final = 500


class OidcTokens:
    """Vouches for the bearers of tokens of one issuer."""

    at_hand = False

    def __init__(
        self,
        keys: IssuerKeys,
        *,
        issuer: str,
        audience: str,
        username_claim: str = "sub",
        groups_claim: str = "groups",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._username_claim = username_claim
        self._groups_claim = groups_claim
        self._clock = clock

    def claims(self, token: str) -> bool:
        """Claim what says that it is this issuer's."""
        return unverified_claims(token).get("iss") == self._issuer

    async def ask(self, token: str) -> Answer[Caller | None]:
        """Check signature and claims; the keys may have to be fetched."""
        claims = await self._verified(token)
        caller = None if claims is None else self._caller(claims)
        if claims is None or caller is None:
            return Answer(None, BAD_TOKEN_SECONDS)
        return Answer(caller, min(GOOD_TOKEN_SECONDS, claims["exp"] - self._clock()))

    async def _verified(self, token: str) -> Mapping[str, Any] | None:
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            # What is critical to understand (RFC 7515 4.1.11) is not understood.
            if algorithm not in ALGORITHMS or "crit" in header:
                return None
            key = await self._keys.find(header.get("kid"), algorithm=algorithm)
            if key is None:
                return None
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"]},
            )
            return {**claims, "exp": int(claims["exp"])}
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            return None

    def _caller(self, claims: Mapping[str, Any]) -> Caller | None:
        """Return the caller that true claims name, None if they name nobody."""
        name = claims.get(self._username_claim)
        if not _is_name(name) or (self._username_claim == "email" and claims.get("email_verified", True) is not True):
            return None
        given = claims.get(self._groups_claim, [])
        groups = [given] if isinstance(given, str) else given if isinstance(given, list) else []
        if len(groups) > _MAX_GROUPS:
            return None
        return Caller(Authority.OIDC, str(name), groups=tuple(sorted({one for one in groups if _is_name(one)})))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_NAME and value.isprintable()

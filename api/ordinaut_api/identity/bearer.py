"""
From the ``Authorization`` header to a token, read strictly, and what anybody without a good one is answered.

``gatekeeper`` calls :func:`token_of` first. Tokens leave this package in no form: they are in no log, no message, no
exception and no table; caches know them by their SHA-256.
"""

import re
from typing import Any, Final

import orjson
from jwt.utils import base64url_decode
from starlette.datastructures import Headers

from ordinaut_api.problems import Problem, ProblemError

MAX_LENGTH: Final = 16 * 1024
"""Characters of a token; those of Kubernetes have about 1,000, of issuers with many groups some thousand."""

# RFC 6750 2.1 (the scheme's name in any case, RFC 9110 11.1), and nothing before or after it.
_CREDENTIALS: Final = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] ([A-Za-z0-9._~+/-]+=*)")


def token_of(headers: Headers) -> str | None:
    """Return the bearer token of a request, None unless there is exactly one that is well formed."""
    given = headers.getlist("authorization")
    if len(given) != 1 or len(given[0]) > MAX_LENGTH:
        return None
    found = _CREDENTIALS.fullmatch(given[0])
    return found[1] if found else None


def unauthenticated() -> ProblemError:
    """Return the one answer to everybody whose identity is not known, whatever the cause: it helps nobody to guess."""
    return ProblemError(
        Problem(
            401,
            "Send a token that is valid here, as `Authorization: Bearer TOKEN`.",
            headers={"WWW-Authenticate": 'Bearer realm="ordinaut"'},
        )
    )


def unverified_claims(token: str) -> dict[str, Any]:
    """
    Return what a JSON Web Token says, without a check whether it is true; nothing for any other token.

    It only tells which authority to ask, and how long a token that an authority has found good can last.
    """
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature
        return {}
    try:
        claims = orjson.loads(base64url_decode(parts[1]))
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}

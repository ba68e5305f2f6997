"""
Stripe's webhooks. Signed are time and body; the id of the event is in the body.

Its secrets begin with ``whsec_`` too, but the whole text is the key.
"""

import binascii
from collections.abc import Mapping
from typing import Any, Final

from starlette.datastructures import Headers

from ordinaut_api.webhooks.styles import About, Claim, Style, identifier, plain_key, seconds, single, word

_SIGNATURE: Final = "stripe-signature"
_VERSION: Final = "v1"
"""The others are for Stripe's own tests, and prove nothing."""


def _claim(headers: Headers) -> Claim | None:
    given = single(headers, _SIGNATURE)
    parts = [part.strip().partition("=") for part in (given or "").split(",")]
    times = [value for name, _, value in parts if name == "t"]
    moment = seconds(times[0]) if len(times) == 1 else None
    if moment is None:
        return None
    signatures = [value for name, _, value in parts if name == _VERSION]
    return Claim(f"{times[0]}.".encode(), tuple(_decoded(signatures)), moment)


def _decoded(signatures: list[str]) -> list[bytes]:
    found = []
    for one in signatures:
        try:
            found.append(binascii.unhexlify(one))
        except ValueError:
            continue
    return found


def _about(_headers: Headers, document: Mapping[str, Any]) -> About:
    return About(identifier(document.get("id")), word(document.get("type")))


STYLE: Final = Style((_SIGNATURE,), key=plain_key, claim=_claim, about=_about)

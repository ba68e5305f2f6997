"""
Standard Webhooks (standardwebhooks.com), which many services sign by; also under the names that Svix gave its headers.

Signed are id, time and body. A sender that tries again keeps the id and signs anew.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from starlette.datastructures import Headers

from ordinaut_api.webhooks.styles import About, Claim, Style, identifier, seconds, single, word

_FAMILIES: Final = ("webhook", "svix")
_PREFIX: Final = "whsec_"
_VERSION: Final = "v1"
"""HMAC-SHA-256; others may stand beside it."""


def _key(secret: str) -> bytes:
    encoded = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not whsec_ and base64") from None
    if not key:
        raise ValueError("is empty")
    return key


def _claim(headers: Headers) -> Claim | None:
    family = _family(headers)
    name, at, given = (single(headers, f"{family}-{part}") for part in ("id", "timestamp", "signature"))
    moment = seconds(at)
    if identifier(name) is None or moment is None or given is None:
        return None
    return Claim(f"{name}.{at}.".encode(), tuple(_signatures(given)), moment)


def _signatures(given: str) -> list[bytes]:
    found = []
    for one in given.split(" "):
        version, _, encoded = one.partition(",")
        if version == _VERSION:
            try:
                found.append(base64.b64decode(encoded, validate=True))
            except (binascii.Error, ValueError):
                continue
    return found


def _about(headers: Headers, document: Mapping[str, Any]) -> About:
    return About(identifier(single(headers, f"{_family(headers)}-id")), word(document.get("type")))


def _family(headers: Headers) -> str:
    return next((family for family in _FAMILIES if f"{family}-signature" in headers), _FAMILIES[0])


STYLE: Final = Style(tuple(f"{family}-signature" for family in _FAMILIES), key=_key, claim=_claim, about=_about)

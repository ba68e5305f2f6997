"""
GitHub's webhooks. Signed is the body alone: neither its id nor the name of the event, and no time.

So a delivery is refused as a repetition by its id, as GitHub's documentation has it, and never for its age.
"""

import binascii
from collections.abc import Mapping
from typing import Any, Final

from starlette.datastructures import Headers

from ordinaut_api.webhooks.styles import About, Claim, Style, identifier, plain_key, single, word

_SIGNATURE: Final = "x-hub-signature-256"
_ID: Final = "x-github-delivery"
_EVENT: Final = "x-github-event"
_PREFIX: Final = "sha256="


def _claim(headers: Headers) -> Claim | None:
    given = single(headers, _SIGNATURE)
    if given is None or not given.startswith(_PREFIX) or identifier(single(headers, _ID)) is None:
        return None
    try:
        return Claim(b"", (binascii.unhexlify(given.removeprefix(_PREFIX)),))
    except ValueError:
        return None


def _about(headers: Headers, _document: Mapping[str, Any]) -> About:
    return About(identifier(single(headers, _ID)), word(single(headers, _EVENT)))


STYLE: Final = Style((_SIGNATURE,), key=plain_key, claim=_claim, about=_about)

"""
The ways in which senders sign: a module for each, and here what they have in common.

A :class:`Style` reads a delivery's headers to a :class:`Claim`, which :func:`is_signed` checks; both are pure. The
comparison takes as long for a wrong signature as for a good one.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.datastructures import Headers

from ordinaut.resources.eventtype import MAX_ID

WINDOW: Final = 300
"""Seconds that a signature's time may differ from ours, either way."""

MAX_SIGNATURES: Final = 8
"""Signatures that are tried; senders give one for each of their keys."""

_ID: Final = re.compile(r"[!-~]+")
_SECONDS: Final = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Claim:
    """What the headers say: what is signed in front of the body, the signatures, and when that was (Unix time)."""

    prefix: bytes
    signatures: tuple[bytes, ...]
    at: int | None = None


@dataclass(frozen=True, slots=True)
class About:
    """What a sender calls a delivery, and what it tells of; each None where it says nothing that could be used."""

    id: str | None
    kind: str | None


@dataclass(frozen=True, slots=True)
class Style:
    """
    One way to sign.

    One of ``headers`` is in each delivery of this style. ``key`` makes the key of a secret's text and raises
    `ValueError`, without the text, if it is none; ``claim`` is None for what is not signed in this style; ``about``
    reads headers and document of a delivery whose signature is good.
    """

    headers: tuple[str, ...]
    key: Callable[[str], bytes]
    claim: Callable[[Headers], Claim | None]
    about: Callable[[Headers, Mapping[str, Any]], About]


def is_signed(claim: Claim, body: bytes, *, keys: Iterable[bytes]) -> bool:
    """Whether one of these keys has signed a body."""
    found = False
    for key in keys:
        code = hmac.new(key, claim.prefix, hashlib.sha256)
        code.update(body)
        expected = code.digest()
        for signature in claim.signatures[:MAX_SIGNATURES]:
            found |= hmac.compare_digest(expected, signature)
    return found


def is_timely(claim: Claim, *, now: float) -> bool:
    """Whether a signature is of now; one without a time always is."""
    return claim.at is None or abs(now - claim.at) <= WINDOW


def plain_key(secret: str) -> bytes:
    """Return a key that is the text itself."""
    if not secret:
        raise ValueError("is empty")
    return secret.encode()


def single(headers: Headers, name: str) -> str | None:
    """Return a header that must be there once."""
    found = headers.getlist(name)
    return found[0] if len(found) == 1 else None


def seconds(text: str | None) -> int | None:
    """Return a Unix time, None for anything else."""
    return int(text) if text is not None and _SECONDS.fullmatch(text) else None


def identifier(value: object) -> str | None:
    """Return a sender's id, None for what could be none."""
    return value if isinstance(value, str) and len(value) <= MAX_ID and _ID.fullmatch(value) else None


def word(value: object) -> str | None:
    """Return a sender's name for what happened, None if there is none."""
    return value if isinstance(value, str) and value else None

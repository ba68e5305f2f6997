"""
Hook: a door for webhooks. What somebody outside delivers to it, signed with a key that both know, becomes an event.

The api checks each delivery by what stands here (``ordinaut_api.webhooks``). The keys themselves are in Secrets.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from ordinaut.resources.eventtype import (
    MAX_TYPE,
    RESERVED_MESSAGE,
    RESERVED_PATTERN,
    RESERVED_REMEDY,
    TYPE_MESSAGE,
    TYPE_WORD,
    is_reserved,
)
from ordinaut.resources.part import Part
from ordinaut.resources.rules import Rule, cel_string, pattern
from ordinaut.resources.scalars import NAME_MESSAGE, NAME_PATTERN

REST: Final = ".>"
"""What a topic ends with whose events carry the sender's own names for them."""

_ROOM: Final = 32
"""Characters of a type that are left for a sender's name, at least."""

_MAX_SECRET: Final = 253

HookTopic = Annotated[
    str,
    Field(min_length=1, max_length=MAX_TYPE - _ROOM),
    pattern(
        f"^{TYPE_WORD}([.]{TYPE_WORD})*([.]>)?$",
        message=TYPE_MESSAGE,
        remedy="write one such as alarm.raised, or github.> for github.push and its like",
    ),
    Rule(
        cel=f"!self.matches({cel_string(RESERVED_PATTERN)})",
        holds=lambda text: not is_reserved(text),
        message=RESERVED_MESSAGE,
        remedy=RESERVED_REMEDY,
    ),
]


class SecretKey(Part):
    """A key in a Secret of the hook's own namespace."""

    name: Annotated[
        str,
        Field(min_length=1, max_length=_MAX_SECRET),
        pattern(NAME_PATTERN, message=NAME_MESSAGE, remedy="write the name of a Secret, such as github-webhook"),
    ]
    """Name of the Secret."""
    key: Annotated[
        str,
        Field(min_length=1, max_length=_MAX_SECRET),
        pattern(
            "^([-_a-zA-Z0-9]|[.][-_a-zA-Z0-9])[-._a-zA-Z0-9]*$",
            message="not a key of a Secret",
            remedy="write letters, digits, -, _ and dots, but no two dots at the beginning",
        ),
    ]
    """Its key that holds the signing key."""


class Signature(Part):
    """How deliveries prove who they come from."""

    style: Literal["Standard", "GitHub", "Stripe"]
    """How the sender signs: as Standard Webhooks (standardwebhooks.com) has it, as GitHub does, or as Stripe does."""
    secret_refs: list[SecretKey] = Field(min_length=1, max_length=2)
    """The signing key; while it is being replaced, the old one and the new one. Either may have signed."""


class HookSpec(Part):
    """Which events deliveries become, and how they are signed."""

    topic: HookTopic
    """
    Type of the events. With .> at the end the sender's own name of what happened takes its place: github.> makes
    github.push of a push.
    """
    signature: Signature

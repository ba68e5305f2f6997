"""
The types of events: how they are written, and which of them are Ordinaut's own; and how long attributes may be. Pure.

Publishing checks events by this, and what names types in advance does too: the topics of triggers and of hooks.
"""

import re
from typing import Final

MAX_TYPE: Final = 128
"""Characters of a type, and of a topic."""

MAX_ID: Final = 256
"""Characters of an id."""

MAX_TEXT: Final = 1024
"""Characters of a subject, a source, a schema, and of an extension attribute."""

TYPE_WORD: Final = "[A-Za-z0-9][A-Za-z0-9_-]*"
"""Between the dots of a type. Case counts: others have types such as ``com.microsoft.storage.BlobCreated``."""

TYPE_PATTERN: Final = f"^{TYPE_WORD}([.]{TYPE_WORD})*$"
TYPE_MESSAGE: Final = "not words of letters, digits, _ and - with dots between"

OWN: Final = ("task", "run", "step")
"""The first words of Ordinaut's own types: what it tells about."""

RESERVED: Final = (*OWN, "ordinaut", "io.ordinaut")
"""Only Ordinaut tells of these and of what is below them, so that nobody can pretend that a run has succeeded."""

RESERVED_PATTERN: Final = f"(?i)^({'|'.join(word.replace('.', '[.]') for word in RESERVED)})([.]|$)"
RESERVED_MESSAGE: Final = "told by Ordinaut only"
RESERVED_REMEDY: Final = f"begin with none of {', '.join(RESERVED)}"

_TYPE: Final = re.compile(TYPE_PATTERN)
_RESERVED: Final = re.compile(RESERVED_PATTERN)


def is_type(text: str) -> bool:
    """Whether a text is the type of an event, as long as it may be."""
    return _TYPE.fullmatch(text) is not None


def is_reserved(text: str) -> bool:
    """Whether a type is Ordinaut's own, or looks like it."""
    return _RESERVED.match(text) is not None

"""What a tool may answer: JSON that PostgreSQL can keep, of a bounded size."""

import re

import orjson

from ordinaut.errors import Permanent

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""The escape of a NUL character, and not a backslash that is followed by the letters."""


def encode(value: object, *, limit: int) -> bytes:
    """
    Return a step's or run's output as JSON.

    Raises:
        Permanent: it is no JSON, holds a NUL character (PostgreSQL's jsonb can't), or has more than ``limit`` bytes.
    """
    try:
        encoded = orjson.dumps(value)
    except TypeError as error:
        raise Permanent(f"the output can't be kept as JSON: {error}") from None
    if len(encoded) > limit:
        raise Permanent(
            f"the output has {len(encoded)} bytes, more than the {limit} allowed; return a reference to it instead"
        )
    if b"\\u0000" in encoded and _NUL.search(encoded):
        raise Permanent("the output holds a NUL character, which can't be kept; remove it in the tool")
    return encoded

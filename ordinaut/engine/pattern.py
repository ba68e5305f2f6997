"""
Match the regular expressions of untrusted JSON Schemas in time linear in the text.

Python's ``re`` and every back-tracking engine can be made to work for years by ``(a+)+$``. The engine inside
``jsonschema_rs`` can't: it knows no look-around and no back references, and what it costs is the size of the compiled
pattern for each character at worst. So the size is bounded too, and is what a document pays for its patterns.
`ordinaut.engine.schema_document` asks when a schema is accepted, `ordinaut.engine.schema_errors` when a value fails.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Final

import jsonschema_rs

MAX_PATTERN = 512
"""Characters of a pattern."""

_SIZES: Final = (1 << 10, 1 << 12, 1 << 14, 1 << 16)
"""
Bytes of a compiled pattern, as far as they are told apart.

An e-mail address takes the second or third, a UUID the second, ``^\\\\p{L}+$`` the last.
"""


def options(size: int = _SIZES[-1]) -> jsonschema_rs.RegexOptions:
    """Return the choice of the linear-time engine for patterns of at most ``size`` bytes."""
    return jsonschema_rs.RegexOptions(size_limit=size)


@lru_cache(maxsize=1_024)
def compiled_bytes(pattern: str) -> int | None:
    """Return about how many bytes ``pattern`` has when it is compiled; ``None`` when the engine can't take it."""
    for size in _SIZES:
        with suppress(jsonschema_rs.ValidationError):
            jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=options(size))
            return size
    return None


@lru_cache(maxsize=1_024)
def matcher(pattern: str) -> Callable[[str], bool]:
    """Return what tells whether a text holds a match of ``pattern``, which must have its `compiled_bytes`."""
    return jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=options()).is_valid

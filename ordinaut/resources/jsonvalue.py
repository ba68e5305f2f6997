"""
What plain data must be before a model is made of it: JSON that every part of Ordinaut can hold.

PostgreSQL stores no NUL character and UTF-8 no half of a surrogate pair, the API server has no integers above 64 bits,
YAML knows numbers that JSON lacks, and nesting without end only serves to exhaust somebody's stack.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Final

from ordinaut.errors import FieldError

MAX_DEPTH: Final = 64
"""Levels of nested objects and lists in a manifest."""

_MAX_INTEGER: Final = 2**63 - 1


def not_json(value: object, *, field: str = "", depth: int = 0) -> Iterator[FieldError]:
    """Yield a mistake for each value inside ``value``, which stands at ``field``, that cannot be held."""
    if depth > MAX_DEPTH:
        yield FieldError(field, [], "nested too deeply", f"keep within {MAX_DEPTH} levels")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _bad_key(key, field)
            yield from not_json(inner, field=f"{field}.{key}" if field else str(key), depth=depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from not_json(inner, field=f"{field}[{index}]", depth=depth + 1)
    else:
        yield from _bad_scalar(value, field)


def _bad_key(key: object, field: str) -> Iterator[FieldError]:
    if isinstance(key, str):
        yield from _bad_text(key, field)
    else:
        yield FieldError(field, str(key), "a name must be a text", "put it into quotes")


def _bad_scalar(value: object, field: str) -> Iterator[FieldError]:
    match value:
        case None | bool():
            return
        case str():
            yield from _bad_text(value, field)
        case int() if abs(value) > _MAX_INTEGER:
            yield FieldError(field, [], "does not fit 64 bits", "write it as a text")
        case float() if not math.isfinite(value):
            yield FieldError(field, str(value), "not a number of JSON", "write a finite number")
        case int() | float():
            return
        case _:
            yield FieldError(field, str(value), f"not a value of JSON ({type(value).__name__})", "write it as a text")


def _bad_text(text: str, field: str) -> Iterator[FieldError]:
    if "\0" in text:
        yield FieldError(field, text, "holds a NUL character", "take it out")
    elif not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        yield FieldError(ascii(field), ascii(text), "holds half of a surrogate pair", "write the character itself")

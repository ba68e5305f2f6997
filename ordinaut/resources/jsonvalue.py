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


def not_json(value: object, *, field: str = "") -> Iterator[FieldError]:
    """Yield a mistake for each value inside ``value``, which stands at ``field``, that cannot be held."""
    # Naming the place of each value takes ten times as long as looking at it.
    if not _is_sound(value, MAX_DEPTH):
        yield from _mistakes(value, field, 0)


def _is_sound(value: object, levels: int) -> bool:
    """Whether all of ``value``, down to so many levels, can surely be held."""
    if levels < 0:
        return False
    if isinstance(value, str):
        return _is_text(value)
    if isinstance(value, list):
        return all(_is_sound(inner, levels - 1) for inner in value)
    if isinstance(value, dict):
        return all(
            isinstance(key, str) and _is_text(key) and _is_sound(inner, levels - 1) for key, inner in value.items()
        )
    return value is None or not list(_bad_scalar(value, ""))


def _is_text(text: str) -> bool:
    return "\0" not in text and (text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text))


def _mistakes(value: object, field: str, depth: int) -> Iterator[FieldError]:
    if depth > MAX_DEPTH:
        yield FieldError(field, [], "nested too deeply", f"keep within {MAX_DEPTH} levels")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _bad_key(key, field)
            yield from _mistakes(inner, f"{field}.{key}" if field else str(key), depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _mistakes(inner, f"{field}[{index}]", depth + 1)
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
        yield FieldError(
            ascii(field)[1:-1], ascii(text), "holds half of a surrogate pair", "write the character itself"
        )

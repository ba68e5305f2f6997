"""
Cursors of lists: opaque to the caller, checked when they come back.

A cursor says which list it belongs to, so that one taken from another list or namespace is refused instead of
silently giving a wrong page. It grants nothing: every query names the namespace of the path anyway.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import orjson

from ordinaut.errors import FieldError, Invalid
from ordinaut.shapes import Page

MAX_LIMIT: Final = 500
DEFAULT_LIMIT: Final = 100

Row = TypeVar("Row")
Position = TypeVar("Position")
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Part(Generic[Row]):
    """The rows of one page, and the cursor for the next."""

    items: list[Row]
    next_cursor: str | None

    def show(self, view: Callable[[Row], Item]) -> Page[Item]:
        """Return the page as the API answers it."""
        return Page(items=[view(row) for row in self.items], next_cursor=self.next_cursor)


def encode(list_name: str, position: str) -> str:
    """Return the cursor for what follows ``position`` in a list."""
    return base64.urlsafe_b64encode(orjson.dumps([list_name, position])).rstrip(b"=").decode()


def decode(cursor: str | None, *, list_name: str, read: Callable[[str], Position]) -> Position | None:
    """Return the position in a cursor that :func:`encode` made for the same list, or raise `Invalid`."""
    if cursor is None:
        return None
    try:
        found_list, position = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if found_list == list_name and isinstance(position, str) and "\0" not in position:
            return read(position)
    except (ValueError, TypeError, binascii.Error):
        pass
    raise Invalid([FieldError("cursor", cursor, "not a cursor of this list", "start again without a cursor")])


def page(rows: Sequence[Row], *, limit: int, list_name: str, position: Callable[[Row], str]) -> Part[Row]:
    """Return the first ``limit`` rows; one more row than that tells that another page follows."""
    shown = list(rows[:limit])
    more = len(rows) > limit
    return Part(items=shown, next_cursor=encode(list_name, position(shown[-1])) if more else None)

"""
Pages of lists, and their cursors: opaque to the caller, checked when they come back.

A cursor says which list it belongs to, so that one taken from another list or namespace is refused instead of
silently giving a wrong page. It grants nothing: every query names the namespace of the path anyway.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import orjson
from fastapi import Response
from pydantic import BaseModel

from ordinaut.computing import compute
from ordinaut.errors import FieldError, Invalid
from ordinaut.shapes import Page
from ordinaut_api import answers

MAX_LIMIT: Final = 500
DEFAULT_LIMIT: Final = 100

Row = TypeVar("Row")
Position = TypeVar("Position")
Item = TypeVar("Item", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Part(Generic[Row]):
    """The rows of one page, and the cursor for the next."""

    items: list[Row]
    next_cursor: str | None


SHORT: Final = 5
"""Items that are shown at once; a longer page is written beside the event loop."""


async def answer(shown: "Part[Row]", view: Callable[[Row], Item]) -> Response:
    """Return a page as the API answers it, each row shown by ``view``."""

    def written() -> Response:
        # Item by item: while it writes one of them, Python does nothing else.
        items = b",".join(answers.content(view(row)) for row in shown.items)
        around = answers.content(Page(items=[], next_cursor=shown.next_cursor))
        return answers.written(around.replace(b"[]", b"[" + items + b"]", 1))

    return written() if len(shown.items) <= SHORT else await compute(written)


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


CHUNK: Final = 20
"""Rows that are read at once: however large they are, reading them takes some 20 ms at most."""

MAX_PAGE: Final = 4 * 1024 * 1024
"""Bytes after which a page ends early; the rest is on the next one."""


async def collect(
    read: Callable[[int, Row | None], Awaitable[Sequence[Row]]], *, limit: int, weight: Callable[[Row], object]
) -> tuple[list[Row], bool]:
    """
    Return the rows of a page, and whether more follow.

    Args:
        read: returns so many rows at most, those that follow a row or the first ones.
        limit: rows in the page at most.
        weight: returns what makes a row large.
    """
    rows: list[Row] = []
    weighs = 0
    while len(rows) <= limit and weighs < MAX_PAGE:
        wanted = min(CHUNK, limit + 1 - len(rows))
        found = await read(wanted, rows[-1] if rows else None)
        rows += found
        weighs += sum(len(orjson.dumps(weight(row))) for row in found)
        if len(found) < wanted:
            return rows[:limit], len(rows) > limit
    return rows[:limit], True


def part(rows: Sequence[Row], *, more: bool, list_name: str, position: Callable[[Row], str]) -> Part[Row]:
    """Return rows as a page, with the cursor for the next one if there is more."""
    return Part(items=list(rows), next_cursor=encode(list_name, position(rows[-1])) if more else None)


def page(rows: Sequence[Row], *, limit: int, list_name: str, position: Callable[[Row], str]) -> Part[Row]:
    """Return the first ``limit`` rows; one more row than that tells that another page follows."""
    return part(rows[:limit], more=len(rows) > limit, list_name=list_name, position=position)

"""
The JSON of objects that have not changed since somebody last asked for them.

Agents poll, and most of the time nothing has happened. The row of an object is read anew for each request; what is kept
here is the JSON that was made of it, beside the row itself, so that an equal row gives it again. Nothing kept can be
out of date, and nothing has to be thrown away when an object changes. ``routes.declared`` is the only caller.
"""

from typing import Final, Generic, TypeVar

from cachetools import LRUCache

from ordinaut.store.declared import Key

SIZE: Final = 4 * 1024 * 1024
"""Bytes of JSON, of some thousand tasks; Python looks through their rows each time that it looks for garbage."""

LARGEST: Final = 64 * 1024
"""Bytes; reading an object that is larger takes long for other reasons."""

Row = TypeVar("Row")


class Unchanged(Generic[Row]):
    """JSON by object and row; rows are equal when everything is that the JSON is made of."""

    def __init__(self) -> None:
        self._kept: LRUCache[Key, tuple[Row, bytes]] = LRUCache(SIZE, getsizeof=lambda kept: len(kept[1]))

    def get(self, key: Key, row: Row) -> bytes | None:
        """Return the JSON of an object if it was made of an equal row."""
        kept = self._kept.get(key)
        return kept[1] if kept is not None and kept[0] == row else None

    def keep(self, key: Key, row: Row, content: bytes) -> bytes:
        """Keep the JSON of an object, and return it."""
        if len(content) <= LARGEST:
            self._kept[key] = (row, content)
        return content

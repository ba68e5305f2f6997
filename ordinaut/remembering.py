"""
Remembering what was read from texts of users, within bounds of memory.

Thousands of tasks say the same, and each is due again soon, so whoever reads specs keeps what was read. But a spec may
have half a megabyte, and what is read from it ten times as much: in a cache that counts its entries, a few hundred such
tasks would take all memory. So only short texts, as nearly all are, are counted; of long ones a cache keeps those that
were asked for last, up to a length in all.
"""

from collections.abc import Callable, Hashable
from functools import lru_cache
from operator import itemgetter
from threading import Lock
from typing import Concatenate, Final, Generic, ParamSpec, TypeVar

from cachetools import LRUCache

SHORT: Final = 1024
"""Characters of a text that counts as one entry like any other."""

LONG_IN_ALL: Final = 4 * 1024 * 1024
"""Characters of all long texts that one cache keeps."""

Text = TypeVar("Text", str, bytes)
More = ParamSpec("More")
Read = TypeVar("Read")


def remembered(
    *, entries: int, long_in_all: int = LONG_IN_ALL
) -> Callable[[Callable[Concatenate[Text, More], Read]], Callable[Concatenate[Text, More], Read]]:
    """Have a pure function of a text, and of what else it is given by position, keep so many of its results."""

    def decorate(read: Callable[Concatenate[Text, More], Read]) -> Callable[Concatenate[Text, More], Read]:
        short: Callable[..., Read] = lru_cache(maxsize=entries)(read)
        long = _Long(read, length=long_in_all)

        def recall(text: Text, /, *more: More.args, **named: More.kwargs) -> Read:
            return short(text, *more, **named) if len(text) <= SHORT else long(text, *more, **named)

        return recall

    return decorate


class _Long(Generic[Read]):
    """A cache of results for long texts; several threads may ask at once."""

    def __init__(self, read: Callable[..., Read], *, length: int) -> None:
        self._read = read
        self._kept: LRUCache[tuple[Hashable, ...], tuple[int, Read]] = LRUCache(length, getsizeof=itemgetter(0))
        self._lock = Lock()

    def __call__(self, text: str | bytes, *more: Hashable) -> Read:
        key = (text, *more)
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                return kept[1]
        found = self._read(text, *more)
        if len(text) <= self._kept.maxsize:
            with self._lock:
                self._kept[key] = len(text), found
        return found

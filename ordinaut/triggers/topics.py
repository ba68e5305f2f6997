"""
Topics: patterns of event types, and finding those that cover a type among thousands.

A pattern is a type, in which ``*`` stands for one word and ``>`` at the end for one word or more.
:mod:`~ordinaut.triggers.subscriptions` keeps what belongs to each pattern here.
"""

from typing import Final, Generic, TypeVar

from ordinaut.resources.eventtype import OWN

ONE: Final = "*"
REST: Final = ">"

Item = TypeVar("Item")


class _Node(Generic[Item]):
    """A place in the tree of words: what ends here, and what goes on from here."""

    __slots__ = ("item", "words")

    def __init__(self) -> None:
        self.item: Item | None = None
        self.words: dict[str, _Node[Item]] = {}


class Topics(Generic[Item]):
    """One item for each pattern."""

    def __init__(self) -> None:
        self._exact: dict[str, Item] = {}
        self._tree: _Node[Item] = _Node()

    def get(self, pattern: str) -> Item | None:
        """Return the item of a pattern."""
        if not _is_wild(pattern):
            return self._exact.get(pattern)
        node: _Node[Item] | None = self._tree
        for word in pattern.split("."):
            node = node.words.get(word) if node else None
        return node.item if node else None

    def set(self, pattern: str, item: Item) -> None:
        """Give a pattern its item."""
        if not _is_wild(pattern):
            self._exact[pattern] = item
            return
        node = self._tree
        for word in pattern.split("."):
            node = node.words.setdefault(word, _Node())
        node.item = item

    def discard(self, pattern: str) -> None:
        """Forget a pattern, and what led only to it."""
        if not _is_wild(pattern):
            self._exact.pop(pattern, None)
            return
        way = [self._tree]
        words = pattern.split(".")
        for word in words:
            if word not in way[-1].words:
                return
            way.append(way[-1].words[word])
        way[-1].item = None
        for above, word, node in reversed(list(zip(way, words, way[1:], strict=False))):
            if node.item is not None or node.words:
                return
            del above.words[word]

    def covering(self, type_: str) -> list[Item]:
        """
        Return the items of all patterns that cover a type, in no order.

        A pattern that begins with a wildcard is about what is published: it covers none of Ordinaut's own types.
        """
        words = type_.split(".")
        exact = self._exact.get(type_)
        found = [] if exact is None else [exact]
        at = [self._tree]
        for place, word in enumerate(words):
            wild = place > 0 or word not in OWN
            if wild:
                found += [rest.item for node in at if (rest := node.words.get(REST)) and rest.item is not None]
            wanted = (word, ONE) if wild else (word,)
            at = [node.words[one] for node in at for one in wanted if one in node.words]
        return [*found, *(node.item for node in at if node.item is not None)]


def _is_wild(pattern: str) -> bool:
    return ONE in pattern or REST in pattern

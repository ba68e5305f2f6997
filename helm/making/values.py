"""
Reads values.yaml with its comments: the one place where each value is named, given a default and explained.

`schema` and `readme` turn the keys into values.schema.json and into the tables of README.md. A YAML parser would drop
the comments, so the file keeps to a simple form: each key on a line of its own, two spaces a level, the comment behind.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

_LINE: Final = re.compile(r"(?P<indent> *)(?P<key>[A-Za-z][\w./-]*):(?: (?P<value>.*?))?(?: +# (?P<comment>.+))?")

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of values.yaml: where it is, its default, and what its comment says."""

    path: Path
    default: Any
    comment: str
    section: bool
    """Whether keys of its own follow on lines below."""

    @property
    def name(self) -> str:
        """The path as people write it."""
        return ".".join(self.path)


def read(text: str) -> list[Key]:
    """
    Return the keys in their order.

    Raises:
        ValueError: a line is of another form, or has no comment.
    """
    defaults = yaml.safe_load(text)
    lines = list(_lines(text))
    paths = [path for path, _ in lines]
    keys = []
    for path, comment in lines:
        section = any(other[: len(path)] == path and len(other) > len(path) for other in paths)
        keys.append(Key(path, _at(defaults, path), comment, section))
    return keys


def _lines(text: str) -> Iterator[tuple[Path, str]]:
    path: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line or line.startswith("#"):
            continue
        if not (match := _LINE.fullmatch(line)):
            raise ValueError(f"values.yaml:{number}: write one key a line, as `key: value  # what it means`")
        if not match["comment"]:
            raise ValueError(f"values.yaml:{number}: {match['key']}: say behind it what it means")
        path[len(match["indent"]) // 2 :] = [match["key"]]
        yield tuple(path), match["comment"].strip()


def _at(defaults: Any, path: Path) -> Any:
    for part in path:
        defaults = defaults[part]
    return defaults

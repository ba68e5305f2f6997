"""
What stands for container images: source trees of Ordinaut, run with the Python of the tests.

A `node.Node` is given an `Images`; two trees under two tags are two releases, whose processes run side by side.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PACKAGES = ("", "api", "cli", "operator", "worker")
"""Where a tree keeps what can be imported; the first also holds the metadata that tells its version."""

_NAMES = Path(__file__).parent / "dns"
"""Makes names of Services known to the processes."""


class NoImage(Exception):
    """An image that nobody has pushed."""


@dataclass(frozen=True)
class Image:
    """A tree and how its programs are started."""

    tree: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """What the image itself sets; the tree comes before the one that is installed."""
        path = ":".join([*(str(self.tree / package) for package in _PACKAGES), str(_NAMES)])
        programs = Path(sys.executable).parent
        return {
            "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": path,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "LANG": "C.UTF-8",
        }

    def command(self, command: Sequence[str]) -> list[str]:
        """Return the command with the Python and the programs of the tests."""
        program = Path(sys.executable).parent / command[0]
        return [str(program) if program.exists() else command[0], *command[1:]]


class Images:
    """The images that can be pulled, by their whole reference."""

    def __init__(self, trees: Mapping[str, Path]) -> None:
        self._trees = dict(trees)

    def add(self, reference: str, tree: Path) -> None:
        """Push an image."""
        self._trees[reference] = tree

    def pull(self, reference: str) -> Image:
        """Return an image; raises `NoImage`."""
        if reference not in self._trees:
            raise NoImage(f'no image "{reference}"; there are: {", ".join(sorted(self._trees))}')
        return Image(self._trees[reference])

"""
Manifests that nobody may accept, each in a file that begins with the words of its refusal.

Tests of the models, of kubectl against the CRDs, of the command line and of REST all go through the same list, which is
what holds their words together.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

_OPENING: Final = "# Refused: "


@dataclass(frozen=True, slots=True)
class WrongManifest:
    """One file, and what everybody who is given it must say."""

    path: Path
    refusal: str

    @property
    def text(self) -> str:
        """The manifest itself."""
        return self.path.read_text(encoding="utf-8")


def _load(path: Path) -> WrongManifest:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith(_OPENING), f"{path.name} must begin with {_OPENING!r} and the words of its refusal"
    return WrongManifest(path, first.removeprefix(_OPENING))


WRONG_MANIFESTS: Final = tuple(_load(path) for path in sorted(Path(__file__).parent.glob("*.yaml")))

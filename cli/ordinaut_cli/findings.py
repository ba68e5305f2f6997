"""
What a look at an installation, a task or a run has found: one sentence each, with the command that helps.

``cluster.health`` and ``reasons`` make them, pure functions both; ``status``, ``why`` and ``report`` print them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from rich.console import Console
from rich.text import Text

from ordinaut_cli import render


class Weight(StrEnum):
    """How much a finding counts."""

    BAD = "bad"
    """Something does not work."""
    NOTE = "note"
    """Worth knowing, or somebody's own business: it does not make an installation degraded."""
    GOOD = "good"
    """It is as it should be."""


_MARKS = {Weight.BAD: ("!", "red"), Weight.NOTE: ("·", "yellow"), Weight.GOOD: ("✓", "green")}


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence, and what to type next; empty where there is nothing to do."""

    weight: Weight
    text: str
    command: str = ""

    def as_data(self) -> dict[str, str]:
        """Return it for programs."""
        return {"weight": self.weight.value, "text": self.text, **({"command": self.command} if self.command else {})}


def in_context(found: Finding, context: str | None) -> Finding:
    """Return a finding whose command goes to the cluster of a context of kubectl, not to kubectl's current one."""
    ours = found.command.startswith("kubectl ordinaut ")
    if context is None or not found.command.startswith("kubectl ") or (ours and " report" not in found.command):
        return found
    rest = found.command.removeprefix("kubectl ordinaut " if ours else "kubectl ")
    command = f"kubectl ordinaut {rest} --context {context}" if ours else f"kubectl --context {context} {rest}"
    return replace(found, command=command)


def bad(text: str, command: str = "") -> Finding:
    """Return that something does not work."""
    return Finding(Weight.BAD, text, command)


def note(text: str, command: str = "") -> Finding:
    """Return something worth knowing."""
    return Finding(Weight.NOTE, text, command)


def good(text: str, command: str = "") -> Finding:
    """Return that something is as it should be."""
    return Finding(Weight.GOOD, text, command)


def show(found: Iterable[Finding], *, console: Console) -> None:
    """Print findings, one a line."""
    for one in found:
        mark, style = _MARKS[one.weight]
        line = Text.assemble((f"{mark} ", style), render.visible(one.text))
        if one.command:
            line.append(" → ", style="dim").append(render.visible(one.command), style="bold")
        console.print(line)

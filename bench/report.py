"""What a benchmark is asked and what it answers: options, a table of figures, figures for the goals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Options:
    """
    How much is measured.

    ``scale`` is of the amounts of work, ``rounds`` how often each is measured, those to be compared in turns,
    ``minutes`` how long what is sustained is measured, and ``sizes`` how many tasks the clock has.
    """

    scale: float = 1.0
    rounds: int = 5
    minutes: float = 0.5
    sizes: Sequence[int] = (1_000, 10_000, 100_000, 1_000_000)

    def scaled(self, amount: int, *, least: int = 1) -> int:
        """Return how much of an amount is wanted."""
        return max(least, int(amount * self.scale))


@dataclass(frozen=True)
class Report:
    """A table: ``command`` is how to have it again, ``rows`` are name and figure, ``goals`` figures by goals' keys."""

    title: str
    command: str
    rows: Sequence[tuple[str, str]]
    goals: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        wide = max(len(name) for name, _ in self.rows)
        lines = [f"  {name.ljust(wide)}  {figure}" for name, figure in self.rows]
        return "\n".join([f"{self.title}   ($ {self.command})", *lines])


def quantile(values: Sequence[float], part: float) -> float:
    """Return the value below which a part of the values lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def milliseconds(values: Sequence[float]) -> str:
    """Return median, 99th percentile and worst of some seconds."""
    p50, p99 = (quantile(values, part) * 1000 for part in (0.5, 0.99))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {max(values) * 1000:.1f} ms"


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios, round by round: what slows a round down slows both."""
    return median(one / other for one, other in zip(ours, theirs, strict=True))

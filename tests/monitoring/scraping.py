"""
What processes show on `/metrics`, and what `docs/metrics.md` says of it: read once, compared by several tests.
"""

import re
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
PROCESSES = ("operator", "worker", "api")

TARGET_LABELS = {"cluster", "namespace", "pod", "container", "endpoint", "service", "node", "job", "instance"}
"""Labels that Prometheus gives to everything that it scrapes from a pod."""


@dataclass(frozen=True)
class Series:
    """One line of a scrape; ``name`` is the name that a query uses."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Scrape:
    """One answer of a process: type by metric, and all series."""

    types: Mapping[str, str]
    series: list[Series]

    def values(self, name: str) -> list[float]:
        """Return the values of all series of a name."""
        return [one.value for one in self.series if one.name == name]

    def labels(self, name: str) -> list[set[str]]:
        """Return the names of the labels of each series of a name, or of a histogram's parts."""
        parts = {name, f"{name}_bucket", f"{name}_sum", f"{name}_count"}
        return [set(one.labels) - {"le"} for one in self.series if one.name in parts]


@dataclass(frozen=True)
class Documented:
    """A row of the table of metrics."""

    name: str
    type: str
    labels: set[str]
    processes: set[str]


def scrape(port: int) -> Scrape:
    """Ask a process for Ordinaut's own metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    ours = [family for family in families if family.name.startswith("ordinaut_")]
    types = {f"{one.name}_total" if one.type == "counter" else one.name: one.type for one in ours}
    return Scrape(types, [Series(s.name, s.labels, s.value) for one in ours for s in one.samples])


@cache
def documented() -> dict[str, Documented]:
    """Return what the page says of each metric."""
    found = {}
    for line in (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[0].startswith("`ordinaut_"):
            name, type_, labels, process, _ = cells
            processes = set(PROCESSES) if process == "all" else set(process.split(", "))
            name = name.strip("`")
            found[name] = Documented(name, type_, set(re.findall(r"`(\w+)`", labels)), processes)
    return found


def values_of(scrapes: Iterable[Scrape], label: str) -> set[str]:
    """Return all values of a label."""
    return {one.labels[label] for scrape in scrapes for one in scrape.series if label in one.labels}

"""Tables of figures as benchmarks print them, and what machine they are of."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
import psycopg


@dataclass(frozen=True)
class Report:
    """A table: ``command`` is how to have it again, ``rows`` are name and figure."""

    title: str
    command: str
    rows: Sequence[tuple[str, str]]

    def __str__(self) -> str:
        wide = max(len(name) for name, _ in self.rows)
        lines = [f"  {name.ljust(wide)}  {figure}" for name, figure in self.rows]
        return "\n".join([f"{self.title}   ($ {self.command})", *lines])


def machine() -> str:
    """Return one line about this machine."""
    gigabytes = psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    return (
        f"{psutil.cpu_count()} cores, {gigabytes:.0f} GiB, load {load:.1f}, {platform.system()},"
        f" Python {platform.python_version()}, libpq {psycopg.pq.version() // 10_000}"
    )


def quantile(values: Sequence[float], part: float) -> float:
    """Return the value below which a part of the values lies."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def milliseconds(values: Sequence[float]) -> str:
    """Return median, 99th percentile and worst of some seconds."""
    p50, p99 = (quantile(values, part) * 1000 for part in (0.5, 0.99))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, worst {max(values) * 1000:.1f} ms"

"""
What performance was set as a goal, and whether a figure meets it.

Benchmarks give figures by the key of a goal (:attr:`bench.report.Report.goals`); ``RESULTS.md`` and ``RESULTS.json``
show all goals with what was measured last, missed ones as missed. ``docs/performance.md`` explains them.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Goal:
    """A figure of a benchmark that must be ``at least`` or ``at most`` the bound."""

    key: str
    benchmark: str
    name: str
    side: Literal["at least", "at most"]
    bound: float
    unit: str = ""

    @property
    def target(self) -> str:
        """The bound as people read it."""
        return f"{'>=' if self.side == 'at least' else '<='} {self.shown(self.bound)}"

    def met(self, value: float) -> bool:
        """Whether a figure meets it."""
        return value >= self.bound if self.side == "at least" else value <= self.bound

    def shown(self, value: float) -> str:
        """Return a figure with its unit."""
        figure = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
        return f"{figure} {self.unit}".rstrip()


GOALS = (
    Goal("queue.graphile", "queue", "queue alone: times the rate of graphile-worker", "at least", 3),
    Goal("queue.pgqueuer", "queue", "queue alone: times the rate of pgqueuer", "at least", 8),
    Goal("queue.raw", "queue", "queue alone: part of the rate of the raw loop", "at least", 0.6),
    Goal("queue.postgres", "queue", "queue alone: CPU of PostgreSQL for a job", "at most", 10, "µs"),
    Goal("queue.client", "queue", "queue alone: CPU of the client for a job", "at most", 10, "µs"),
    Goal("queue.wal", "queue", "queue alone: WAL for a job", "at most", 520, "B"),
    Goal("queue.commits", "queue", "queue alone: commits for a batch", "at most", 1),
    Goal("runs.rate", "runs", "whole product: runs a second, two workers", "at least", 10_000, "/s"),
    Goal("runs.cpu", "runs", "whole product: CPU of all processes for a run", "at most", 130, "µs"),
    Goal("runs.wal", "runs", "whole product: WAL for a run", "at most", 1_800, "B"),
    Goal("runs.dbos", "runs", "whole product: times the rate of dbos", "at least", 20),
    Goal("runs.pgboss", "runs", "whole product: times the rate of pg-boss", "at least", 1),
    Goal("steps.rate", "steps", "a commit for each step: steps a second", "at least", 15_000, "/s"),
    Goal("pickup.p50", "pickup", "pick-up, idle: p50, times that of the raw notify loop", "at most", 1.3),
    Goal("pickup.p99", "pickup", "pick-up, idle: p99, times that of the raw notify loop", "at most", 2),
    Goal("clock.queued", "clock", "clock: 10,000 of 100,000 Tasks due at once, all queued", "at most", 0.6, "s"),
    Goal("clock.lone", "clock", "clock: a lone Task of 100,000, p99 late by", "at most", 0.05, "s"),
    Goal("clock.memory", "clock", "clock: memory of the operator with 1,000,000 Tasks", "at most", 500, "MiB"),
    Goal("clock.late", "clock", "clock: a lone Task of 1,000,000, p99 late by", "at most", 0.1, "s"),
    Goal("depth.million", "depth", "depth: rate at a backlog of 1,000,000, part of that at 20,000", "at least", 0.7),
    Goal("depth.snapshot", "depth", "depth: last 20,000 of 100,000, old snapshot, part of first", "at least", 0.8),
    Goal("depth.sustained", "depth", "depth: sustained, last third, part of the first", "at least", 0.95),
    Goal("sync.stored", "sync", "operator: 10,000 Tasks examined and stored", "at most", 15, "s"),
    Goal("events.matched", "events", "events: a second, a run each, 10,000 subscriptions", "at least", 2_000, "/s"),
    Goal("events.start", "events", "events: publishing by REST to the step's start, p50", "at most", 0.015, "s"),
    Goal("events.relayed", "events", "events: 100,000 rows, until all are in the stream", "at most", 20, "s"),
    Goal("events.cpu", "events", "events: CPU of operator and Valkey for each, in rows of 100", "at most", 8, "µs"),
    Goal("api.reads", "api", "api: reads of a task a second, 16 clients", "at least", 1_500, "/s"),
    Goal("api.p99", "api", "api: p99 of a read at 200 a second", "at most", 0.025, "s"),
    Goal("api.commits", "api", "api: commits for a created task", "at most", 1),
)
"""All goals, in the order in which they are shown."""

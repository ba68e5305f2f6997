"""
What PostgreSQL and the tools remember, held against what may never be otherwise.

The tests that replace processes while work is under way call `Ledger.check` at their end: each nominal time has fired
exactly once, each run has come to one end, each step has one committed result, each tool was called under one key, and
the events of a run are in order and without gaps.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from tests.toolserver import Effect


class Ledger:
    """Reads one database."""

    def __init__(self, database: str) -> None:
        self._database = database

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        options = "-c search_path=ordinaut -c timezone=UTC"
        with psycopg.connect(self._database, options=options, autocommit=True) as connection:
            return connection.execute(query, parameters).fetchall()

    def one(self, query: str, *parameters: Any) -> Any:
        """Return the only value of a query."""
        ((value,),) = self.rows(query, *parameters)
        return value

    def runs(self) -> dict[UUID, str]:
        """Return the phase of each run."""
        return dict(self.rows("SELECT run_id, phase FROM run"))

    def unfinished(self) -> int:
        """Return how many runs have not ended."""
        return int(self.one("SELECT count(*) FROM run WHERE finished_at IS NULL"))

    def check(self, *, steps: Sequence[str], every: timedelta, effects: Sequence[Effect], once: bool) -> int:
        """
        Hold all invariants of runs of `steps` that fire `every` so often; return how many runs there were.

        With `once`, no tool may have been called twice for a step: nobody was killed.
        """
        self.check_runs()
        self.check_fires(every)
        self.check_steps(steps)
        self.check_events(steps)
        self.check_calls(steps, effects, once=once)
        return len(self.runs())

    def check_runs(self) -> None:
        """Hold that each run came to its end, and none is still in the queue, delayed or under a lease."""
        made = self.runs()
        assert Counter(made.values()) == {"Succeeded": len(made)}, self.rows(
            "SELECT phase, reason, error FROM run WHERE phase <> 'Succeeded'"
        )
        assert self.rows("SELECT run_id FROM live_work") == []

    def check_fires(self, every: timedelta) -> None:
        """Hold that from its first nominal time on, each task fired at each of them, and each time made one run."""
        times: dict[int, list[datetime]] = defaultdict(list)
        for task, scheduled_at, outcome, run in self.rows(
            "SELECT task_id, scheduled_at, outcome, r.run_id"
            " FROM fire f LEFT JOIN run r USING (run_id, task_id, scheduled_at) ORDER BY task_id, scheduled_at"
        ):
            assert (outcome, run is not None) == ("Fired", True), (task, scheduled_at)
            times[task].append(scheduled_at)
        for task, fired in times.items():
            expected = [fired[0] + every * number for number in range(len(fired))]
            assert fired == expected, task
        by_schedule = "SELECT count(*) FROM run WHERE trigger = 'schedule'"
        assert sum(map(len, times.values())) == self.one(by_schedule)

    def check_steps(self, steps: Sequence[str]) -> None:
        """Hold that each run has one committed result of each of its steps, in their order."""
        committed: dict[UUID, list[tuple[str, str]]] = defaultdict(list)
        for run_id, step, phase in self.rows("SELECT run_id, step_id, phase FROM step ORDER BY run_id, seq"):
            committed[run_id].append((step, phase))
        assert dict(committed) == {run_id: [(step, "Succeeded") for step in steps] for run_id in self.runs()}

    def check_events(self, steps: Sequence[str]) -> None:
        """Hold that what a run did was told once, in its order and without gaps."""
        told: dict[str, list[str]] = defaultdict(list)
        for (events,) in self.rows(
            "SELECT events FROM (SELECT id, events FROM outbox UNION ALL SELECT id, events FROM event_log) e"
            " ORDER BY id"
        ):
            for event in events:
                if "run" in event and event["type"] != "run.redelivered":
                    told[event["run"]].append(event.get("step", event["type"]))
        assert dict(told) == {str(run_id): ["run.created", *steps, "run.succeeded"] for run_id in self.runs()}

    def check_calls(self, steps: Sequence[str], effects: Sequence[Effect], *, once: bool) -> None:
        """Hold that each step called its tool, always under the same key, and with `once` only once."""
        calls = Counter((effect.tool, effect.key) for effect in effects)
        assert calls.keys() == {(step, f"{run_id}/{step}") for run_id in self.runs() for step in steps}
        if once:
            assert set(calls.values()) <= {1}

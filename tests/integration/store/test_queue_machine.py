"""
The queue as a state machine: whatever workers, reaper and people do in whatever order, it does what a small model says.

Hypothesis chooses what happens next, to real PostgreSQL and to the model in Python; after each thing both must tell the
same. Deliveries are kept for good, so that those whose lease is lost go on trying to commit, as zombies do.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from ordinaut.states import RunPhase, StepPhase
from ordinaut.store import runs, work
from ordinaut.store.pool import open_pool
from ordinaut.store.settle import RunResult, Settlement, StepResult, settle
from ordinaut.store.work import LeasedWork, ward
from ordinaut_operator import janitor
from tests.integration.rows import make_runs, make_task

EXAMPLES = max(5, round(1000 * float(os.environ.get("ORDINAUT_TEST_FAULTS", "0"))))
LONG = timedelta(minutes=5)
MAX_DELIVERIES = 4
WORKERS = ["a", "b"]

Result = TypeVar("Result")


@dataclass
class Run:
    """What the model knows of a run: the one place where it is, and what was committed of it."""

    place: str = "due"
    attempt: int = 1
    in_ward: bool = False
    steps: dict[int, int] = field(default_factory=dict)
    """By step, the number of the delivery whose result was committed."""


@dataclass
class Lease:
    """What the model knows of a lease row."""

    worker: str
    items: dict[int, UUID]
    expired: bool = False


@dataclass
class Delivery:
    """A delivery as its worker sees it, which may be wrong."""

    work: LeasedWork
    number: int
    step: int = 0
    left: bool = False


class Queue(RuleBasedStateMachine):
    """The rules; ``database`` is the URL of a migrated database that nobody else uses."""

    def __init__(self, database: str) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.open = AsyncExitStack()
        self.pool = self.do(self.open.enter_async_context(open_pool(database, application="machine", size=2)))
        self.connection = self.do(self.open.enter_async_context(self.pool.connection()))
        self.task = self.do(self._emptied())
        self.runs: dict[UUID, Run] = {}
        self.leases: dict[int, Lease] = {}
        self.deliveries: list[Delivery] = []
        self.told: list[str] = []

    def do(self, work: Awaitable[Result]) -> Result:
        return self.loop.run_until_complete(_of(work))

    def teardown(self) -> None:
        self.do(self.open.aclose())
        self.loop.close()

    async def _emptied(self) -> int:
        for table in ("due_work", "delayed_work", "work_lease", "step", "run", "outbox", "active_run"):
            await self.connection.execute(f"DELETE FROM {table}")
        return await make_task(self.connection)

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        async def ask() -> list[tuple[Any, ...]]:
            return await (await self.connection.execute(query, parameters)).fetchall()  # type: ignore[arg-type]

        return self.do(ask())

    # ------------------------------------------------------------ what happens

    @rule(count=st.integers(1, 4))
    def create(self, count: int) -> None:
        for run_id in self.do(make_runs(self.connection, self.task, count)):
            self.runs[run_id] = Run()

    @rule(worker=st.sampled_from(WORKERS), limit=st.integers(1, 4), suspects=st.booleans())
    def lease(self, worker: str, limit: int, suspects: bool) -> None:
        queue = ward(0) if suspects else 0
        taken = self.do(work.lease(self.connection, worker=worker, limit=limit, ttl=LONG, queue=queue))

        due = [run_id for run_id, run in self.runs.items() if run.place == "due" and run.in_ward == suspects]
        assert len(taken) == min(limit, len(due))
        for one in taken:
            run = self.runs[one.run_id]
            assert (run.place, run.attempt) == ("due", one.attempt)
            run.place = "leased"
            lease = self.leases.setdefault(one.lease_id, Lease(worker, {}))
            lease.items[one.id] = one.run_id
            self.deliveries.append(Delivery(one, number=len(self.deliveries), step=len(run.steps)))

    @precondition(lambda self: self.deliveries)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        """Let some deliveries commit something, whether they may or not."""
        chosen = {
            one.work.run_id: one
            for one in data.draw(st.lists(st.sampled_from(self.deliveries), min_size=1, max_size=4, unique_by=id))
            if not one.left
        }
        kinds = ["step", "end", "wait", "release"]
        batch = [(one, self._settlement(one, data.draw(st.sampled_from(kinds)))) for one in chosen.values()]
        for one, settlement in batch:
            one.left = settlement.leaves_lease
        done = self._emptied_by([settlement for _, settlement in batch])

        valid = self.do(settle(self.connection, [settlement for _, settlement in batch], done=done))

        for one, settlement in batch:
            lease = self.leases.get(one.work.lease_id)
            held = lease is not None and one.work.id in lease.items
            run = self.runs[one.work.run_id]
            allowed = held and run.place == "leased"
            assert (settlement in valid) == allowed
            if held and lease is not None and settlement.leaves_lease:
                del lease.items[one.work.id]
            if allowed:
                self._commit(run, one, settlement)
        for lease_id in done:
            if lease_id in self.leases and not self.leases[lease_id].items:
                del self.leases[lease_id]

    def _settlement(self, one: Delivery, kind: str) -> Settlement:
        now = monotonic()
        phase = StepPhase.WAITING if kind == "wait" else StepPhase.SUCCEEDED
        output = None if kind == "wait" else str(one.number).encode()
        step = StepResult(one.step, "s", phase, 1, started=now, finished=now, output=output)
        results = {"end": RunResult(RunPhase.SUCCEEDED), "wait": RunResult(RunPhase.WAITING, delay=timedelta(0))}
        event = {"type": "test", "ns": "default", "n": f"{one.number}.{one.step}.{kind}.{len(self.told)}"}
        steps = [] if kind == "release" else [step]
        return Settlement(one.work, steps, results.get(kind), release=kind == "release", events=[event])

    def _emptied_by(self, settlements: list[Settlement]) -> list[int]:
        """Return the leases of which their workers believe that nothing is left under them."""
        left: dict[int, bool] = defaultdict(lambda: True)
        for one in self.deliveries:
            left[one.work.lease_id] &= one.left
        return sorted({one.work.lease_id for one in settlements if one.leaves_lease and left[one.work.lease_id]})

    def _commit(self, run: Run, one: Delivery, settlement: Settlement) -> None:
        self.told += [event["n"] for event in settlement.events]
        if settlement.steps and settlement.steps[0].phase is StepPhase.SUCCEEDED:
            run.steps.setdefault(one.step, one.number)
            one.step += 1
        if settlement.release:
            run.place = "due"
        elif settlement.run is not None:
            run.place = "delayed" if settlement.run.phase is RunPhase.WAITING else "Succeeded"

    @rule()
    def release_delayed(self) -> None:
        delayed = [run for run in self.runs.values() if run.place == "delayed"]

        assert self.do(work.release_delayed(self.connection)) == len(delayed)
        for run in delayed:
            run.place = "due"

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        run_id = data.draw(st.sampled_from(list(self.runs)))
        unfinished = self.runs[run_id].place in ("due", "delayed", "leased")

        ended = self.do(
            runs.finish(self.connection, [run_id], phase=RunPhase.CANCELLED, reason="Requested", error="me")
        )

        assert [one.run_id for one in ended] == ([run_id] if unfinished else [])
        if unfinished:
            self.runs[run_id].place = "Cancelled"

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def expire(self, data: st.DataObject) -> None:
        """Let time go by for one lease."""
        lease_id = data.draw(st.sampled_from(list(self.leases)))
        self.rows(
            "UPDATE work_lease SET leased_until = now() - interval '1 s' WHERE lease_id = %s RETURNING 1", lease_id
        )
        self.leases[lease_id].expired = True

    @precondition(lambda self: self.deliveries)
    @rule(data=st.data())
    def heartbeat(self, data: st.DataObject) -> None:
        """Let a worker prolong whatever it believes to hold."""
        worker = data.draw(st.sampled_from(WORKERS))
        believed = sorted({one.work.lease_id for one in self.deliveries if not one.left})

        kept = self.do(work.heartbeat(self.connection, worker=worker, leases=believed, ttl=LONG))

        assert kept == {id_ for id_ in believed if id_ in self.leases and self.leases[id_].worker == worker}
        for lease_id in kept:
            self.leases[lease_id].expired = False

    @rule()
    def reap(self) -> None:
        expired = {id_: lease for id_, lease in self.leases.items() if lease.expired}
        lost = [run_id for lease in expired.values() for run_id in lease.items.values()]
        lost = [run_id for run_id in lost if self.runs[run_id].place == "leased"]

        assert self.do(janitor.reap(self.pool, max_deliveries=MAX_DELIVERIES)) == len(lost)
        for run_id in lost:
            run = self.runs[run_id]
            run.in_ward = run.in_ward or run.attempt >= janitor.SUSPECTED_AFTER
            run.place = "due" if run.attempt < MAX_DELIVERIES else "Parked"
            run.attempt += run.place == "due"
        for lease_id in expired:
            del self.leases[lease_id]

    # ------------------------------------------------------------ what must be true then

    @invariant()
    def every_unfinished_run_is_in_the_one_place(self) -> None:
        found = defaultdict(list)
        for run_id, place, attempt in self.rows(
            "SELECT q.* FROM (SELECT run_id, 'due', attempt FROM due_work"
            " UNION ALL SELECT run_id, 'delayed', attempt FROM delayed_work"
            " UNION ALL SELECT item.run_id, 'leased', item.attempt FROM work_lease CROSS JOIN unnest(items) item) q"
            " JOIN run USING (run_id) WHERE finished_at IS NULL"
        ):
            found[run_id].append((place, attempt))
        unfinished = {id_: run for id_, run in self.runs.items() if run.place in ("due", "delayed", "leased")}
        assert found == {run_id: [(run.place, run.attempt)] for run_id, run in unfinished.items()}

    @invariant()
    def ends_and_results_are_those_that_were_committed(self) -> None:
        ended = dict(self.rows("SELECT run_id, phase FROM run WHERE finished_at IS NOT NULL"))
        assert ended == {
            run_id: run.place for run_id, run in self.runs.items() if run.place not in ("due", "delayed", "leased")
        }
        results = self.rows("SELECT run_id, seq, output::int FROM step WHERE phase = 'Succeeded'")
        committed = [(run_id, seq, number) for run_id, run in self.runs.items() for seq, number in run.steps.items()]
        assert sorted(results) == sorted(committed)

    @invariant()
    def what_was_committed_was_told_once(self) -> None:
        told = [event["n"] for (events,) in self.rows("SELECT events FROM outbox") for event in events if "n" in event]
        assert sorted(told) == sorted(self.told)


async def _of(work: Awaitable[Result]) -> Result:
    return await work


def test_the_queue_does_what_the_model_says(database: str) -> None:
    run_state_machine_as_test(
        lambda: Queue(database), settings=settings(max_examples=EXAMPLES, stateful_step_count=25, deadline=None)
    )

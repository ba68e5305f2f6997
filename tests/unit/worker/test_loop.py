"""The worker's loop: how much it takes, when it looks again, and how it stops."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from ordinaut.errors import LeaseLost
from ordinaut.probes import Readiness
from ordinaut.states import RunPhase
from ordinaut.store.settle import Settlement
from ordinaut.store.work import Flow, Gap, Head, LeasedWork, Share
from ordinaut_worker import loop as module
from ordinaut_worker.holding import Holding
from ordinaut_worker.loop import WorkLoop
from tests.unit.worker.works import leased

GRACE = timedelta(seconds=10)


class Pool:
    """A pool whose connections are not used."""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        yield None


class Queue:
    """Takes the place of the queue in PostgreSQL."""

    def __init__(self, *waiting: LeasedWork) -> None:
        self.waiting = list(waiting)
        self.asked: list[tuple[int, list[Head], list[Share]]] = []
        self.away = False
        self.answering = asyncio.Event()
        self.answering.set()

    async def take(
        self, _connection: Any, *, limit: int, heads: list[Head], shares: Sequence[Share] = (), **_more: Any
    ) -> list[LeasedWork]:
        self.asked.append((limit, heads, list(shares)))
        most = Counter({head.queue: head.limit for head in heads})
        flows = Counter({share.flow: share.limit for share in shares})
        taken: list[LeasedWork] = []
        for one in list(self.waiting):
            wanted = flows if flows[one.flow] else most
            key: Any = one.flow if flows[one.flow] else one.queue
            if wanted[key] > 0 and len(taken) < limit:
                wanted[key] -= 1
                taken.append(one)
                self.waiting.remove(one)
        await self.answering.wait()
        if self.away:
            raise psycopg.OperationalError("no route")
        return taken

    async def flows(self, _connection: Any, gaps: list[Gap], *, limit: int) -> dict[Flow, timedelta]:
        inside = [
            one.flow
            for one in self.waiting
            for gap in gaps
            if (gap.queue, gap.urgency) == one.flow[:2] and gap.after_lane < one.lane < gap.before_lane
        ]
        return dict.fromkeys(inside[:limit], timedelta(0))

    async def release_delayed(self, _connection: Any) -> int:
        return 0

    async def admit(self, _connection: Any, **_more: Any) -> None:
        """Nobody waits for a concurrency key."""


class Runs:
    """Carries out runs as the test says."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.ended: list[int] = []
        self.go_on = asyncio.Event()
        self.raises: Exception | None = None
        self.immediate: set[int] = set()

    def begin(self, work: LeasedWork) -> Coroutine[Any, Any, None] | None:
        if work.id not in self.immediate:
            return self.carry_out(work)
        if self.raises is not None:
            raise self.raises
        self.ended.append(work.id)
        return None

    async def carry_out(self, work: LeasedWork) -> None:
        self.started.append(work.id)
        await self.go_on.wait()
        if self.raises is not None:
            raise self.raises
        self.ended.append(work.id)


class Settled:
    """Takes the place of the settler."""

    def __init__(self) -> None:
        self.settlements: list[Settlement] = []
        self.has_enough = False
        self.committed = asyncio.Event()
        self.committed.set()
        self.progressed: Callable[[], None] = lambda: None

    def tell(self, progressed: Callable[[], None]) -> None:
        self.progressed = progressed

    def hand_over(self, settlement: Settlement) -> None:
        self.settlements.append(settlement)

    async def emptied(self) -> None:
        await self.committed.wait()


class Worker:
    """A loop with everything around it."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *waiting: LeasedWork, slots: int, queues: Sequence[int] = (0,)
    ) -> None:
        self.queue = Queue(*waiting)
        self.runs = Runs()
        self.settled = Settled()
        self.readiness = Readiness()
        monkeypatch.setattr(module.queue, "take", self.queue.take)
        monkeypatch.setattr(module.queue, "flows", self.queue.flows)
        monkeypatch.setattr(module.queue, "release_delayed", self.queue.release_delayed)
        monkeypatch.setattr(module.admission, "admit", self.queue.admit)
        pool: Any = Pool()
        settler: Any = self.settled
        self.holding = Holding()
        self.loop = WorkLoop(
            pool,
            worker="w",
            queues=lambda: queues,
            slots=slots,
            lease=timedelta(seconds=30),
            poll=timedelta(seconds=30),
            holding=self.holding,
            settler=settler,
            begin=self.runs.begin,
            readiness=self.readiness,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        task = asyncio.create_task(self.loop.run())
        await idle()
        yield task
        self.runs.go_on.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await idle()


async def idle() -> None:
    """Let everything happen that can happen now."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_never_more_is_taken_than_there_are_free_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(monkeypatch, *(leased(n) for n in range(1, 8)), slots=3)

    async with worker.running():
        assert worker.runs.started == [1, 2, 3]
        assert [limit for limit, *_ in worker.queue.asked] == [3]
        worker.runs.go_on.set()
        await idle()

    assert worker.runs.ended == list(range(1, 8))
    assert all(limit <= 3 for limit, *_ in worker.queue.asked)


async def test_a_full_batch_is_followed_by_what_lies_behind_it_and_the_end_by_the_heads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = [leased(n) for n in range(1, 4)]
    worker = Worker(monkeypatch, *made, slots=2)

    async with worker.running():
        worker.runs.go_on.set()
        await idle()

    behind = Share(made[1].flow, 2, made[1].due_at, made[1].id)
    heads = [Head(0, 2), Head(-1, 1)]
    assert worker.queue.asked[0] == (2, heads, [])
    assert behind._replace(limit=1) in worker.queue.asked[1][2]
    assert worker.queue.asked[-1] == (2, heads, [])
    assert worker.runs.ended == [1, 2, 3]


async def test_under_a_backlog_the_work_of_another_lane_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    flood = [leased(n, lane=1) for n in range(1, 9)]
    worker = Worker(monkeypatch, *flood, leased(9, lane=2), slots=2)

    async with worker.running():
        worker.runs.go_on.set()
        await idle()

    assert worker.runs.started.index(9) <= 4


async def test_of_a_ward_one_run_is_carried_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(monkeypatch, leased(1, queue=-1), leased(2, queue=-1), leased(3), slots=3)

    async with worker.running():
        worker.loop.wake(-1)
        await idle()
        assert worker.runs.started == [1, 3]
        worker.runs.go_on.set()
        await idle()

    assert worker.runs.ended == [1, 3, 2]


async def test_a_worker_of_one_slot_carries_runs_of_a_ward_and_others_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    suspects = [leased(n, queue=-1) for n in range(1, 6)]
    worker = Worker(monkeypatch, *(leased(n) for n in range(11, 16)), *suspects, slots=1)
    monkeypatch.setattr(module, "LOOK_AROUND", 0.0)
    worker.runs.go_on.set()

    async with worker.running():
        for _ in range(20):
            await idle()

    assert len(worker.runs.ended) == 10
    assert 2 <= sum(n > 10 for n in worker.runs.ended[:5]) <= 3


async def test_no_ward_is_looked_into_before_the_others_only(monkeypatch: pytest.MonkeyPatch) -> None:
    flood = [leased(n) for n in range(1, 11)]
    worker = Worker(monkeypatch, *flood, leased(99, queue=-2), slots=1, queues=[0, 1])
    monkeypatch.setattr(module, "LOOK_AROUND", 0.0)
    worker.runs.go_on.set()

    async with worker.running():
        for _ in range(20):
            await idle()

    assert worker.runs.ended.index(99) <= 3


async def test_a_notification_makes_it_look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(monkeypatch, slots=2)

    async with worker.running():
        worker.queue.waiting.append(leased(1))
        worker.loop.wake(0)
        await idle()
        assert worker.runs.started == [1]


async def test_news_of_a_queue_that_it_does_not_serve_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(monkeypatch, slots=2)

    async with worker.running():
        looked = len(worker.queue.asked)
        worker.loop.wake(7)
        await idle()
        assert len(worker.queue.asked) == looked


async def test_while_the_database_is_away_it_is_not_ready_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(monkeypatch, slots=2)
    worker.queue.away = True

    async with worker.running():
        assert worker.readiness.reasons == {"database": "no route"}
        worker.queue.away = False
        worker.loop.wake(0)
        await idle()
        assert worker.readiness.ready


async def test_draining_gives_back_what_is_just_being_leased(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(monkeypatch, leased(1), slots=2)
    worker.queue.answering.clear()

    async with worker.running():
        draining = asyncio.create_task(worker.loop.drain(grace=GRACE))
        await idle()
        assert not draining.done()
        worker.queue.answering.set()
        await draining

    assert worker.runs.started == []
    assert worker.settled.settlements == [Settlement(leased(1), release=True, begun=False)]


async def test_draining_waits_for_results_that_are_not_committed_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(monkeypatch, slots=2)
    worker.settled.committed.clear()

    async with worker.running():
        draining = asyncio.create_task(worker.loop.drain(grace=GRACE))
        await idle()
        assert not draining.done()
        worker.settled.committed.set()
        await draining


async def test_while_too_many_results_wait_nothing_more_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(monkeypatch, leased(1), slots=2)
    worker.settled.has_enough = True

    async with worker.running():
        assert worker.queue.asked == []
        worker.settled.has_enough = False
        worker.settled.progressed()
        await idle()
        assert worker.runs.started == [1]


async def test_of_runs_that_need_no_waiting_more_are_taken_than_there_are_slots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = Worker(monkeypatch, *(leased(n) for n in range(1, 9)), slots=2)
    worker.runs.immediate = set(range(1, 9))
    monkeypatch.setattr(module, "AHEAD", 3600.0)

    async with worker.running():
        assert worker.runs.ended == list(range(1, 9))
        assert [limit for limit, *_ in worker.queue.asked][:2] == [2, module.MAX_BATCH]
        assert (len(worker.holding), worker.runs.started) == (0, [])


async def test_what_turns_out_to_need_a_slot_that_is_not_there_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(monkeypatch, *(leased(n) for n in range(1, 7)), slots=2)
    worker.runs.immediate = {1, 2}
    monkeypatch.setattr(module, "AHEAD", 3600.0)

    async with worker.running():
        assert worker.runs.started == [3, 4]
        assert worker.settled.settlements == [Settlement(leased(n), release=True, begun=False) for n in (5, 6)]


async def test_a_run_that_is_cancelled_before_its_first_moment_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(monkeypatch, leased(1), slots=2)
    taken = worker.holding.add

    def cancelled_at_once(work: LeasedWork, task: "asyncio.Task[None]") -> None:
        taken(work, task)
        worker.holding.stop([work.run_id])

    monkeypatch.setattr(worker.holding, "add", cancelled_at_once)

    async with worker.running():
        assert worker.runs.started == []
        assert worker.settled.settlements == [Settlement(leased(1), release=True)]
        assert len(worker.holding) == 0


async def test_a_defect_of_a_run_that_needs_no_waiting_fails_it_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(monkeypatch, leased(1), leased(2), slots=2)
    worker.runs.immediate = {1}
    worker.runs.raises = KeyError("a defect")

    async with worker.running():
        (settlement,) = worker.settled.settlements
        assert (settlement.work.id, settlement.run and settlement.run.reason) == (1, "WorkerError")
        assert worker.runs.started == [2]
        worker.runs.raises = None


async def test_draining_gives_back_what_does_not_end_within_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(monkeypatch, leased(1), leased(2), slots=2)

    async with worker.running() as loop:
        await worker.loop.drain(grace=timedelta(0))
        assert loop.done()

    assert worker.runs.ended == []
    assert {(one.work.id, one.release) for one in worker.settled.settlements} == {(1, True), (2, True)}


async def test_a_drained_worker_takes_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(monkeypatch, slots=2)

    async with worker.running() as loop:
        await worker.loop.drain(grace=GRACE)
        worker.queue.waiting.append(leased(1))
        worker.loop.wake(0)
        await idle()
        assert loop.done()

    assert worker.runs.started == []


async def test_a_defect_fails_its_run_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(monkeypatch, leased(1), slots=2)
    worker.runs.raises = KeyError("a defect")
    worker.runs.go_on.set()

    async with worker.running():
        pass

    (settlement,) = worker.settled.settlements
    assert settlement.run is not None
    assert (settlement.run.phase, settlement.run.reason) == (RunPhase.FAILED, "WorkerError")
    assert settlement.run.error == "KeyError: 'a defect'"
    assert [event["type"] for event in settlement.events] == ["run.failed"]


async def test_a_run_that_somebody_else_has_ended_leaves_its_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its worker learns it from a commit that is refused; nobody else tells it any more."""
    worker = Worker(monkeypatch, leased(1), slots=2)
    worker.runs.raises = LeaseLost()

    async with worker.running():
        pass

    assert worker.settled.settlements == [Settlement(leased(1), release=True)]


async def test_lost_work_is_dropped_without_a_word_to_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(monkeypatch, leased(1), leased(2), slots=2)
    worker.runs.raises = LeaseLost()

    async with worker.running():
        worker.holding.lost([1])
        await idle()

    assert worker.settled.settlements == []
    assert len(worker.holding) == 0

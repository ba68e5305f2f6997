"""Gathering results into transactions: who waits for what, and what happens when PostgreSQL refuses."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from ordinaut.states import RunPhase
from ordinaut.store.settle import RunResult, Settlement
from ordinaut_worker import settle as module
from ordinaut_worker.holding import Holding
from ordinaut_worker.settle import ENOUGH, MAX_BATCH, Settler
from tests.unit.worker.works import leased

DONE = RunResult(RunPhase.SUCCEEDED)


class Pool:
    """A pool whose connections are not used."""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        yield None


class Store:
    """Takes the place of the settling transaction: remembers batches, and answers or fails as told."""

    def __init__(self) -> None:
        self.batches: list[list[Settlement]] = []
        self.fail: Callable[[Sequence[Settlement]], Exception | None] = lambda _: None
        self.lost: set[int] = set()
        self.open = asyncio.Event()
        self.open.set()

    async def settle(self, _connection: Any, batch: Sequence[Settlement], **_more: Any) -> list[Settlement]:
        await self.open.wait()
        self.batches.append(list(batch))
        if (error := self.fail(batch)) is not None:
            raise error
        return [one for one in batch if one.work.id not in self.lost]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    taken = Store()
    monkeypatch.setattr(module, "settle", taken.settle)
    return taken


@pytest.fixture
async def settler() -> AsyncIterator[Settler]:
    pool: Any = Pool()
    started = Settler(pool, holding=Holding())
    running = asyncio.create_task(started.run())
    yield started
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_one_result_is_committed_at_once(store: Store, settler: Settler) -> None:
    assert await settler.commit(Settlement(leased(1), run=DONE)) is True
    assert [len(batch) for batch in store.batches] == [1]


async def test_results_gather_while_a_transaction_is_on_its_way(store: Store, settler: Settler) -> None:
    store.open.clear()
    first = asyncio.create_task(settler.commit(Settlement(leased(1), run=DONE)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(settler.commit(Settlement(leased(n), run=DONE))) for n in range(2, MAX_BATCH + 12)]
    await asyncio.sleep(0)
    store.open.set()

    assert await asyncio.gather(first, *others) == [True] * (MAX_BATCH + 11)
    assert [len(batch) for batch in store.batches] == [1, MAX_BATCH, 10]


async def test_whose_lease_is_lost_is_told_and_the_others_are_not(store: Store, settler: Settler) -> None:
    store.lost = {2}

    answers = await asyncio.gather(*(settler.commit(Settlement(leased(n), run=DONE)) for n in (1, 2, 3)))

    assert answers == [True, False, True]


async def test_two_settlements_of_one_run_go_one_after_the_other(store: Store, settler: Settler) -> None:
    waits = Settlement(leased(1), run=RunResult(RunPhase.WAITING, delay=timedelta(0)))
    gives_back = Settlement(leased(1), release=True)

    await asyncio.gather(settler.commit(waits), settler.commit(Settlement(leased(2))), settler.commit(gives_back))

    assert store.batches == [[waits, Settlement(leased(2))], [gives_back]]


async def test_what_is_handed_over_is_committed_and_nobody_waits(store: Store, settler: Settler) -> None:
    heard: list[int] = []
    settler.tell(lambda: heard.append(len(store.batches)))

    settler.hand_over(Settlement(leased(1), run=DONE))
    settler.hand_over(Settlement(leased(2), run=DONE))
    await settler.emptied()

    assert [[one.work.id for one in batch] for batch in store.batches] == [[1, 2]]
    assert heard == [1]


async def test_it_is_empty_only_when_everything_is_committed(store: Store, settler: Settler) -> None:
    store.open.clear()
    settler.hand_over(Settlement(leased(1), run=DONE))
    emptied = asyncio.create_task(settler.emptied())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    settler.hand_over(Settlement(leased(2), run=DONE))
    await asyncio.sleep(0)

    assert not emptied.done()
    store.open.set()
    await emptied
    assert [len(batch) for batch in store.batches] == [1, 1]


async def test_it_has_enough_while_too_much_waits(store: Store, settler: Settler) -> None:
    store.open.clear()
    for number in range(ENOUGH):
        assert not settler.has_enough
        settler.hand_over(Settlement(leased(number + 1), run=DONE))

    assert settler.has_enough
    store.open.set()
    await settler.emptied()
    assert not settler.has_enough


async def test_results_are_kept_while_the_database_is_away(store: Store, settler: Settler) -> None:
    store.fail = lambda _: psycopg.OperationalError("gone") if len(store.batches) < 3 else None

    assert await settler.commit(Settlement(leased(1), run=DONE)) is True
    assert len(store.batches) == 3


async def test_a_result_that_is_refused_fails_its_run_and_holds_up_no_other(store: Store, settler: Settler) -> None:
    bad = leased(2)

    def refuse(batch: Sequence[Settlement]) -> Exception | None:
        wrong = any(one.work == bad and one.run == DONE for one in batch)
        return psycopg.DataError("text can't contain NUL") if wrong else None

    store.fail = refuse
    said = [{"type": "run.succeeded"}]

    answers = await asyncio.gather(
        *(settler.commit(Settlement(work, run=DONE, events=said)) for work in (leased(1), bad, leased(3)))
    )

    assert answers == [True, False, True]
    (instead,) = [batch[0] for batch in store.batches if batch[0].work == bad and batch[0].run != DONE]
    assert instead.run is not None
    assert (instead.run.phase, instead.run.reason) == (RunPhase.FAILED, "ResultRefused")
    assert "text can't contain NUL" in (instead.run.error or "")
    assert [event["type"] for event in instead.events] == ["run.failed"]


async def test_a_refusal_of_the_refusal_ends_too(store: Store, settler: Settler) -> None:
    store.fail = lambda _: psycopg.DataError("no")

    async with asyncio.timeout(60):
        assert await settler.commit(Settlement(leased(1), run=DONE)) is False


async def test_who_no_longer_waits_does_not_stop_the_others(store: Store, settler: Settler) -> None:
    store.open.clear()
    gone = asyncio.create_task(settler.commit(Settlement(leased(1), run=DONE)))
    stays = asyncio.create_task(settler.commit(Settlement(leased(2), run=DONE)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gone.cancel()
    store.open.set()

    assert await stays is True
    assert [one.work.id for batch in store.batches for one in batch] == [1, 2]

"""Which queues a worker takes from: what notifications are about, and when it looks for new ones."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from ordinaut.process import stop
from ordinaut_worker import queues as module
from ordinaut_worker.queues import ChosenQueues


class Pool:
    """A pool whose connections are not used."""

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        yield None


class Store:
    """Takes the place of the table of queues."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.looks = 0
        self.away = False
        self.looked = asyncio.Event()

    async def every(self, _connection: Any) -> dict[str, int]:
        self.looks += 1
        self.looked.set()
        if self.away:
            raise psycopg.OperationalError("no route")
        return {name: number for number, name in enumerate(self.names)}

    async def look(self) -> None:
        """Wait for the next look, and until it has been taken in."""
        self.looked.clear()
        await asyncio.wait_for(self.looked.wait(), 30)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    found = Store("default", "heavy", "gpu")
    monkeypatch.setattr(module.queues, "every", found.every)
    monkeypatch.setattr(module, "LOOK_EVERY", 3600.0)
    monkeypatch.setattr(module, "RETRY", 0.001)
    return found


@asynccontextmanager
async def looking(store: Store, *names: str) -> AsyncIterator[tuple[ChosenQueues, list[list[int]]]]:
    """Yield what was chosen after the first look, and its numbers each time they had changed."""
    changes: list[list[int]] = []
    chosen = ChosenQueues(Pool(), names=names, changed=lambda: changes.append(list(chosen.numbers)))  # type: ignore[arg-type]
    assert chosen.numbers == ()
    task = asyncio.create_task(chosen.run())
    await store.look()
    try:
        yield chosen, changes
    finally:
        await stop(task)


async def test_names_become_numbers(store: Store) -> None:
    async with looking(store, "gpu", "default") as (chosen, changes):
        assert chosen.numbers == [0, 2]
        assert changes == [[0, 2]]


async def test_a_notification_wakes_the_workers_of_its_queue_only(store: Store) -> None:
    async with looking(store, "gpu") as (chosen, _):
        assert [chosen.told(payload) for payload in ("2", "-3", "0", "1")] == [[2], [2], [], []]
        # Who does not say which may mean any: an older process, or a connection that was away.
        assert [chosen.told(payload) for payload in (None, "", "?")] == [[2], [2], [2]]
        assert store.looks == 1


async def test_a_worker_of_all_queues_hears_of_a_new_one_at_once(store: Store) -> None:
    async with looking(store, "*") as (chosen, changes):
        store.names.append("new")
        assert chosen.told("3") == []
        await store.look()
        assert changes == [[0, 1, 2], [0, 1, 2, 3]]
        assert chosen.told("3") == [3]


async def test_a_queue_may_come_later_than_its_worker(store: Store) -> None:
    async with looking(store, "later") as (chosen, changes):
        assert chosen.numbers == []
        store.names.append("later")
        chosen.told("3")
        await store.look()
        assert (chosen.numbers, changes) == ([3], [[], [3]])


async def test_while_the_database_is_away_what_was_known_counts(store: Store) -> None:
    async with looking(store, "*") as (chosen, _):
        store.away = True
        chosen.told("7")
        await store.look()
        assert chosen.numbers == [0, 1, 2]
        store.away = False
        store.names.append("new")
        async with asyncio.timeout(30):
            while len(chosen.numbers) < 4:
                await asyncio.sleep(0.001)
        assert chosen.numbers == [0, 1, 2, 3]

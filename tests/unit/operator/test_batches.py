"""Batches reach the database, one bad object holds up nobody, and an outage loses nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import psycopg
import pytest

from ordinaut.declaration.apply import Applied
from ordinaut.states import Origin
from ordinaut.store.declared import Declared, Incarnation, Key, Owner
from ordinaut_operator.sync import batches
from ordinaut_operator.sync.batches import Batches
from ordinaut_operator.sync.queue import Queue


def document(name: str, uid: str = "1") -> dict[str, Any]:
    return {
        "apiVersion": "ordinaut.io/v1alpha1",
        "kind": "Task",
        "metadata": {"name": name, "namespace": "default", "uid": uid, "generation": 1},
        "spec": {"pipelineRef": {"name": "hello"}},
    }


class Store:
    """Stands in for `ordinaut.declaration`: keeps what was applied, refuses poison, and may be away."""

    def __init__(self) -> None:
        self.applied: dict[str, str] = {}
        self.removed: list[str] = []
        self.poison: set[str] = set()
        self.away = False
        self.conflicts: dict[Key, Owner] = {}
        self.transactions = 0

    async def apply(self, _pool: Any, objects: Sequence[Declared], *, origin: Origin) -> Applied:
        self._begin(origin)
        if any(one.key.name in self.poison for one in objects):
            raise psycopg.errors.CheckViolation("poison")
        self.applied |= {one.key.name: one.uid for one in objects if one.key not in self.conflicts}
        return Applied([one.key for one in objects], dict(self.conflicts))

    async def remove(self, _pool: Any, gone: Sequence[Incarnation], *, origin: Origin) -> list[Key]:
        self._begin(origin)
        for one in gone:
            self.removed.append(one.uid)
            if self.applied.get(one.key.name) == one.uid:
                del self.applied[one.key.name]
        return [one.key for one in gone]

    def _begin(self, origin: Origin) -> None:
        assert origin is Origin.KUBERNETES
        self.transactions += 1
        if self.away:
            raise psycopg.OperationalError("connection refused")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store()
    monkeypatch.setattr(batches, "apply", store.apply)
    monkeypatch.setattr(batches, "remove", store.remove)
    return store


@contextlib.asynccontextmanager
async def running(queue: Queue, **more: Any) -> AsyncIterator[Batches]:
    subject = Batches(pool=None, queue=queue, origin=Origin.KUBERNETES, **more)  # type: ignore[arg-type]
    task = asyncio.create_task(subject.run())
    yield subject
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def test_objects_are_written_in_few_transactions(store: Store) -> None:
    queue = Queue()
    for number in range(250):
        queue.see(document(f"t{number}", str(number)))
    async with running(queue, batch=100):
        await eventually(lambda: not len(queue))
    assert len(store.applied) == 250
    assert store.transactions == 3


async def test_nothing_is_taken_before_it_may_be_written_and_then_the_newest_is(store: Store) -> None:
    queue, asked, allowed = Queue(), asyncio.Event(), asyncio.Event()
    queue.see(document("a", "old"))

    async def may_write() -> None:
        asked.set()
        await allowed.wait()

    async with running(queue, allowed=may_write):
        await asyncio.wait_for(asked.wait(), 60)
        assert store.transactions == 0
        queue.see(document("a", "new"))
        allowed.set()
        await eventually(lambda: not len(queue))
    assert store.applied == {"a": "new"}
    assert store.removed == ["old"]


async def test_a_poison_object_is_set_aside_and_the_others_are_written(store: Store) -> None:
    queue = Queue()
    store.poison = {"t13"}
    for number in range(50):
        queue.see(document(f"t{number}", str(number)))
    async with running(queue) as subject:
        await eventually(lambda: len(queue) == 1)
        assert set(store.applied) == {f"t{number}" for number in range(50)} - {"t13"}
        store.poison = set()
        queue.see(document("t13", "13"), again=True)
        subject.arrived()
        await eventually(lambda: not len(queue))
    assert "t13" in store.applied


async def test_an_outage_loses_neither_edits_nor_deletes(store: Store) -> None:
    queue = Queue()
    queue.see(document("old", "1"))
    async with running(queue) as subject:
        await eventually(lambda: not len(queue))
        store.away = True
        tried = store.transactions
        queue.see(document("new", "2"))
        queue.gone(Key("Task", "default", "old"), "1")
        subject.arrived()
        await eventually(lambda: store.transactions > tried + 1)
        assert len(queue) == 2
        store.away = False
        await eventually(lambda: not len(queue))
    assert store.applied == {"new": "2"}


async def test_a_name_that_is_used_again_ends_the_old_object_before_the_new_one_is_written(store: Store) -> None:
    queue = Queue()
    queue.see(document("briefing", "old"))
    queue.gone(Key("Task", "default", "briefing"), "old")
    queue.see(document("briefing", "new"))
    async with running(queue):
        await eventually(lambda: not len(queue))
    assert store.removed == ["old"]
    assert store.applied == {"briefing": "new"}


async def test_the_listener_hears_what_was_written_and_which_names_are_taken(store: Store) -> None:
    heard: list[Any] = []
    key = Key("Task", "default", "briefing")
    store.conflicts = {key: Owner(Origin.API, "theirs")}
    queue = Queue()
    queue.see(document("briefing"))
    async with running(queue, written=lambda keys, conflicts: heard.append((list(keys), dict(conflicts)))):
        await eventually(lambda: bool(heard))
    assert heard == [([key], store.conflicts)]


async def test_an_object_with_a_wrong_spec_is_written_as_such(store: Store) -> None:
    queue = Queue()
    queue.see(document("wrong") | {"spec": {"cron": "nonsense"}})
    async with running(queue):
        await eventually(lambda: not len(queue))
    assert store.applied == {"wrong": "1"}

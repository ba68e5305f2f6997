"""Redis is killed, emptied, filled up: runs go on, each accepted event is told, and triggers fire exactly once (F9)."""

import asyncio
import contextlib
import json
import random
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis

from ordinaut.access.caller import LOCAL
from ordinaut.declaration import publishing
from ordinaut.events.envelope import NewEvent, expand, id_of, key_of
from ordinaut.events.inbox import GROUP, INBOX, REJECTED
from ordinaut.events.stream import STREAM
from tests.declaring import declare, task
from tests.faults.conftest import Tell
from tests.faults.counts import choices, count, seconds
from tests.faults.scene import Scene, moment, steps
from tests.servers import StoppableValkey

pytestmark = pytest.mark.integration

FAULTS = count("F9")
TOPIC = "mail.received"
DEAD = 5
"""Entries of the inbox that a reader takes which is never heard of again."""


class Consumer:
    """
    Reads the stream as its users do: on from the last entry, from the first one if the stream is another one.

    It remembers the events in the order in which it first saw each, and reads slowly: what is lost it has not all seen.
    """

    def __init__(self, url: str) -> None:
        self.seen: dict[str, dict[str, Any]] = {}
        self._url = url
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> "Consumer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _read(self) -> None:
        last: Any = "0-0"
        with redis.Redis.from_url(self._url, socket_timeout=5, decode_responses=True) as client:
            while not self._stopped.is_set():
                try:
                    answer: Any = client.xread({STREAM: last}, count=500, block=100)
                    if not answer and client.exists(STREAM) and _is_older(client, last):
                        last = "0-0"
                except redis.RedisError:
                    self._stopped.wait(0.05)
                    continue
                for _, entries in answer or ():
                    for entry, fields in entries:
                        last = entry
                        self.seen.setdefault(fields["id"], json.loads(fields["event"]))
                self._stopped.wait(0.5)


def _is_older(client: Any, last: str) -> bool:
    """Whether the stream ends before an entry that it had."""
    end = client.xinfo_stream(STREAM)["last-generated-id"]
    return tuple(map(int, end.split("-"))) < tuple(map(int, last.split("-")))


def killed(server: StoppableValkey) -> None:
    server.stop()
    server.start()


def away(server: StoppableValkey) -> None:
    server.stop()
    threading.Event().wait(1)  # the outage itself
    server.start()


def emptied(server: StoppableValkey) -> None:
    server.stop()
    server.lose()
    server.start()


def flushed(server: StoppableValkey) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()


def deleted(server: StoppableValkey) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.delete(STREAM)


def filled(server: StoppableValkey) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory", 1)
        threading.Event().wait(0.5)  # as long as it is full
        client.config_set("maxmemory", 0)


KINDS: list[Callable[[StoppableValkey], None]] = [killed, away, emptied, flushed, deleted, filled]


def kinds(chance: random.Random) -> list[Callable[[StoppableValkey], None]]:
    """Return the faults: each kind, and as many others as chance makes them."""
    chosen = [*KINDS, *chance.choices(KINDS, k=FAULTS)][:FAULTS]
    chance.shuffle(chosen)
    return chosen


@asynccontextmanager
async def publishing_all_the_time(scene: Scene, url: str) -> AsyncIterator[None]:
    """Publish by the API's way and by the inbox, as long as the context lasts."""

    async def by_transaction() -> None:
        number = 0
        while True:
            named = NewEvent(TOPIC, data=number, id=str(number), source="https://mail.example")
            async with scene.pool.connection() as connection, connection.transaction():
                await publishing.publish(connection, namespace="default", events=[named], by=LOCAL)
            number += 1
            await asyncio.sleep(0.1)

    def append() -> None:
        with redis.Redis.from_url(url) as client, contextlib.suppress(redis.RedisError):
            client.xadd(INBOX, {"namespace": "default", "type": TOPIC, "data": '"by the inbox"'})

    async def by_inbox() -> None:
        while True:
            await asyncio.to_thread(append)
            await asyncio.sleep(0.1)

    working = [asyncio.create_task(work()) for work in (by_transaction, by_inbox)]
    try:
        yield
    finally:
        for one in working:
            one.cancel()
        await asyncio.wait(working)
        for one in working:
            if not one.cancelled() and (error := one.exception()) is not None:
                raise error


def leave_behind_a_dead_reader(url: str) -> list[str]:
    """Have a reader of the inbox take entries and be silent for longer than is waited; return their ids."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        ids: list[str] = []
        with client.pipeline() as together:  # so that no operator is faster
            for number in range(DEAD):
                together.xadd(INBOX, {"namespace": "default", "type": TOPIC, "data": str(number)})
            together.xreadgroup(GROUP, "dead", {INBOX: ">"}, count=DEAD)
            answer: Any = together.execute()
            ids = answer[:DEAD]
        client.xclaim(INBOX, GROUP, "dead", 0, ids, idle=3_600_000)
    return ids


@pytest.mark.timeout(seconds("F9"))
async def test_whatever_becomes_of_redis_no_event_is_lost(
    scene: Scene, own_valkey: StoppableValkey, tell: Tell
) -> None:
    chance = choices("F9")
    await declare(scene.pool, task("mail", *steps(), triggers=[{"topic": TOPIC}]))
    operators = [scene.operator(redis_url=own_valkey.url) for _ in range(2)]
    scene.worker()
    scene.worker()
    await scene.ready(at_least=2)
    await scene.until(
        lambda: all(one.readiness().get("status") == "ready" for one in operators), what="the operators to be ready"
    )

    with Consumer(own_valkey.url) as consumer:
        async with scene.load(at_once=6), publishing_all_the_time(scene, own_valkey.url):
            for fault in kinds(chance):
                await asyncio.to_thread(fault, own_valkey)
                await moment(chance, 0.05, 0.8)
        await scene.until(
            lambda: all(one.readiness() == {"status": "ready"} for one in operators), what="the operators to recover"
        )
        dead = await asyncio.to_thread(leave_behind_a_dead_reader, own_valkey.url)
        ledger = scene.ledger

        def published() -> dict[str, dict[str, Any]]:
            rows = ledger.rows("SELECT id, created_at, events FROM event_log ORDER BY position")
            return {id_of(row[0], place): event for row in rows for place, event in enumerate(expand(*row))}

        await scene.until(
            lambda: {*dead} <= {event["id"] for event in published().values()}, what="the dead reader's entries"
        )
        await scene.over()
        await scene.until(lambda: ledger.one("SELECT count(*) FROM outbox") == 0, what="all events to be in the log")
        told = published()
        await scene.until(lambda: told.keys() <= consumer.seen.keys(), what="all events to be seen")

    assert {id_: consumer.seen[id_] for id_ in told} == told
    assert in_order(told) == in_order({id_: consumer.seen[id_] for id_ in consumer.seen})
    expected = {key_of(event) for event in told.values() if event["type"] == TOPIC}
    fires = ledger.rows("SELECT event_key, outcome FROM event_fire")
    assert Counter(fires) == Counter((key, "Fired") for key in expected)
    assert ledger.one("SELECT count(*) FROM run WHERE trigger = 'event'") == len(expected)
    with redis.Redis.from_url(own_valkey.url) as client:
        assert client.xlen(INBOX) == 0
        assert client.exists(REJECTED) == 0
    tell("F9", scene.check(), faults=FAULTS)


def in_order(events: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Return what was told of each run, in the order of the events."""
    told: dict[str, list[str]] = defaultdict(list)
    for id_, event in events.items():
        if isinstance(event.get("data"), dict) and (run := event["data"].get("run")):
            told[run].append(id_)
    return dict(told)

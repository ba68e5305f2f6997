"""The event loop goes on while callers send what is hard to compute."""

import asyncio
import gc
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from ordinaut.computing import share_the_interpreter
from ordinaut.states import Origin
from ordinaut.store.pool import Pool
from tests.declaring import declare, pipeline, task
from tests.integration.serving import EVENTS, PIPELINES, RUNS, TASKS, serving
from tests.timing import at_most

pytestmark = pytest.mark.integration

LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}
JSON = {"content-type": "application/json"}
FILLER = "x" * 200_000

SCHEMA = {
    "type": "object",
    "properties": {
        "list": {"type": "array", "items": {"anyOf": [{"type": "string", "pattern": f"^(a|{n})*$"} for n in range(8)]}}
    },
}
RARE = {"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO;BYHOUR=3", "timeZone": "Europe/Chisinau"}


class Lag:
    """
    How long the process computes between two rounds of its event loop, in seconds of CPU.

    Of the CPU, since other programs run on the machine too. Whatever holds up the loop, in its own thread or in another
    that keeps the interpreter, is CPU of this process.
    """

    def __init__(self) -> None:
        self.worst = 0.0

    @asynccontextmanager
    async def measured(self) -> AsyncIterator[None]:
        async def tick() -> None:
            before = time.process_time()
            while True:
                await asyncio.sleep(0)
                now = time.process_time()
                self.worst = max(self.worst, now - before)
                before = now

        ticking = asyncio.create_task(tick())
        try:
            yield
        finally:
            ticking.cancel()


@pytest.fixture
def as_a_process() -> Iterator[None]:
    """Do what every process does at its start: long-lived objects are not looked through again and again."""
    interval = sys.getswitchinterval()
    share_the_interpreter()
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
    sys.setswitchinterval(interval)


Request = Callable[[httpx.AsyncClient], Coroutine[Any, Any, httpx.Response]]


def posted(path: str, content: bytes) -> Request:
    return lambda api: api.post(path, content=content, headers=JSON)


def got(path: str, **query: str) -> Request:
    return lambda api: api.get(path, params=query)


BATCH = json.dumps(
    {"items": [task(f"t{n}", schedules=[RARE], pipelineRef={"name": "p"}) for n in range(1000)]}
).encode()
HOSTILE: dict[str, Request] = {
    "numbers": posted(TASKS, b'{"spec": [' + b"1," * 99_000 + b"1]}"),
    "lists": posted(TASKS, b'{"spec": [' + b"[]," * 49_000 + b"[]]}"),
    "names": posted(TASKS, b'{"spec": {' + b",".join(b'"%d":1' % n for n in range(24_000)) + b"}}"),
    "batch": posted(f"{TASKS}:batch", BATCH),
    "long batch": posted(f"{TASKS}:batch", b'{"items": [' + b"1," * 99_000 + b"1]}"),
    "events": posted(EVENTS, json.dumps({"items": [{"type": "a.b", "data": [1] * 800}] * 100}).encode()),
    "params": posted(f"{TASKS}/checked/run", json.dumps({"params": {"list": ["aaaaaaaaaa!"] * 10_000}}).encode()),
    "preview": got(f"{TASKS}/rare/preview", count="100"),
    "many tasks": got(TASKS, limit="500"),
    "large tasks": got("/v1/namespaces/large/tasks", limit="500"),
    "runs": got(RUNS, limit="500"),
    "dependents": lambda api: api.put(f"{PIPELINES}/p", json=pipeline("p", LOG, params={"type": "object"})),
    "description": got("/openapi.json"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_nothing_that_callers_send_holds_up_the_event_loop(
    database: str, pool: Pool, as_a_process: None, name: str
) -> None:
    await declare(pool, pipeline("p", LOG), pipeline("checked", LOG, params=SCHEMA))
    await declare(pool, task("rare", LOG, schedules=[RARE]), task("checked", pipelineRef={"name": "checked"}))
    if name in {"dependents", "many tasks"}:
        await declare(pool, *(task(f"d{n}", pipelineRef={"name": "p"}) for n in range(600)), origin=Origin.KUBERNETES)
    if name == "large tasks":
        many = [task(f"l{n}", LOG, params={"filler": FILLER}) for n in range(60)]
        for one in many:
            one["metadata"]["namespace"] = "large"
        await declare(pool, *many)
    lag = Lag()
    async with serving(database, api_max_tasks=100_000) as api:
        assert (await api.get(f"{TASKS}/rare")).status_code == 200
        async with lag.measured():
            answers = await asyncio.gather(*(HOSTILE[name](api) for _ in range(3)))
    assert {answer.status_code for answer in answers} <= {200, 202, 409, 413, 422}, answers[0].text[:300]
    print(f"{name}: at worst {lag.worst * 1000:.1f} ms")
    assert lag.worst < at_most(0.02)

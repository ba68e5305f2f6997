"""
The api is killed in the middle of a thousand creates: every acknowledged one is there, none is there by half.

The database is a durable one, with real writes to the disk. Sent again under the same keys, all thousand are there
exactly once.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import psycopg
import pytest

from tests import running
from tests.declaring import task
from tests.running import Processes
from tests.security.sockets import Served, serve
from tests.security.tenants import OURS, Access, path_of
from tests.servers import StoppablePostgres

pytestmark = pytest.mark.integration

TASKS = 1000
CONNECTIONS = 16
KILL_AFTER = 300
LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}


@pytest.fixture
def durable(own_postgres: StoppablePostgres, valkey: str) -> Iterator[Processes]:
    with running.processes(database=own_postgres.url, redis=valkey) as started:
        yield started


def manifest(number: int) -> dict[str, Any]:
    document = task(f"t{number}", LOG, schedules=[{"cron": f"{number % 60} 8 * * *"}])
    document["metadata"]["namespace"] = OURS
    return document


async def create_all(served: Served, *, kill_after: int | None = None) -> dict[int, httpx2.Response]:
    """Create the tasks over many connections; return the answers that came."""
    answers: dict[int, httpx2.Response] = {}
    numbers = iter(range(TASKS))

    async def send() -> None:
        async with httpx2.AsyncClient(base_url=served.url, headers=served.access.headers("editor-a")) as client:
            for number in numbers:
                key = {"Idempotency-Key": f"create-{number}"}
                try:
                    answers[number] = await client.post(
                        path_of("tasks"), json=manifest(number), headers=key, timeout=60
                    )
                except httpx2.TransportError:
                    continue  # nobody is there any more
                if len(answers) == kill_after:
                    served.process.kill()

    await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
    return answers


PARTS = """
SELECT t.name,
       (SELECT count(*) FROM ordinaut.task_clock c WHERE c.task_id = t.task_id AND c.next_fire_at IS NOT NULL),
       (SELECT count(*) FROM ordinaut.audit a WHERE a.object = 'tasks/' || t.name AND a.decision = 'Allowed'),
       (SELECT count(*) FROM ordinaut.outbox o, json_array_elements(o.events) e
         WHERE e::text LIKE '%task.applied%' AND e::text LIKE '%"' || t.name || '"%'),
       (SELECT count(*) FROM ordinaut.idempotency i WHERE i.key = 'create-' || substr(t.name, 2) AND i.status = 201),
       (t.ready AND t.creator_id IS NOT NULL)::int
FROM ordinaut.task t
"""


def parts(url: str) -> dict[str, tuple[int, ...]]:
    """Return what there is of each task: its clock, audit line, event, kept answer, and whether it is ready."""
    with psycopg.connect(url) as connection:
        return {name: tuple(counts) for name, *counts in connection.execute(PARTS).fetchall()}


def rows(url: str) -> tuple[int, ...]:
    """Return how many rows there are of what belongs to tasks."""
    tables = ("task", "task_clock", "audit", "outbox", "idempotency")
    with psycopg.connect(url) as connection:
        return tuple(connection.execute(f"SELECT count(*) FROM ordinaut.{table}").fetchall()[0][0] for table in tables)


def test_every_acknowledged_create_survives_a_kill_and_none_is_half(
    durable: Processes, own_postgres: StoppablePostgres, access: Access
) -> None:
    served = serve(durable, access)
    before = asyncio.run(create_all(served, kill_after=KILL_AFTER))
    assert KILL_AFTER <= len(before) < TASKS
    assert {answer.status_code for answer in before.values()} == {201}

    # The server goes as well, without a chance to write down what it has not.
    own_postgres.stop()
    own_postgres.start()
    there = parts(own_postgres.url)
    assert {f"t{number}" for number in before} <= there.keys()
    assert set(there.values()) == {(1, 1, 1, 1, 1)}, {name: seen for name, seen in there.items() if seen != (1,) * 5}
    assert set(rows(own_postgres.url)) == {len(there)}

    again = asyncio.run(create_all(serve(durable, access)))
    assert len(again) == TASKS
    assert {answer.status_code for answer in again.values()} == {201}
    assert [number for number, answer in before.items() if answer.content != again[number].content] == []
    assert {number for number, answer in again.items() if "idempotency-replayed" in answer.headers} == {
        int(name[1:]) for name in there
    }
    whole = parts(own_postgres.url)
    assert len(whole) == TASKS
    assert set(whole.values()) == {(1, 1, 1, 1, 1)}
    assert set(rows(own_postgres.url)) == {TASKS}

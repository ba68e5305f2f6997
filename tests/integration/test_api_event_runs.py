"""What people see of runs that events make: the run, the ledger of events, the condition, and why."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import orjson
import pytest

from ordinaut import shapes
from ordinaut.states import ENDED_RUN_PHASES, Trigger
from ordinaut.store import clock, declared, events, runs
from ordinaut.store.declared import Key
from ordinaut.store.ids import new_run_id
from ordinaut.store.pool import Connection, Pool
from ordinaut.store.runs import NewRun
from tests.declaring import declare, pause, retry, run_now, task
from tests.integration.serving import RUNS, TASKS, serving
from tests.running import Processes

pytestmark = pytest.mark.integration

TELL = {"id": "tell", "uses": "std.log", "with": {"message": "${event.data.n} of ${length(events)} by ${run.trigger}"}}
LISTENER = task("listener", TELL, triggers=[{"topic": "mail.received"}, {"topic": "run.failed"}])


@pytest.fixture
async def api(database: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(database) as client:
        yield client


def event(number: int) -> dict[str, Any]:
    """Return a CloudEvent."""
    return {
        "specversion": "1.0",
        "id": f"mail-{number}",
        "source": "/mail",
        "type": "mail.received",
        "time": "2026-11-23T06:31:07.003Z",
        "priority": "high",
        "data": {"n": number},
    }


async def task_id_of(connection: Connection, name: str = "listener") -> int:
    ids = await declared.task_ids(connection, [Key("Task", "default", name)])
    return ids[Key("Task", "default", name)]


async def made(pool: Pool, *of: dict[str, Any], hops: int = 1) -> UUID:
    """Return a run of an event, or of a batch of several."""
    async with pool.connection() as connection, connection.transaction():
        row = await (await connection.execute("SELECT revision FROM task WHERE name = 'listener'")).fetchone()
        assert row is not None
        run_id = new_run_id(await clock.now(connection))
        new = NewRun(
            run_id,
            "default",
            await task_id_of(connection),
            bytes(row[0]),
            5,
            {},
            event=orjson.dumps(of[0] if len(of) == 1 else of),
            hops=hops,
        )
        await runs.create(connection, [new], trigger=Trigger.EVENT)
    return run_id


async def line(
    pool: Pool,
    number: int,
    outcome: str,
    *,
    reason: str | None = None,
    message: str | None = None,
    run: UUID | None = None,
    ago: timedelta = timedelta(0),
) -> None:
    """Write a line of the ledger of events."""
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO event_fire (task_id, event_key, position, place, event_id, event_type, trigger, outcome,"
            " reason, message, run_id, decided_at)"
            " VALUES (%s, %s, %s, %s, %s, 'mail.received', 0, %s, %s, %s, %s, now() - %s)",
            [
                await task_id_of(connection),
                uuid4(),
                number // 2,
                number % 2,
                f"mail-{number}",
                outcome,
                reason,
                message,
                run,
                ago,
            ],
        )


async def get(api: httpx2.AsyncClient, path: str, **query: str) -> dict[str, Any]:
    answer = await api.get(path, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def condition(found: dict[str, Any]) -> dict[str, Any]:
    (one,) = [one for one in found["status"]["conditions"] if one["type"] == "Triggered"]
    return dict(one)


async def test_a_run_shows_the_event_that_made_it_and_lists_only_that_one_did(
    api: httpx2.AsyncClient, pool: Pool
) -> None:
    await declare(pool, LISTENER)
    run = await made(pool, event(1), hops=3)

    spec = (await get(api, f"{RUNS}/{run}"))["spec"]
    assert (spec["trigger"], spec["event"], spec["hops"], "events" in spec) == ("event", event(1), 3, False)
    (listed,) = (await get(api, RUNS, trigger="event"))["items"]
    assert (listed["metadata"]["name"], listed["spec"]["hops"]) == (str(run), 3)
    assert {"event", "events"} & set(listed["spec"]) == set()
    assert (await get(api, RUNS, trigger="schedule"))["items"] == []


async def test_a_run_of_a_batch_shows_all_its_events_and_the_last(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, LISTENER)
    spec = (await get(api, f"{RUNS}/{await made(pool, event(1), event(2))}"))["spec"]
    assert (spec["event"], spec["events"]) == (event(2), [event(1), event(2)])


async def test_a_run_that_no_event_made_says_nothing_of_events(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, LISTENER)
    spec = (await api.post(f"{TASKS}/listener/run")).json()["spec"]
    assert {"event", "events", "hops"} & set(spec) == set()


async def test_the_ledger_of_events_is_listed_newest_first(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, LISTENER)
    run = uuid4()
    await line(pool, 2, "Fired", run=run)
    await line(pool, 3, "Skipped", reason="StillRunning")
    await line(pool, 4, "Skipped", reason="InvalidParams", message="params.n: null")
    await line(pool, 5, "Gathered")

    first = await get(api, f"{TASKS}/listener/event-fires", limit="3")
    rest = await get(api, f"{TASKS}/listener/event-fires", cursor=first["nextCursor"])

    items = first["items"] + rest["items"]
    assert "nextCursor" not in rest
    assert all(shapes.EventFire.model_validate(one) for one in items)
    assert [(one["event"]["id"], one["outcome"], one.get("reason"), one.get("message")) for one in items] == [
        ("mail-5", "Gathered", None, None),
        ("mail-4", "Skipped", "InvalidParams", "params.n: null"),
        ("mail-3", "Skipped", "StillRunning", "a run was active, and concurrencyPolicy is Forbid"),
        ("mail-2", "Fired", None, None),
    ]
    assert (items[-1]["run"], items[-1]["trigger"], items[-1]["event"]["type"]) == (str(run), 0, "mail.received")


async def test_the_ledger_of_events_of_nobody_and_a_strange_cursor_are_refused(
    api: httpx2.AsyncClient, pool: Pool
) -> None:
    await declare(pool, LISTENER)
    assert (await api.get(f"{TASKS}/nobody/event-fires")).status_code == 404
    answer = await api.get(f"{TASKS}/listener/event-fires", params={"cursor": "x"})
    assert answer.status_code == 422


async def test_a_task_with_triggers_listens_until_it_rests(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, LISTENER)

    found = await get(api, f"{TASKS}/listener")
    assert (found["status"]["phase"], condition(found)["status"]) == ("Listening", "True")
    assert condition(found)["message"] == "events make it run: mail.received, run.failed"

    await pause(pool, "listener")
    found = await get(api, f"{TASKS}/listener")
    assert (found["status"]["phase"], condition(found)["reason"]) == ("Paused", "Paused")


async def test_a_task_whose_events_went_round_in_a_circle_lately_says_so(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, LISTENER)
    await line(pool, 1, "Skipped", reason="HopLimit", ago=timedelta(hours=2))
    assert condition(await get(api, f"{TASKS}/listener"))["status"] == "True"

    await line(pool, 2, "Skipped", reason="HopLimit")
    await line(pool, 3, "Fired", run=uuid4())

    looped = condition((await get(api, TASKS))["items"][0])
    assert (looped["status"], looped["reason"]) == ("False", "HopLimit")


async def test_why_tells_which_events_a_task_waits_for_and_what_became_of_them(
    api: httpx2.AsyncClient, pool: Pool
) -> None:
    await declare(pool, LISTENER)
    async with pool.connection() as connection:
        await connection.execute("UPDATE outbox SET created_at = now()")
        await connection.execute(
            "INSERT INTO gathering (task_id, trigger, opened_at, due_at, events, bytes)"
            " VALUES (%s, 1, now(), now() + interval '1 h', 2, 9)",
            [await task_id_of(connection)],
        )
    await line(pool, 1, "Skipped", reason="Suspended")

    found = await get(api, f"{TASKS}/listener/why")
    no_worker, skipped, *others = found["because"]
    assert (no_worker["reason"], skipped["reason"]) == ("NoWorker", "EventsSkipped")
    assert [one["reason"] for one in others] == ["Gathering", "Listening"]
    assert skipped["action"]["path"] == f"{TASKS}/listener/event-fires"


async def test_why_tells_that_nobody_looks_at_events(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, LISTENER)
    async with pool.connection() as connection:
        await events.append(connection, [{"type": "x", "ns": "default"}])
        await connection.execute("UPDATE outbox SET created_at = now() - interval '2 min'")

    found = await get(api, f"{TASKS}/listener/why")
    assert found["because"][0]["reason"] == "EventsBehind"
    assert found["because"][0]["message"].endswith("no operator is connected to the database")


async def said(pool: Pool, run_id: UUID) -> str:
    """Return what the only step of a run has said, once the run is over."""
    async with asyncio.timeout(60):
        while True:
            async with pool.connection() as connection:
                run = await runs.get(connection, namespace="default", run_id=run_id)
                assert run is not None
                if run.phase in ENDED_RUN_PHASES:
                    (step,) = await runs.steps(connection, run_id=run_id)
                    return str(step.output["message"] if run.phase == "Succeeded" else step.error)
            await asyncio.sleep(0.02)


async def test_templates_see_the_event_and_a_retry_sees_it_again(pool: Pool, processes: Processes) -> None:
    by_hand = task("by-hand", {"id": "say", "uses": "std.log", "with": {"message": "${event.data.n || 'none'}"}})
    await declare(pool, LISTENER, by_hand)
    processes.start("worker", poll_seconds=0.2)
    one, batch = await made(pool, event(1)), await made(pool, event(1), event(2))

    assert await said(pool, one) == "1 of 1 by event"
    assert await said(pool, batch) == "2 of 2 by event"
    assert await said(pool, await run_now(pool, namespace="default", name="by-hand")) == "none"
    async with pool.connection() as connection:
        await connection.execute("UPDATE run SET phase = 'Failed' WHERE run_id = %s", [batch])
        await connection.execute("DELETE FROM step WHERE run_id = %s", [batch])
    assert await said(pool, await retry(pool, run_id=batch)) == "2 of 2 by retry"

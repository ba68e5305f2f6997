"""Following runs live, trying them again, and ending them at the wrong moment."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from ordinaut.states import RunPhase, StepPhase
from ordinaut.store import work
from ordinaut.store.pool import Pool
from ordinaut.store.settle import RunResult, Settlement, StepResult, settle
from tests.declaring import declare, task
from tests.integration.following import following, happened, move, write
from tests.integration.serving import RUNS, TASKS, listening, problem, serving

pytestmark = pytest.mark.integration

STEPS = [
    {"id": "fetch", "uses": "std.log", "with": {"message": "a"}},
    {"id": "send", "uses": "std.log", "with": {"message": "b"}},
]
Event = dict[str, Any]


@pytest.fixture
async def api(database: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(database) as client:
        yield client


async def make_run(api: httpx2.AsyncClient, name: str = "briefing") -> str:
    answer = await api.post(f"{TASKS}/{name}/run")
    assert answer.status_code == 202, answer.text
    return str(answer.json()["metadata"]["name"])


def succeeded(seq: int, step_id: str) -> StepResult:
    return StepResult(seq, step_id, StepPhase.SUCCEEDED, 1, started=2.0, finished=3.0, output=b'{"n": 1}')


def failed(seq: int, step_id: str) -> StepResult:
    return StepResult(seq, step_id, StepPhase.FAILED, 1, started=2.0, finished=3.0, error="HTTP 503")


class Worker:
    """Holds one run as a worker does and commits what it is told."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def lease(self) -> None:
        async with self._pool.connection() as connection:
            (self._leased,) = await work.lease(connection, worker="w", limit=1, ttl=timedelta(minutes=1))

    async def settle(self, *steps: StepResult, run: RunResult | None = None) -> bool:
        async with self._pool.connection() as connection:
            done = [self._leased.lease_id] if run else []
            return bool(await settle(connection, [Settlement(self._leased, steps=steps, run=run)], done=done))


async def read(stream: httpx2.Response) -> AsyncIterator[Event]:
    """Yield the events of a stream; comments as events named ``:``."""
    event: Event = {}
    async for line in stream.aiter_lines():
        if not line:
            if event:
                yield event
            event = {}
        elif line.startswith(":"):
            event["event"] = ":"
        else:
            name, _, value = line.partition(": ")
            event[name] = json.loads(value) if name == "data" else value


async def test_a_run_is_followed_step_by_step_until_its_end(database: str, pool: Pool) -> None:
    await declare(pool, task("briefing", *STEPS))
    worker = Worker(pool)
    async with listening(database) as api, asyncio.timeout(60):
        run = await make_run(api)
        seen: list[Event] = []
        async with api.stream("GET", f"{RUNS}/{run}/events") as stream:
            assert stream.status_code == 200
            assert stream.headers["content-type"].startswith("text/event-stream")
            async for event in read(stream):
                seen.append(event)
                phases = [one["phase"] for one in event["data"].get("status", {}).get("steps", [])]
                match len(seen):
                    case 1:
                        assert (event["event"], phases) == ("run", ["Pending", "Pending"])
                        await worker.lease()
                    case 2:
                        assert phases == ["Running", "Pending"]
                        await worker.settle(succeeded(0, "fetch"))
                    case 3:
                        assert phases == ["Succeeded", "Running"]
                        await worker.settle(succeeded(1, "send"), run=RunResult(RunPhase.SUCCEEDED, output=b'"ok"'))
                    case 4:
                        assert event["data"]["status"]["output"] == "ok"
                    case 5:
                        assert (event["event"], event["data"]) == ("end", {"reason": "final"})
        assert len(seen) == 5
        assert len({event["id"] for event in seen[:4]}) == 4
        assert seen[4]["id"] == seen[3]["id"]

        # Whoever knows the last state is told nothing twice.
        async with api.stream("GET", f"{RUNS}/{run}/events", headers={"last-event-id": seen[3]["id"]}) as stream:
            assert [event["event"] async for event in read(stream)] == ["end"]
        async with api.stream("GET", f"{RUNS}/{run}/events", headers={"last-event-id": "other"}) as stream:
            assert [event["event"] async for event in read(stream)] == ["run", "end"]


async def test_a_stream_keeps_the_connection_alive(database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordinaut_api.streams.HEARTBEAT", 0.05)
    await declare(pool, task("briefing", *STEPS))
    async with listening(database) as api, asyncio.timeout(60):
        run = await make_run(api)
        async with api.stream("GET", f"{RUNS}/{run}/events") as stream:
            events = read(stream)
            assert [(await anext(events))["event"] for _ in range(3)] == ["run", ":", ":"]


async def test_a_stream_ends_when_the_process_is_asked_to_stop(database: str, pool: Pool) -> None:
    await declare(pool, task("briefing", *STEPS))
    stop = asyncio.Event()
    async with listening(database, stopping=stop.is_set) as api, asyncio.timeout(60):
        run = await make_run(api)
        async with api.stream("GET", f"{RUNS}/{run}/events") as stream:
            events = read(stream)
            assert (await anext(events))["event"] == "run"
            stop.set()
            end = await anext(events)
            assert (end["event"], end["data"]) == ("end", {"reason": "reconnect"})


async def test_a_caller_has_so_many_streams_and_no_more_and_no_connection_waits_with_them(
    database: str, pool: Pool
) -> None:
    await declare(pool, task("briefing", *STEPS))
    async with listening(database, api_max_streams=3, api_pool_size=1) as api, asyncio.timeout(60):
        run = await make_run(api)
        path = f"{RUNS}/{run}/events"
        streams = [await api.send(api.build_request("GET", path), stream=True) for _ in range(3)]
        try:
            refused = await api.get(path)
            problem(refused, 429, "rate-limited")
            assert refused.headers["retry-after"]
            assert (await api.get(f"{RUNS}/{run}")).status_code == 200
        finally:
            for stream in streams:
                await stream.aclose()
        async with asyncio.timeout(60):
            while (again := await api.send(api.build_request("GET", path), stream=True)).status_code == 429:
                await again.aclose()
                await asyncio.sleep(0.05)
        assert again.status_code == 200
        await again.aclose()


async def test_a_run_of_another_namespace_is_unknown_to_every_verb(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("briefing", *STEPS))
    run = await make_run(api)
    for run_id in (run, str(uuid.uuid4())):
        elsewhere = f"/v1/namespaces/other/runs/{run_id}"
        for answer in (
            await api.get(elsewhere),
            await api.get(f"{elsewhere}/wait"),
            await api.get(f"{elsewhere}/events"),
            await api.post(f"{elsewhere}/cancel"),
            await api.post(f"{elsewhere}/retry"),
        ):
            assert problem(answer, 404, "not-found")["detail"] == f"Run {run_id} does not exist in namespace other."


async def test_a_retry_goes_on_where_the_run_failed(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("briefing", *STEPS))
    run = await make_run(api)
    worker = Worker(pool)
    for _ in range(2):
        problem(await api.post(f"{RUNS}/{run}/retry"), 409, "conflict")
    await worker.lease()
    problem(await api.post(f"{RUNS}/{run}/retry"), 409, "conflict")
    await worker.settle(succeeded(0, "fetch"), failed(1, "send"), run=RunResult(RunPhase.FAILED, reason="StepFailed"))

    answer = await api.post(f"{RUNS}/{run}/retry")
    assert answer.status_code == 202, answer.text
    made = answer.json()
    assert answer.headers["location"] == f"{RUNS}/{made['metadata']['name']}"
    assert (made["spec"]["trigger"], made["spec"]["retryOf"]) == ("retry", run)
    assert [(one["id"], one["phase"]) for one in made["status"]["steps"]] == [
        ("fetch", "Succeeded"),
        ("send", "Pending"),
    ]
    assert (await api.get(f"{RUNS}/{run}")).json()["status"]["phase"] == "Failed"
    assert [one["metadata"]["name"] for one in (await api.get(RUNS, params={"trigger": "retry"})).json()["items"]] == [
        made["metadata"]["name"]
    ]


async def test_of_a_cancel_and_a_commit_exactly_one_counts(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("briefing", *STEPS))
    for _ in range(10):
        run = await make_run(api)
        worker = Worker(pool)
        await worker.lease()
        done = RunResult(RunPhase.SUCCEEDED, output=b"1")
        cancelled, _ = await asyncio.gather(
            api.post(f"{RUNS}/{run}/cancel"), worker.settle(succeeded(0, "fetch"), succeeded(1, "send"), run=done)
        )
        phase = (await api.get(f"{RUNS}/{run}")).json()["status"]["phase"]
        assert (cancelled.status_code, phase) in {(202, "Cancelled"), (409, "Succeeded")}
        problem(await api.post(f"{RUNS}/{run}/cancel"), 409, "conflict")
        assert (await api.get(f"{RUNS}/{run}")).json()["status"]["phase"] == phase


async def test_runs_are_found_by_when_they_were_made(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("briefing", *STEPS))
    made = [await make_run(api) for _ in range(3)]
    times = [(await api.get(f"{RUNS}/{run}")).json()["metadata"]["creationTimestamp"] for run in made]

    async def names(**query: str) -> list[str]:
        return [run["metadata"]["name"] for run in (await api.get(RUNS, params=query)).json()["items"]]

    assert set(await names(createdAfter=times[1])) >= {made[2]}
    assert made[0] not in await names(createdAfter=times[2]) or times[0] == times[2]
    assert await names(createdBefore=times[0]) == []
    assert await names(createdAfter="2099-01-01T00:00:00Z") == []
    assert await names(createdBefore="1970-01-01T00:00:00Z") == []
    assert await names(createdAfter="1970-01-01T00:00:00+00:00", createdBefore="9999-12-31T23:59:59Z") == made[::-1]
    for wrong in (
        "yesterday",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "1e3",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ):
        found = problem(await api.get(RUNS, params={"createdAfter": wrong}), 422, "invalid")
        assert found["errors"][0]["field"] == "createdAfter"


async def test_the_events_of_a_run_are_told_from_its_first_to_its_last(database: str, pool: Pool) -> None:
    await declare(pool, task("briefing", *STEPS))
    async with listening(database) as api, asyncio.timeout(60):
        run = await make_run(api)
        path = f"{RUNS}/{run}/events"
        async with following(api, path, tell="events") as early:
            other = await make_run(api)
            await move(pool)
            async with following(api, path, tell="events") as late:
                assert (await early.take(1))[0]["event"] == "io.ordinaut.run.created"
                await write(pool, happened("step.succeeded", "briefing", run=run, step="fetch"))
                assert [one["event"] for one in await late.take(2)] == [
                    "io.ordinaut.run.created",
                    "io.ordinaut.step.succeeded",
                ]
                ended = happened("step.succeeded", "briefing", run=run, step="send")
                await write(pool, ended + happened("run.succeeded", "briefing", run=run))
                *_, step, last, end = await early.take(4)
                assert (await late.take(3))[:2] == [step, last]
        assert step["data"]["data"]["step"] == "send"
        assert {one["data"]["data"]["run"] for one in (step, last)} == {run}
        assert (last["event"], end["event"], end["data"]) == ("io.ordinaut.run.succeeded", "end", {"reason": "final"})

        async with following(api, path, tell="events", last=step["id"]) as resumed:
            assert [one["event"] for one in await resumed.take(2)] == ["io.ordinaut.run.succeeded", "end"]
        await api.post(f"{RUNS}/{other}/cancel")
        await move(pool)
        async with following(api, f"{RUNS}/{other}/events", tell="events") as cancelled:
            assert [one["event"].removeprefix("io.ordinaut.") for one in await cancelled.take(3)] == [
                "run.created",
                "run.cancelled",
                "end",
            ]
        answer = await api.get(f"/v1/namespaces/other/runs/{run}/events", params={"tell": "events"})
        problem(answer, 404, "not-found")


async def test_a_run_that_was_parked_is_followed_beyond_if_it_went_on(database: str, pool: Pool) -> None:
    await declare(pool, task("briefing", *STEPS))
    async with listening(database) as api, asyncio.timeout(60):
        run = await make_run(api)
        path = f"{RUNS}/{run}/events"
        await write(pool, happened("run.parked", "briefing", run=run))
        async with following(api, path, tell="events") as parked:
            assert [one["event"] for one in await parked.take(3)][1:] == ["io.ordinaut.run.parked", "end"]
        await write(pool, happened("run.unparked", "briefing", run=run))
        async with following(api, path, tell="events") as going_on:
            assert (await going_on.take(3))[2]["event"] == "io.ordinaut.run.unparked"
            await write(pool, happened("run.failed", "briefing", run=run))
            assert [one["event"] for one in await going_on.take(2)] == ["io.ordinaut.run.failed", "end"]


async def test_a_run_of_which_no_events_are_kept_has_an_end(database: str, pool: Pool) -> None:
    await declare(pool, task("briefing", *STEPS))
    worker = Worker(pool)
    async with listening(database) as api, asyncio.timeout(60):
        run = await make_run(api)
        await worker.lease()
        await worker.settle(run=RunResult(RunPhase.FAILED, reason="Timeout"))
        await move(pool)
        async with pool.connection() as connection:
            await connection.execute("DELETE FROM event_log")
        for rows in ([], [happened("task.applied")]):
            await write(pool, *rows)
            async with following(api, f"{RUNS}/{run}/events", tell="events") as follower:
                assert [one["event"] for one in await follower.take(2)] == ["gap", "end"]

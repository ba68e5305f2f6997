"""Running tasks through the API, and following their runs."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from ordinaut import shapes
from ordinaut.states import RunPhase, StepPhase
from ordinaut.store import work
from ordinaut.store.pool import Pool
from ordinaut.store.settle import RunResult, Settlement, StepResult, settle
from ordinaut_operator import janitor
from tests.declaring import declare, pipeline, task
from tests.integration.serving import RUNS, TASKS, serving

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("patient_api")]

STEPS = [
    {"id": "fetch", "uses": "std.log", "with": {"message": "a"}},
    {"id": "send", "uses": "std.log", "with": {"message": "b"}},
]
PARAMS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "default": 3}},
    "required": ["city"],
}


@pytest.fixture
async def api(database: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(database) as client:
        yield client


async def make_run(api: httpx2.AsyncClient, name: str = "briefing") -> dict[str, Any]:
    answer = await api.post(f"{TASKS}/{name}/run")
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


async def commit(pool: Pool, *steps: StepResult, run: RunResult | None = None) -> None:
    """Lease the next run as a worker does and commit results of it."""
    async with pool.connection() as connection:
        (leased,) = await work.lease(connection, worker="w", limit=1, ttl=timedelta(minutes=1))
        done = [leased.lease_id] if run else []
        assert await settle(connection, [Settlement(leased, steps=steps, run=run)], done=done)


def result(seq: int, step_id: str, phase: StepPhase = StepPhase.SUCCEEDED, *, attempt: int = 1) -> StepResult:
    output = b'{"n": 1}' if phase is StepPhase.SUCCEEDED else None
    error = None if phase is StepPhase.SUCCEEDED else "HTTP 503"
    return StepResult(seq, step_id, phase, attempt, started=2.0, finished=3.0, output=output, error=error)


async def test_a_run_is_accepted_with_its_location(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("briefing", *STEPS))
    answer = await api.post(f"{TASKS}/briefing/run")
    assert answer.status_code == 202
    made = answer.json()
    assert answer.headers["location"] == f"{RUNS}/{made['metadata']['name']}"
    assert made["spec"]["trigger"] == "manual"
    assert made["status"]["phase"] == "Pending"
    found = (await api.get(answer.headers["location"])).json()
    assert [(step["id"], step["phase"]) for step in found["status"]["steps"]] == [
        ("fetch", "Pending"),
        ("send", "Pending"),
    ]
    shapes.Run.model_validate(found)


async def test_params_replace_those_of_the_task_and_are_checked(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(
        pool,
        pipeline("weather", *STEPS, params=PARAMS),
        task("weather", pipelineRef={"name": "weather"}, params={"city": "Chisinau"}),
    )
    plain = (await api.post(f"{TASKS}/weather/run", json={})).json()
    assert plain["spec"]["params"] == {"city": "Chisinau", "days": 3}
    other = (await api.post(f"{TASKS}/weather/run", json={"params": {"city": "Iasi"}})).json()
    assert other["spec"]["params"] == {"city": "Iasi", "days": 3}
    wrong = await api.post(f"{TASKS}/weather/run", json={"params": {"days": "many"}})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["field"] == "params.days"
    assert wrong.json()["errors"][0]["pointer"] == "#/params/days"


@pytest.mark.parametrize("body", [{"param": {}}, {"params": []}, {"params": {}, "priority": 9}])
async def test_a_wrong_request_for_a_run_is_refused(api: httpx2.AsyncClient, pool: Pool, body: Any) -> None:
    await declare(pool, task("briefing", *STEPS))
    answer = await api.post(f"{TASKS}/briefing/run", json=body)
    assert answer.status_code == 422
    assert (await api.get(RUNS)).json() == {"items": []}


async def test_a_task_that_is_not_ready_or_busy_does_not_run(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("unready", pipelineRef={"name": "missing"}))
    await declare(pool, task("single", *STEPS, concurrencyPolicy="Forbid"))
    unready = await api.post(f"{TASKS}/unready/run")
    assert unready.status_code == 409
    assert "PipelineNotFound" in unready.json()["detail"]
    await make_run(api, "single")
    busy = await api.post(f"{TASKS}/single/run")
    assert busy.status_code == 409
    assert "Forbid" in busy.json()["detail"]
    assert (await api.post(f"{TASKS}/nobody/run")).status_code == 404


async def test_steps_under_way_and_to_come_are_told_from_the_plan(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("briefing", *STEPS))
    run = (await make_run(api))["metadata"]["name"]
    await commit(pool, result(0, "fetch"))
    found = (await api.get(f"{RUNS}/{run}")).json()["status"]
    assert (found["phase"], found["worker"]) == ("Running", "w")
    assert [(step["id"], step["phase"], step["attempt"]) for step in found["steps"]] == [
        ("fetch", "Succeeded", 1),
        ("send", "Running", 0),
    ]
    assert found["steps"][0]["output"] == {"n": 1}


async def test_a_run_that_waits_for_a_retry_says_so(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("briefing", *STEPS))
    run = (await make_run(api))["metadata"]["name"]
    waiting = RunResult(RunPhase.WAITING, delay=timedelta(hours=1))
    await commit(pool, result(0, "fetch", StepPhase.WAITING), run=waiting)
    found = (await api.get(f"{RUNS}/{run}")).json()["status"]
    assert found["phase"] == "Waiting"
    assert [(step["id"], step["phase"], step.get("error")) for step in found["steps"]] == [
        ("fetch", "Waiting", "HTTP 503"),
        ("send", "Pending", None),
    ]


async def test_a_final_run_shows_only_what_happened(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("briefing", *STEPS))
    run = (await make_run(api))["metadata"]["name"]
    await commit(
        pool,
        result(0, "fetch", StepPhase.FAILED),
        run=RunResult(RunPhase.FAILED, reason="StepFailed", error="step fetch: HTTP 503"),
    )
    found = (await api.get(f"{RUNS}/{run}")).json()["status"]
    assert (found["phase"], found["reason"], found["error"]) == ("Failed", "StepFailed", "step fetch: HTTP 503")
    assert [step["id"] for step in found["steps"]] == ["fetch"]


async def test_cancel_ends_a_run_once(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("briefing", *STEPS))
    run = (await make_run(api))["metadata"]["name"]
    answers = await asyncio.gather(*(api.post(f"{RUNS}/{run}/cancel") for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409]
    found = (await api.get(f"{RUNS}/{run}")).json()
    assert (found["status"]["phase"], found["status"]["reason"]) == ("Cancelled", "Requested")


async def test_a_parked_run_is_over_until_somebody_unparks_it(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("briefing", *STEPS))
    run = (await make_run(api))["metadata"]["name"]
    assert (await api.post(f"{RUNS}/{run}/unpark")).status_code == 409
    async with pool.connection() as connection:
        await work.lease(connection, worker="lost", limit=1, ttl=timedelta(seconds=-1))
    await janitor.reap(pool, max_deliveries=1)

    over = (await api.get(f"{RUNS}/{run}/wait", params={"timeout": "30"})).json()["status"]
    assert (over["phase"], over["reason"], over["steps"]) == ("Parked", "MaxDeliveriesExceeded", [])
    assert "lost while step `fetch` was under way" in over["error"]
    listed = (await api.get(RUNS, params={"phase": "Parked"})).json()["items"]
    assert [one["metadata"]["name"] for one in listed] == [run]
    events = [line async for line in (await api.get(f"{RUNS}/{run}/events")).aiter_lines()]
    assert 'data: {"reason":"final"}' in [line.replace(": {", ": {").replace('": "', '":"') for line in events]

    answers = await asyncio.gather(*(api.post(f"{RUNS}/{run}/unpark") for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409]
    (accepted,) = [answer.json() for answer in answers if answer.status_code == 202]
    assert (accepted["status"]["phase"], accepted["metadata"]["name"]) == ("Pending", run)
    assert [step["phase"] for step in accepted["status"]["steps"]] == ["Pending", "Pending"]
    trail = (await api.get("/v1/namespaces/default/audit", params={"verb": "unpark"})).json()["items"]
    assert [(line["object"], line["decision"]) for line in trail] == [(f"runs/{run}", "Allowed")] * len(trail)
    await commit(pool, result(0, "fetch"), result(1, "send"), run=RunResult(RunPhase.SUCCEEDED))
    assert (await api.get(f"{RUNS}/{run}")).json()["status"]["phase"] == "Succeeded"


async def test_a_run_of_another_namespace_does_not_exist_here(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("briefing", *STEPS))
    run = (await make_run(api))["metadata"]["name"]
    unknown = str(uuid.uuid4())
    for run_id in (run, unknown):
        elsewhere = f"/v1/namespaces/other/runs/{run_id}"
        for answer in (
            await api.get(elsewhere),
            await api.post(f"{elsewhere}/cancel"),
            await api.post(f"{elsewhere}/unpark"),
            await api.get(f"{elsewhere}/wait", params={"timeout": "0"}),
        ):
            assert answer.status_code == 404
            assert answer.json()["detail"] == f"Run {run_id} does not exist in namespace other."
    assert (await api.get(f"{RUNS}/{run}")).json()["status"]["phase"] == "Pending"


async def test_runs_are_listed_newest_first_and_filtered(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("briefing", *STEPS), task("other", *STEPS))
    made = [(await make_run(api, name))["metadata"]["name"] for name in ("briefing", "other", "briefing")]
    await api.post(f"{RUNS}/{made[0]}/cancel")

    async def names(**query: str) -> list[str]:
        return [run["metadata"]["name"] for run in (await api.get(RUNS, params=query)).json()["items"]]

    assert await names() == made[::-1]
    assert await names(task="briefing") == [made[2], made[0]]
    assert await names(phase="Cancelled") == [made[0]]
    assert await names(phase="Pending", task="briefing", trigger="manual") == [made[2]]
    assert await names(trigger="schedule") == []
    first = (await api.get(RUNS, params={"limit": "2"})).json()
    rest = (await api.get(RUNS, params={"limit": "2", "cursor": first["nextCursor"]})).json()
    assert [run["metadata"]["name"] for run in first["items"] + rest["items"]] == made[::-1]
    assert "nextCursor" not in rest
    assert "steps" not in first["items"][0]["status"]


async def test_waiting_answers_as_soon_as_the_run_is_over(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("briefing", *STEPS))
    run = (await make_run(api))["metadata"]["name"]
    waiting = asyncio.create_task(api.get(f"{RUNS}/{run}/wait", params={"timeout": "60"}))
    still = (await api.get(f"{RUNS}/{run}/wait", params={"timeout": "0.1"})).json()
    assert still["status"]["phase"] == "Pending"
    assert not waiting.done()
    await commit(pool, result(0, "fetch"), result(1, "send"), run=RunResult(RunPhase.SUCCEEDED, output=b'"done"'))
    async with asyncio.timeout(30):
        over = (await waiting).json()
    assert (over["status"]["phase"], over["status"]["output"]) == ("Succeeded", "done")
    assert len(over["status"]["steps"]) == 2


async def test_who_waits_is_answered_when_the_process_is_asked_to_stop(database: str, pool: Pool) -> None:
    await declare(pool, task("briefing", *STEPS))
    stop = asyncio.Event()
    async with serving(database, stopping=stop.is_set) as api:
        run = (await make_run(api))["metadata"]["name"]
        waiting = asyncio.create_task(api.get(f"{RUNS}/{run}/wait", params={"timeout": "60"}))
        assert (await api.get(f"{RUNS}/{run}/wait", params={"timeout": "0.2"})).is_success
        stop.set()
        async with asyncio.timeout(30):
            assert (await waiting).json()["status"]["phase"] == "Pending"

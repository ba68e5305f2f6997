"""Why something is not running: asked of the API about rows as the processes leave them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from ordinaut import shapes
from ordinaut.causes import Cause
from ordinaut.states import RunPhase, StepPhase
from ordinaut.store import admission, position, runs, work
from ordinaut.store.pool import Connection, Pool
from ordinaut.store.settle import RunResult, Settlement, StepResult, settle
from tests.declaring import declare, pause, pipeline, run_now, snooze, task, tool
from tests.integration.serving import RUNS, TASKS, problem, serving

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("patient_api")]

LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}
LONG = timedelta(minutes=5)
YEARLY = [{"cron": "0 0 1 1 *"}]


@pytest.fixture
async def api(database: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(database) as client:
        yield client


async def asked(api: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    """Return the answer, which is what the shape says it is."""
    answer = await api.get(path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    read = shapes.Why.model_validate(found)
    assert read.model_dump(mode="json", by_alias=True, exclude_none=True) == found
    assert found["summary"].endswith(found["because"][0]["message"])
    return found


async def of_task(api: httpx2.AsyncClient, name: str = "job") -> dict[str, Any]:
    return await asked(api, f"{TASKS}/{name}/why")


async def of_run(api: httpx2.AsyncClient, run: UUID) -> dict[str, Any]:
    return await asked(api, f"{RUNS}/{run}/why")


def reasons(found: dict[str, Any]) -> list[str]:
    return [one["reason"] for one in found["because"]]


def said(found: dict[str, Any], cause: Cause) -> dict[str, Any]:
    (one,) = [one for one in found["because"] if one["reason"] == cause]
    return dict(one)


async def staff(
    pool: Pool, name: str = "w", *, queues: list[str] | None = None, slots: int = 4, live: bool = True
) -> None:
    """Let a worker be there, or have been there."""
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO worker (name, queues, slots, version, started_at, live_until)"
            " VALUES (%s, %s, %s, '1', now(), now() + %s)",
            [name, queues or ["default"], slots, LONG if live else -LONG],
        )


async def lease(pool: Pool, *, worker: str = "w", ttl: timedelta = LONG, limit: int = 1) -> list[work.LeasedWork]:
    async with pool.connection() as connection:
        return await work.lease(connection, worker=worker, limit=limit, ttl=ttl)


async def commit(pool: Pool, leased: work.LeasedWork, *steps: StepResult, run: RunResult) -> None:
    async with pool.connection() as connection:
        assert await settle(connection, [Settlement(leased, steps=steps, run=run)], done=[leased.lease_id])


def failure(phase: StepPhase = StepPhase.FAILED, *, attempt: int = 1) -> StepResult:
    return StepResult(0, "say", phase, attempt, started=2.0, finished=3.0, error="HTTP 503\nsorry")


# -- a task ------------------------------------------------------------------------------------------------------------


async def test_a_task_that_will_run_says_when(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("job", LOG, schedules=YEARLY))
    await staff(pool)
    found = await of_task(api)
    assert found["subject"] == {"kind": "Task", "namespace": "default", "name": "job"}
    assert found["phase"] == "Scheduled"
    assert reasons(found) == [Cause.NEXT_TIME, Cause.NEVER_RAN]
    due = found["because"][0]["until"]
    assert found["summary"] == f"Task default/job is Scheduled: its next time is {due}"


async def test_what_a_task_lacks_is_named_with_the_request_that_mends_it(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("job", pipelineRef={"name": "scan"}, schedules=YEARLY))
    assert said(await of_task(api), Cause.PIPELINE_MISSING)["action"]["path"].endswith("/pipelines/scan")

    await declare(pool, pipeline("scan", {"id": "a", "uses": "web"}, {"id": "b", "uses": "mail"}))
    lacking = said(await of_task(api), Cause.TOOL_MISSING)
    assert lacking["detail"] == "ToolNotFound"
    assert lacking["action"]["path"] == "/v1/namespaces/default/tools/mail"
    assert lacking["message"].endswith("there is no Tool default/mail; apply it; also missing or not valid: web")

    await declare(pool, tool("web", "http://127.0.0.1:9"), tool("mail", "http://127.0.0.1:9"))
    assert reasons(await of_task(api))[0] == Cause.NO_WORKER


async def test_who_keeps_a_task_quiet_is_named_and_the_request_ends_it(api: httpx2.AsyncClient, pool: Pool) -> None:
    await staff(pool)
    await declare(pool, task("job", LOG, schedules=YEARLY))
    await pause(pool, "job", by="ada")
    paused = (await of_task(api))["because"][0]
    assert (paused["reason"], paused["by"]) == (Cause.PAUSED, "ada")
    assert paused["since"] in paused["message"]

    action = paused["action"]
    assert (await api.request(action["method"], action["path"])).status_code == 200
    assert (await of_task(api))["because"][0]["reason"] == Cause.NEXT_TIME

    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=3)
    await snooze(pool, "job", until, by="bob")
    snoozed = (await of_task(api))["because"][0]
    assert (snoozed["reason"], snoozed["by"]) == (Cause.SNOOZED, "bob")
    assert datetime.fromisoformat(snoozed["until"]) == until


async def test_a_suspended_task_of_the_api_is_woken_by_the_request(api: httpx2.AsyncClient, pool: Pool) -> None:
    await staff(pool)
    await declare(pool, task("job", LOG, schedules=YEARLY, suspend=True))
    suspended = (await of_task(api))["because"][0]
    action = suspended["action"]
    assert (suspended["reason"], action["method"]) == (Cause.SUSPENDED, "PATCH")
    headers = {"content-type": "application/merge-patch+json"}
    answer = await api.request(action["method"], action["path"], json=action["body"], headers=headers)
    assert answer.status_code == 200, answer.text
    assert (await of_task(api))["because"][0]["reason"] == Cause.NEXT_TIME


async def test_a_time_that_nobody_fires_says_that_no_operator_is_there(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("job", LOG, schedules=YEARLY))
    async with pool.connection() as connection:
        await connection.execute("UPDATE task_clock SET next_fire_at = now() - interval '1 min'")
        overdue = said(await of_task(api), Cause.OVERDUE)
        assert overdue["message"].endswith("nobody has fired it: no operator is connected to the database")
        await connection.execute("SET application_name = 'ordinaut-operator'")
        overdue = said(await of_task(api), Cause.OVERDUE)
        assert overdue["message"].endswith("an operator is connected to the database, and does not get to it")


async def test_skipped_times_and_the_run_in_the_way_are_told(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("job", LOG, schedules=YEARLY, concurrencyPolicy="Forbid"))
    run = await run_now(pool, namespace="default", name="job")
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO fire (task_id, scheduled_at, outcome, reason)"
            " SELECT task_id, '2026-01-01T00:00:00Z', 'Skipped', 'StillRunning' FROM task"
        )
    found = await of_task(api)
    active = said(found, Cause.ACTIVE_RUN)
    assert [one["run"] for one in active["holders"]] == [str(run)]
    assert active["action"]["path"] == f"/v1/namespaces/default/runs/{run}/why"
    assert said(found, Cause.TIMES_SKIPPED)["detail"] == "StillRunning"


async def test_how_the_last_run_ended_is_told_with_its_step(api: httpx2.AsyncClient, pool: Pool) -> None:
    await staff(pool)
    await declare(pool, task("job", LOG))
    run = await run_now(pool, namespace="default", name="job")
    (leased,) = await lease(pool)
    await commit(pool, leased, failure(), run=RunResult(RunPhase.FAILED, reason="StepFailed", error="step say failed"))
    found = await of_task(api)
    assert reasons(found) == [Cause.LAST_RUN, Cause.NO_SCHEDULES]
    last = found["because"][0]
    assert last["detail"] == "Failed"
    assert last["message"].endswith("as Failed: StepFailed: step say: HTTP 503 sorry")
    assert last["action"]["command"] == f"why run {run} -n default"


# -- a run in its queue ------------------------------------------------------------------------------------------------


async def test_a_run_without_a_worker_names_its_queue(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("job", LOG))
    run = await run_now(pool, namespace="default", name="job")
    await staff(pool, "gone", live=False)
    await staff(pool, "elsewhere", queues=["other"])
    found = await of_run(api, run)
    assert reasons(found) == [Cause.NO_WORKER, Cause.QUEUED]
    assert found["because"][0]["queue"] == "default"
    assert found["because"][1]["position"] == {"before": 0, "more": False}

    await staff(pool, "all", queues=["*"])
    assert reasons(await of_run(api, run)) == [Cause.QUEUED]


async def test_a_run_behind_busy_workers_says_so(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("job", LOG))
    first = await run_now(pool, namespace="default", name="job")
    await staff(pool, slots=1)
    await lease(pool)
    second = await run_now(pool, namespace="default", name="job")
    found = await of_run(api, second)
    assert reasons(found) == [Cause.WORKERS_BUSY, Cause.QUEUED]
    assert found["because"][0]["message"] == "the only slot of queue default, of worker w, is taken"
    assert reasons(await of_run(api, first)) == [Cause.RUNNING]


async def test_the_position_counts_more_urgent_runs_and_the_turns_of_others(
    api: httpx2.AsyncClient, pool: Pool
) -> None:
    await declare(pool, task("job", LOG), task("urgent", LOG, priority=9), task("idle", LOG, priority=0))
    theirs = task("flood", LOG)
    theirs["metadata"]["namespace"] = "theirs"
    await declare(pool, theirs)
    for _ in range(5):
        await run_now(pool, namespace="theirs", name="flood")
    mine = [await run_now(pool, namespace="default", name="job") for _ in range(2)]
    for name in ("urgent", "urgent", "urgent", "idle"):
        await run_now(pool, namespace="default", name=name)
    # One of the flood for each of its own; all urgent ones; none that is less urgent.
    found = await of_run(api, mine[0])
    assert said(found, Cause.QUEUED)["position"] == {"before": 4, "more": False}
    assert "theirs" not in str(found)
    assert "flood" not in str(found)
    assert said(await of_run(api, mine[1]), Cause.QUEUED)["position"] == {"before": 6, "more": False}


async def test_counting_ends(api: httpx2.AsyncClient, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(position, "MOST", 3)
    monkeypatch.setattr("ordinaut.why.queueing.MOST", 3)
    await declare(pool, task("job", LOG))
    made = [await run_now(pool, namespace="default", name="job") for _ in range(6)]
    places = [said(await of_run(api, run), Cause.QUEUED)["position"] for run in made]
    assert places[:4] == [{"before": before, "more": False} for before in range(4)]
    assert places[4:] == [{"before": 3, "more": True}] * 2


async def test_a_run_that_is_due_again_is_found_however_deep(
    api: httpx2.AsyncClient, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(position, "MOST", 3)
    await declare(pool, task("job", LOG))
    run = await run_now(pool, namespace="default", name="job")
    for _ in range(5):
        await run_now(pool, namespace="default", name="job")
    async with pool.connection() as connection:
        await connection.execute("UPDATE due_work SET due_at = now() WHERE run_id = %s", [run])
    found = await of_run(api, run)
    assert said(found, Cause.QUEUED)["position"] == {"before": 3, "more": True}


async def test_a_run_that_is_nowhere_is_a_defect(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("job", LOG))
    run = await run_now(pool, namespace="default", name="job")
    async with pool.connection() as connection:
        await connection.execute("DELETE FROM due_work")
    found = await of_run(api, run)
    assert reasons(found) == [Cause.NOWHERE]
    action = found["because"][0]["action"]
    assert (await api.request(action["method"], action["path"])).status_code == 202


# -- a run that waits --------------------------------------------------------------------------------------------------


async def test_a_run_that_waits_for_its_turn_names_the_one_before_it(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("job", LOG, concurrencyPolicy="Queue"))
    first, second, third = [await run_now(pool, namespace="default", name="job") for _ in range(3)]
    turn = (await of_run(api, third))["because"][0]
    assert (turn["reason"], turn["position"]) == (Cause.TURN, {"before": 1, "more": False})
    assert [(one["run"], one["phase"]) for one in turn["holders"]] == [(str(first), "Pending")]
    assert turn["action"]["command"] == f"why run {first} -n default"

    await lease(pool)
    held = (await of_run(api, second))["because"][0]
    assert f"run {first} is Running on worker w since" in held["message"]
    assert "2 others wait for its end" in said(await of_task(api), Cause.ACTIVE_RUN)["message"]


async def test_a_run_that_waits_for_a_retry_says_until_when_and_which_try(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("job", LOG, retryStrategy={"limit": 4}))
    run = await run_now(pool, namespace="default", name="job")
    (leased,) = await lease(pool)
    waits = RunResult(RunPhase.WAITING, reason="Retry", delay=timedelta(hours=1))
    await commit(pool, leased, failure(StepPhase.WAITING, attempt=2), run=waits)
    retry = (await of_run(api, run))["because"][0]
    assert retry["reason"] == Cause.RETRY
    assert retry["message"] == f"step say failed 2 of 5 times and is tried again at {retry['until']}: HTTP 503 sorry"

    async with pool.connection() as connection:
        await connection.execute("UPDATE run SET created_at = now() - interval '1 h'")
        await connection.execute("UPDATE delayed_work SET due_at = now() - interval '1 min'")
        assert reasons(await of_run(api, run))[0] == Cause.NOT_MOVED
        await work.release_delayed(connection)
    # Its phase is Waiting until a worker takes it, but it waits for a worker now.
    found = await of_run(api, run)
    assert (found["phase"], reasons(found)) == ("Waiting", [Cause.NO_WORKER, Cause.QUEUED])


async def test_a_run_that_waits_for_a_concurrency_key_names_who_holds_it(api: httpx2.AsyncClient, pool: Pool) -> None:
    keys = [{"key": "account/${params.account}", "limit": 1}]
    await declare(
        pool,
        task("job", LOG, concurrency=keys, params={"account": "7"}),
        task("other", LOG, concurrency=keys, params={"account": "7"}),
    )
    holder, second, third = [await run_now(pool, namespace="default", name=name) for name in ("other", "job", "job")]
    async with pool.connection() as connection:
        await admission.admit(connection)
    await lease(pool)
    found = await of_run(api, third)
    (key,) = found["because"]
    assert (found["phase"], key["reason"]) == ("Waiting", Cause.CONCURRENCY_KEY)
    assert (key["key"], key["limit"], key["position"]) == ("account/7", 1, {"before": 1, "more": False})
    held = {"run": str(holder), "task": "other", "phase": "Running", "since": key["since"]}
    assert key["holders"] == [held]
    assert key["action"]["path"] == f"{RUNS}/{holder}/why"
    assert said(await of_run(api, second), Cause.CONCURRENCY_KEY)["position"]["before"] == 0


# -- a run that a worker has, or that is over --------------------------------------------------------------------------


async def test_a_run_at_work_names_worker_and_step(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("job", LOG))
    run = await run_now(pool, namespace="default", name="job")
    await lease(pool, worker="w-7")
    found = await of_run(api, run)
    assert (found["phase"], reasons(found)) == ("Running", [Cause.RUNNING])
    assert found["because"][0]["message"].startswith("it runs on worker w-7, at step say, since ")


async def test_a_run_of_a_lost_worker_says_so_and_then_that_it_was_lost(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("job", LOG))
    run = await run_now(pool, namespace="default", name="job")
    await lease(pool, worker="w-7", ttl=timedelta(seconds=-1))
    lost = (await of_run(api, run))["because"][0]
    assert lost["reason"] == Cause.WORKER_LOST
    assert "worker w-7 has it and gives no sign of life" in lost["message"]

    async with pool.connection() as connection, connection.transaction():
        await work.requeue(connection, [work.redelivered(one) for one in await work.take_expired(connection)])
    found = await of_run(api, run)
    assert said(found, Cause.REDELIVERED)["message"] == "the worker that had it before was lost"


async def test_a_failed_run_says_what_failed_and_is_tried_again_by_the_request(
    api: httpx2.AsyncClient, pool: Pool
) -> None:
    await declare(pool, task("job", LOG))
    run = await run_now(pool, namespace="default", name="job")
    (leased,) = await lease(pool)
    await commit(pool, leased, failure(attempt=2), run=RunResult(RunPhase.FAILED, reason="StepFailed", error="x"))
    found = await of_run(api, run)
    failed = found["because"][0]
    assert (failed["reason"], failed["detail"]) == (Cause.FAILED, "StepFailed")
    assert failed["message"].endswith(": StepFailed: step say, tried 2 times: HTTP 503 sorry")
    assert (await api.request(failed["action"]["method"], failed["action"]["path"])).status_code == 202


async def test_a_run_that_failed_for_a_missing_tool_says_so_first(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, tool("web", "http://127.0.0.1:9"), task("job", {"id": "say", "uses": "web"}))
    run = await run_now(pool, namespace="default", name="job")
    async with pool.connection() as connection:
        await connection.execute("DELETE FROM tool")
    note = said(await of_run(api, run), Cause.TOOL_MISSING)
    assert (note["level"], note["detail"]) == ("Note", "ToolNotFound")
    (leased,) = await lease(pool)
    await commit(pool, leased, failure(), run=RunResult(RunPhase.FAILED, reason="StepFailed", error="x"))
    found = await of_run(api, run)
    assert reasons(found) == [Cause.TOOL_MISSING, Cause.FAILED]
    assert found["because"][0]["action"]["path"] == "/v1/namespaces/default/tools/web"


async def test_a_cancelled_run_and_a_parked_one_say_why(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("job", LOG))
    cancelled, parked = [await run_now(pool, namespace="default", name="job") for _ in range(2)]
    assert (await api.post(f"{RUNS}/{cancelled}/cancel")).status_code == 202
    await park(pool, parked)
    found = (await of_run(api, cancelled))["because"][0]
    assert (found["reason"], found["detail"], found["by"]) == (Cause.CANCELLED, "Requested", "local")
    found = (await of_run(api, parked))["because"][0]
    assert (found["reason"], found["detail"]) == (Cause.PARKED, "MaxDeliveriesExceeded")
    assert found["message"].endswith("its workers were lost")
    assert (await api.request(found["action"]["method"], found["action"]["path"])).status_code == 202
    assert (await of_run(api, parked))["phase"] == "Pending"


async def park(pool: Pool, run: UUID) -> None:
    async with pool.connection() as connection, connection.transaction():
        await runs.finish(
            connection, [run], phase=RunPhase.PARKED, reason="MaxDeliveriesExceeded", error="its workers were lost"
        )


# -- what is not there -------------------------------------------------------------------------------------------------


async def test_what_does_not_exist_is_not_found(api: httpx2.AsyncClient) -> None:
    problem(await api.get(f"{TASKS}/nothing/why"), 404, "not-found")
    problem(await api.get(f"{RUNS}/{uuid4()}/why"), 404, "not-found")


async def test_asking_writes_nothing(api: httpx2.AsyncClient, pool: Pool) -> None:
    """A transaction that only looks takes no transaction id."""
    await declare(pool, task("job", LOG))
    run = await run_now(pool, namespace="default", name="job")

    async def oldest(connection: Connection) -> Any:
        return await (await connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())")).fetchone()

    async with pool.connection() as connection:
        before = await oldest(connection)
        await of_task(api)
        await of_run(api, run)
        assert await oldest(connection) == before

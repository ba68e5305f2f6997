"""Declaring objects through the API, and what it tells of them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from ordinaut import shapes
from ordinaut.states import Origin
from ordinaut.store.pool import Pool
from tests.declaring import declare, manifest, pipeline, run_now, task, tool
from tests.integration.serving import PIPELINES, RUNS, TASKS, TOOLS, serving

pytestmark = pytest.mark.integration

LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}


@pytest.fixture
async def api(database: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(database) as client:
        yield client


async def put(api: httpx2.AsyncClient, document: dict[str, Any], **more: Any) -> httpx2.Response:
    metadata = document["metadata"]
    collection = {"Task": "tasks", "Pipeline": "pipelines", "Tool": "tools"}[document["kind"]]
    url = f"/v1/namespaces/{metadata['namespace']}/{collection}/{metadata['name']}"
    return await api.put(url, json=document, **more)


def condition(found: dict[str, Any], type_: str) -> dict[str, Any]:
    return next(one for one in found["status"]["conditions"] if one["type"] == type_)


async def audit(pool: Pool) -> list[tuple[str, str, str, str]]:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT actor, verb, namespace, object FROM audit ORDER BY id")
        return [tuple(row) for row in await cursor.fetchall()]  # type: ignore[misc]


async def test_whoever_polls_a_task_sees_whatever_happens_to_it(api: httpx2.AsyncClient, pool: Pool) -> None:
    await put(api, task("polled", LOG))

    async def poll() -> dict[str, Any]:
        first, second = [await api.get(f"{TASKS}/polled") for _ in range(2)]
        assert (first.content, first.headers["etag"]) == (second.content, second.headers["etag"])
        found: dict[str, Any] = second.json()
        return found

    assert (await poll())["status"]["phase"] == "Idle"
    run_id = (await api.post(f"{TASKS}/polled/run")).json()["metadata"]["name"]
    found = (await poll())["status"]
    assert (found["phase"], found["active"], found["lastRun"]["phase"]) == ("Running", 1, "Pending")
    await api.post(f"{RUNS}/{run_id}/cancel")
    assert (await poll())["status"]["lastRun"]["phase"] == "Cancelled"
    await api.post(f"{TASKS}/polled/pause")
    assert (await poll())["status"]["phase"] == "Paused"
    async with pool.connection() as connection:
        await connection.execute("UPDATE task SET snoozed_until = now() + interval '1 hour', snoozed_by = 'me'")
    assert (await poll())["status"]["snooze"]["by"] == "me"
    await api.delete(f"{TASKS}/polled")
    assert (await api.get(f"{TASKS}/polled")).status_code == 404


async def test_put_creates_then_replaces_and_get_shows_it(api: httpx2.AsyncClient) -> None:
    first = task("hourly", LOG, schedules=[{"cron": "0 * * * *", "timeZone": "Europe/Chisinau"}])
    created = await put(api, first)
    assert created.status_code == 201, created.text
    assert created.json()["metadata"]["generation"] == 1
    assert created.json()["metadata"]["origin"] == "API"

    again = await put(api, first)
    assert again.status_code == 200
    assert again.json()["metadata"]["generation"] == 1

    replaced = await put(api, task("hourly", LOG, schedules=[{"cron": "30 * * * *"}]))
    assert replaced.status_code == 200
    assert replaced.json()["metadata"]["generation"] == 2
    assert replaced.json()["metadata"]["uid"] == created.json()["metadata"]["uid"]

    found = (await api.get(f"{TASKS}/hourly")).json()
    assert found["kind"] == "Task"
    assert found["apiVersion"] == "ordinaut.io/v1alpha1"
    assert found["spec"]["schedules"] == [{"cron": "30 * * * *"}]
    assert condition(found, "Ready")["status"] == "True"
    assert found["status"]["phase"] == "Scheduled"
    assert found["status"]["schedule"] == "30 * * * *"
    assert found["status"]["upcoming"][0] == found["status"]["nextScheduleTime"]
    assert len(found["status"]["upcoming"]) == 5
    shapes.Task.model_validate(found)


async def test_a_task_says_what_it_lacks_and_heals_when_that_appears(api: httpx2.AsyncClient) -> None:
    lacking = (await put(api, task("briefing", pipelineRef={"name": "briefing"}))).json()
    assert condition(lacking, "Ready")["reason"] == "PipelineNotFound"
    assert lacking["status"]["phase"] == "NotReady"

    await put(api, pipeline("briefing", {"id": "fetch", "uses": "calendar"}))
    lacking = (await api.get(f"{TASKS}/briefing")).json()
    assert condition(lacking, "Ready")["reason"] == "ToolNotFound"
    shown = (await api.get(f"{PIPELINES}/briefing")).json()
    assert condition(shown, "Ready")["message"] == "missing or not valid: Tool calendar; apply it"

    assert (await put(api, tool("calendar", "http://127.0.0.1:1"))).status_code == 201
    healed = (await api.get(f"{TASKS}/briefing")).json()
    assert condition(healed, "Ready")["status"] == "True"
    assert condition((await api.get(f"{PIPELINES}/briefing")).json(), "Ready")["status"] == "True"
    shapes.Pipeline.model_validate(shown)
    shapes.Tool.model_validate((await api.get(f"{TOOLS}/calendar")).json())


async def test_steps_in_the_original_form_are_taken(api: httpx2.AsyncClient) -> None:
    old = {"id": "say", "uses": "std.log", "with": {"message": "hi"}, "save_as": "said", "timeout_seconds": 5}
    made = await put(api, pipeline("old", old))
    assert made.status_code == 201, made.text
    assert made.json()["spec"]["steps"][0]["saveAs"] == "said"
    assert made.json()["spec"]["steps"][0]["timeout"] == "5s"


async def test_delete_removes_and_then_there_is_nothing(api: httpx2.AsyncClient) -> None:
    for document, path in (
        (task("gone", LOG), f"{TASKS}/gone"),
        (pipeline("gone", LOG), f"{PIPELINES}/gone"),
        (tool("gone", "http://127.0.0.1:1"), f"{TOOLS}/gone"),
    ):
        await put(api, document)
        deleted = await api.delete(path)
        assert (deleted.status_code, deleted.content) == (204, b"")
        for answer in (await api.get(path), await api.delete(path)):
            assert answer.status_code == 404
            assert answer.json()["type"] == "urn:ordinaut:problem:not-found"
            assert "default/gone" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("origin", "owner"), [(Origin.KUBERNETES, "the Kubernetes resource"), (Origin.DIRECTORY, "ordinaut dev")]
)
async def test_what_another_origin_owns_is_left_alone_and_its_owner_named(
    api: httpx2.AsyncClient, pool: Pool, origin: Origin, owner: str
) -> None:
    documents = [task("owned", LOG), pipeline("owned", LOG), tool("owned", "http://127.0.0.1:1")]
    await declare(pool, *documents, origin=origin)
    for document in documents:
        changed = manifest(document["kind"], "owned", document["spec"])
        refused = [await put(api, changed)]
        refused.append(await api.delete(str(refused[0].url)))
        for answer in refused:
            assert answer.status_code == 409
            assert owner in answer.json()["detail"]
            assert answer.json()["type"] == "urn:ordinaut:problem:conflict"
    assert (await api.get(f"{TASKS}/owned")).json()["metadata"]["origin"] == origin
    assert await audit(pool) == []


async def test_a_manifest_that_contradicts_its_path_is_refused(api: httpx2.AsyncClient) -> None:
    answer = await api.put(
        f"{TASKS}/other", json=manifest("Task", "name", {"pipeline": {"steps": [LOG]}}, namespace="elsewhere")
    )
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["metadata.namespace", "metadata.name"]
    assert (await api.put(f"{PIPELINES}/name", json=task("name", LOG))).status_code == 422


async def test_the_namespace_of_the_path_is_the_default(api: httpx2.AsyncClient) -> None:
    document = task("here", LOG)
    del document["metadata"]["namespace"]
    made = await api.put("/v1/namespaces/team-a/tasks/here", json=document)
    assert made.json()["metadata"]["namespace"] == "team-a"
    assert (await api.get(f"{TASKS}/here")).status_code == 404


async def test_fields_that_the_server_sets_are_refused(api: httpx2.AsyncClient) -> None:
    document = task("mine", LOG)
    document["metadata"]["uid"] = "x"
    document["status"] = {"active": 9}
    answer = await put(api, document)
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == {"status", "metadata.uid"}


async def test_lists_are_paged_without_loss_or_repetition(api: httpx2.AsyncClient, pool: Pool) -> None:
    names = [f"task-{number:02}" for number in range(7)]
    await declare(pool, *(task(name, LOG) for name in reversed(names)))
    await declare(pool, manifest("Task", "stranger", {"pipeline": {"steps": [LOG]}}, namespace="other"))
    seen: list[str] = []
    cursor: dict[str, str] = {}
    for size in (3, 3, 1):
        page = (await api.get(TASKS, params={"limit": "3", **cursor})).json()
        assert len(page["items"]) == size
        seen += [item["metadata"]["name"] for item in page["items"]]
        cursor = {"cursor": page["nextCursor"]} if "nextCursor" in page else {}
    assert cursor == {}
    assert seen == names


async def test_a_cursor_of_another_list_is_refused(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, *(task(f"task-{number}", LOG) for number in range(2)))
    cursor = (await api.get(TASKS, params={"limit": "1"})).json()["nextCursor"]
    for path in ("/v1/namespaces/other/tasks", PIPELINES, RUNS, f"{TASKS}/task-1/fires"):
        answer = await api.get(path, params={"cursor": cursor})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "cursor"


@pytest.mark.parametrize(
    ("query", "remedy"),
    [
        ("limit=0", "write 1 or more"),
        ("limit=1000000", "write 500 or less"),
        ("limit=many", "write a whole number"),
        ("phase=Sleeping", "write one of 'Pending', "),
    ],
)
async def test_a_wrong_parameter_is_refused_with_what_to_write(
    api: httpx2.AsyncClient, query: str, remedy: str
) -> None:
    answer = await api.get(f"/v1/namespaces/default/runs?{query}")
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["remedy"].startswith(remedy), error


async def test_preview_tells_the_next_times(api: httpx2.AsyncClient, pool: Pool) -> None:
    at = {"at": "2099-01-01T08:30:00", "timeZone": "Europe/Chisinau"}
    await declare(pool, task("once", LOG, schedules=[at]), task("asleep", LOG, schedules=[at], suspend=True))
    assert (await api.get(f"{TASKS}/once/preview")).json() == {"items": ["2099-01-01T06:30:00Z"]}
    assert (await api.get(f"{TASKS}/asleep/preview")).json() == {"items": []}
    await declare(pool, task("often", LOG, schedules=[{"interval": "1m"}]))
    often = (await api.get(f"{TASKS}/often/preview", params={"count": "100"})).json()["items"]
    assert len(often) == len(set(often)) == 100
    assert sorted(often) == often
    assert datetime.fromisoformat(often[0]) > datetime.now(UTC)
    for before, following in ((0, 1), (50, 51)):
        later = await api.get(f"{TASKS}/often/preview", params={"count": "3", "after": often[before]})
        assert later.json()["items"] == often[following : following + 3]
    assert (await api.get(f"{TASKS}/often/preview", params={"after": "2020-01-01T00:00:00Z"})).json()["items"] == often[
        :10
    ]
    assert (await api.get(f"{TASKS}/once/preview", params={"after": "2099-01-01T06:30:00Z"})).json() == {"items": []}


async def test_a_rule_that_is_over_when_it_is_declared_has_finished(api: httpx2.AsyncClient) -> None:
    """It counts from the minute in which the task is made, which nobody knew when the rule was checked."""
    past = task("past", LOG, schedules=[{"rrule": "FREQ=DAILY;UNTIL=20260601T000000Z"}])
    put = await api.put(f"{TASKS}/past", json=past)
    assert put.status_code == 201, put.text
    found = (await api.get(f"{TASKS}/past")).json()["status"]
    assert [(one["type"], one["reason"]) for one in found["conditions"] if one["type"] == "Scheduled"] == [
        ("Scheduled", "NoFutureFirings")
    ]
    assert (await api.get(f"{TASKS}/past/preview")).json() == {"items": []}


async def test_the_ledger_is_read_newest_first(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("ticking", LOG))
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO fire (task_id, scheduled_at, outcome, reason) "
            "SELECT task_id, now() - n * interval '1 hour', 'Skipped', 'NotCaughtUp' FROM task, generate_series(1, 5) n"
        )
    first = (await api.get(f"{TASKS}/ticking/fires", params={"limit": "3"})).json()
    rest = (await api.get(f"{TASKS}/ticking/fires", params={"cursor": first["nextCursor"]})).json()
    times = [fire["scheduledTime"] for fire in first["items"] + rest["items"]]
    assert len(times) == 5
    assert times == sorted(times, reverse=True)
    assert {(fire["outcome"], fire["reason"]) for fire in rest["items"]} == {("Skipped", "NotCaughtUp")}
    assert (await api.get(f"{TASKS}/nobody/fires")).status_code == 404


async def test_changes_leave_an_audit_trail_and_reads_and_refusals_do_not(api: httpx2.AsyncClient, pool: Pool) -> None:
    await put(api, task("audited", LOG))
    await api.get(f"{TASKS}/audited")
    await put(api, task("wrong", {"id": "say"}))
    run = (await api.post(f"{TASKS}/audited/run")).json()["metadata"]["name"]
    await api.post(f"{RUNS}/{run}/cancel")
    await api.delete(f"{TASKS}/audited")
    await api.delete(f"{TASKS}/audited")
    assert await audit(pool) == [
        ("local:local", "update", "default", "tasks/audited"),
        ("local:local", "run", "default", "tasks/audited"),
        ("local:local", "cancel", "default", f"runs/{run}"),
        ("local:local", "delete", "default", "tasks/audited"),
    ]


async def test_deleting_a_task_cancels_its_runs_and_keeps_its_history(api: httpx2.AsyncClient, pool: Pool) -> None:
    await put(api, task("short-lived", LOG))
    run_id = await run_now(pool, namespace="default", name="short-lived")
    await api.delete(f"{TASKS}/short-lived")
    run = (await api.get(f"{RUNS}/{run_id}")).json()
    assert (run["status"]["phase"], run["status"]["reason"]) == ("Cancelled", "TaskDeleted")
    assert run["spec"]["task"] == "short-lived"

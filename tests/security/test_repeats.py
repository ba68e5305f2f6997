"""The same request again and again, one after the other and all at once (attacks 16, 17)."""

import asyncio
import uuid
from typing import Any

import httpx2
import pytest

from ordinaut.states import RunPhase
from ordinaut.store.pool import Pool
from tests.declaring import task
from tests.security.problems import refused
from tests.security.tenants import OURS, Api, path_of

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("patient_api")]

LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}


def manifest(name: str) -> dict[str, Any]:
    document = task(name, LOG)
    document["metadata"]["namespace"] = OURS
    return document


async def post(api: Api, *parts: str, **more: Any) -> httpx2.Response:
    return await api.call("editor-a", "POST", path_of(*parts), **more)


async def count(pool: Pool, statement: str) -> int:
    async with pool.connection() as connection:
        row = await (await connection.execute(statement)).fetchone()  # type: ignore[call-overload]
    return int(row[0])


async def test_a_key_with_another_body_query_or_path_is_refused_and_does_nothing(api: Api, pool: Pool) -> None:
    for name in ("one", "two"):
        assert (await post(api, "tasks", json=manifest(name))).status_code == 201
    key = {"Idempotency-Key": str(uuid.uuid4())}
    first = await post(api, "tasks", "one", "run", json={"params": {"n": 1}}, headers=key)
    assert first.status_code == 202
    refused(await post(api, "tasks", "one", "run", json={"params": {"n": 2}}, headers=key), "idempotency-conflict")
    refused(await post(api, "tasks", "one", "run", headers=key), "idempotency-conflict")
    refused(await post(api, "tasks", "two", "run", json={"params": {"n": 1}}, headers=key), "idempotency-conflict")
    again = await post(api, "tasks", "one", "run", json={"params": {"n": 1}}, headers=key)
    assert (again.status_code, again.content) == (202, first.content)
    assert await count(pool, "SELECT count(*) FROM run") == 1


async def test_fifty_parallel_posts_of_one_key_make_one_object(api: Api, pool: Pool) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    answers = await asyncio.gather(*(post(api, "tasks", json=manifest("once"), headers=key) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {201}, [answer.text for answer in answers][:3]
    assert len({answer.content for answer in answers}) == 1
    assert await count(pool, "SELECT count(*) FROM task") == 1
    assert await count(pool, "SELECT count(*) FROM audit WHERE decision = 'Allowed'") == 1


async def test_fifty_parallel_posts_of_one_key_make_one_run(api: Api, pool: Pool) -> None:
    await post(api, "tasks", json=manifest("job"))
    key = {"Idempotency-Key": "k"}
    answers = await asyncio.gather(*(post(api, "tasks", "job", "run", headers=key) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert await count(pool, "SELECT count(*) FROM run") == 1
    assert await count(pool, "SELECT count(*) FROM due_work") == 1


async def test_fifty_parallel_creates_of_one_name_make_one_object(api: Api, pool: Pool) -> None:
    answers = await asyncio.gather(*(post(api, "tasks", json=manifest("once")) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49
    assert await count(pool, "SELECT count(*) FROM task") == 1


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb", "é", "\x7f"])
async def test_a_key_that_is_none_is_refused(api: Api, key: str) -> None:
    await post(api, "tasks", json=manifest("job"))
    answer = await post(api, "tasks", "job", "run", headers={"Idempotency-Key": key.encode("latin-1")})
    assert refused(answer, "invalid")["errors"][0]["field"] == "Idempotency-Key"


async def test_two_keys_at_once_are_refused(api: Api) -> None:
    await post(api, "tasks", json=manifest("job"))
    headers = [*api.access.headers("editor-a").items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = await api.client.post(path_of("tasks", "job", "run"), headers=headers)
    refused(answer, "invalid")


async def test_what_failed_is_not_kept_under_its_key(api: Api) -> None:
    key = {"Idempotency-Key": "k"}
    refused(await post(api, "tasks", "job", "run", headers=key), "not-found")
    await post(api, "tasks", json=manifest("job"))
    assert (await post(api, "tasks", "job", "run", headers=key)).status_code == 202


async def start(api: Api) -> str:
    await post(api, "tasks", json=manifest("job"))
    answer = await post(api, "tasks", "job", "run")
    assert answer.status_code == 202, answer.text
    return str(answer.json()["metadata"]["name"])


async def test_a_run_is_cancelled_once_however_many_ask(api: Api, pool: Pool) -> None:
    run = await start(api)
    answers = await asyncio.gather(*(post(api, "runs", run, "cancel") for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 19
    refused(await post(api, "runs", run, "cancel"), "conflict")
    found = await api.call("viewer-a", "GET", path_of("runs", run))
    assert found.json()["status"]["phase"] == RunPhase.CANCELLED
    statement = "SELECT count(*) FROM outbox, json_array_elements(events) e WHERE e::text LIKE '%run.cancelled%'"
    assert await count(pool, statement) == 1


async def test_what_runs_or_is_unknown_is_not_retried(api: Api) -> None:
    run = await start(api)
    refused(await post(api, "runs", run, "retry"), "conflict")
    refused(await post(api, "runs", str(uuid.uuid4()), "retry"), "not-found")
    assert (await post(api, "runs", run, "cancel")).status_code == 202
    again = await post(api, "runs", run, "retry")
    assert again.status_code == 202
    assert again.json()["metadata"]["name"] != run
    assert (await api.call("viewer-a", "GET", path_of("runs", run))).json()["status"]["phase"] == RunPhase.CANCELLED


async def test_cancel_and_retry_at_once_leave_one_final_phase(api: Api) -> None:
    for _ in range(5):
        run = await start(api)
        verbs = ("cancel", "retry", "cancel", "retry")
        answers = await asyncio.gather(*(post(api, "runs", run, verb) for verb in verbs))
        assert {answer.status_code for answer in answers} <= {202, 409}
        cancelled = [answer.status_code for answer, verb in zip(answers, verbs, strict=True) if verb == "cancel"]
        assert sorted(cancelled) == [202, 409]
        found = await api.call("viewer-a", "GET", path_of("runs", run))
        assert found.json()["status"]["phase"] == RunPhase.CANCELLED

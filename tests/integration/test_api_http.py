"""What every caller meets, whatever the route: problems, limits, health, and a database that is away."""

import asyncio
import re
import threading
import uuid
from collections.abc import AsyncIterator, Callable
from pkgutil import resolve_name
from typing import Any

import httpx2
import psycopg
import pytest
from prometheus_client import generate_latest
from psycopg import conninfo

from ordinaut.probes import Readiness
from ordinaut.resources import yamldocs
from ordinaut.store.pool import Pool
from ordinaut_api import body
from tests import servers
from tests.declaring import declare, task
from tests.integration.serving import HOOKS, MERGE_PATCH, PIPELINES, RUNS, TASKS, TOOLS, problem, serving
from tests.wrong_manifests.catalog import WRONG_MANIFESTS

pytestmark = pytest.mark.integration

LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}
JSON = {"content-type": "application/json"}


@pytest.fixture
async def api(database: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(database) as client:
        yield client


async def until(condition: Callable[[], Any], *, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.05)


async def test_wrong_manifests_are_refused_with_the_messages_of_kubectl(api: httpx2.AsyncClient) -> None:
    for wrong in WRONG_MANIFESTS:
        (document,) = yamldocs.read(wrong.text, source=wrong.path.name)
        collection = {"Task": TASKS, "Pipeline": PIPELINES, "Tool": TOOLS, "Hook": HOOKS}[document.data["kind"]]
        # A name that no path can have stands in the manifest only.
        name = document.data["metadata"]["name"]
        name = name if re.fullmatch(r"[a-z0-9.-]{1,63}", name) else "wrong"
        found = problem(await api.put(f"{collection}/{name}", json=document.data), 422, "invalid")
        said = [error["detail"] for error in found["errors"]]
        assert any(wrong.refusal in one for one in said), (wrong, said)
    for collection in (TASKS, PIPELINES, TOOLS, HOOKS):
        assert (await api.get(collection)).json() == {"items": []}


async def test_nothing_at_a_path_is_a_problem(api: httpx2.AsyncClient) -> None:
    for path in (
        "/",
        "/v1",
        "/v1/namespaces/default/secrets",
        f"{TASKS}/",
        "/docs",
        "/v1/namespaces//tasks",
        "/readyz",
        "/metrics",
    ):
        problem(await api.get(path), 404, "not-found")


async def test_a_method_that_a_path_does_not_take_names_those_it_takes(api: httpx2.AsyncClient) -> None:
    answer = await api.post(f"{TASKS}/name")
    assert "DELETE, GET, PATCH, PUT" in problem(answer, 405, "method-not-allowed")["detail"]
    assert answer.headers["allow"] == "DELETE, GET, PATCH, PUT"
    assert (await api.put(TASKS)).headers["allow"] == "GET, POST"
    assert (await api.get(f"{TASKS}:batch")).headers["allow"] == "POST"


@pytest.mark.parametrize(
    "name",
    ["UPPER", "under_score", "..", "%2e%2e", "a%00b", "a%0ab", "-a", "a" * 64, "a" * 300, "ｎａｍｅ", "%252e", "ünï"],
)
async def test_a_path_with_what_is_no_name_is_refused(api: httpx2.AsyncClient, name: str) -> None:
    for path in (f"{TASKS}/{name}", f"/v1/namespaces/{name}/tasks", f"{PIPELINES}/{name}", f"{RUNS}/{name}"):
        answer = await api.get(path)
        assert answer.status_code in {404, 422}, (path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "501"}, "limit"),
        ({"limit": "1000000000"}, "limit"),
        ({"limit": "1e3"}, "limit"),
        ({"cursor": "AAAA"}, "cursor"),
        ({"cursor": "a" * 600}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"tsk": "name"}, "tsk"),
    ],
)
async def test_a_wrong_query_is_refused_and_names_the_parameter(
    api: httpx2.AsyncClient, query: dict[str, str], field: str
) -> None:
    for path in (TASKS, PIPELINES, RUNS):
        found = problem(await api.get(path, params=query), 422, "invalid")
        assert found["errors"][0]["field"] == field
        assert found["errors"][0]["message"]


@pytest.mark.parametrize("query", [{"phase": "Broken"}, {"trigger": "magic"}, {"task": "UPPER"}])
async def test_a_wrong_filter_of_runs_is_refused(api: httpx2.AsyncClient, query: dict[str, str]) -> None:
    found = problem(await api.get(RUNS, params=query), 422, "invalid")
    assert found["errors"][0]["field"] in query


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b'{"kind": NaN}', 400),
        (b'{"kind": 1e999}', 400),
        (b'{"kind": ' + b"9" * 5000 + b"}", 400),
        (b'{"kind": "\\ud800"}', 400),
        (b'{"kind": "\xff"}', 400),
        (b'{"kind": "Task", "kind": "Tool"}', 400),
        (b"[" * 20_000 + b"]" * 20_000, 400),
        (b"[" * 100_000 + b"]" * 100_000, 413),
        (b'{"spec": ' + b"[" * 1000 + b"]" * 1000 + b"}", 400),
        (b'{"spec": ' + b"[" * 100 + b"]" * 100 + b"}", 422),
        (b'{"kind": "Ta\\u0000sk"}', 422),
        (b'{"kind": 99999999999999999999}', 422),
        (b'{"metadata": []}', 422),
        (b'{"metadata": {"name": 5}}', 422),
    ],
)
async def test_a_body_that_is_not_sound_json_is_refused(api: httpx2.AsyncClient, content: bytes, status: int) -> None:
    for answer in (
        await api.put(f"{TASKS}/name", content=content, headers=JSON),
        await api.put(f"{PIPELINES}/name", content=content, headers=JSON),
    ):
        problem(answer, status, {400: "malformed", 413: "too-large", 422: "invalid"}[status])


async def test_a_body_too_large_is_refused_with_or_without_a_declared_length(api: httpx2.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(1 + body.MAX_BODY // 1024):
            yield b" " * 1024

    large = b'{"a": "' + b"x" * body.MAX_BODY + b'"}'
    problem(await api.put(f"{TASKS}/name", content=large, headers=JSON), 413, "too-large")
    problem(await api.put(f"{TASKS}/name", content=chunks(), headers=JSON), 413, "too-large")
    just = b'{"a": "' + b"x" * (body.MAX_BODY - 9) + b'"}'
    assert len(just) == body.MAX_BODY
    problem(await api.put(f"{TASKS}/name", content=just, headers=JSON), 422, "invalid")


async def test_a_body_of_another_type_is_refused(api: httpx2.AsyncClient) -> None:
    for headers in ({}, {"content-type": "text/plain"}, {"content-type": "application/yaml"}, MERGE_PATCH):
        problem(await api.put(f"{TASKS}/name", content=b"{}", headers=headers), 415, "unsupported-media-type")
        problem(await api.post(TASKS, content=b"{}", headers=headers), 415, "unsupported-media-type")


async def test_a_request_id_is_echoed_if_it_is_harmless_and_else_replaced(api: httpx2.AsyncClient) -> None:
    good = await api.get("/healthz", headers={"x-request-id": "run-7:a.b_c"})
    assert good.headers["x-request-id"] == "run-7:a.b_c"
    for bad in ("a b", "x" * 65, 'a"b', "a\x1b[31m", "é"):
        answer = await api.get("/healthz", headers={"x-request-id": bad.encode()})
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "ordinaut.example"},
        {"host": "127.0.0.1.ordinaut.example"},
        {"host": "[::1"},
        {"host": ""},
        {"origin": "https://ordinaut.example"},
        {"origin": "null"},
    ],
)
async def test_what_a_web_page_may_have_sent_is_refused(api: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    problem(await api.post(f"{TASKS}/name/run", headers=headers), 403, "forbidden")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8080", "localhost:8080", "[::1]:8080"])
async def test_this_machine_may_be_named_in_any_way(api: httpx2.AsyncClient, host: str) -> None:
    answer = await api.get("/healthz", headers={"host": host, "origin": f"http://{host}"})
    assert answer.json() == {"status": "alive"}


async def test_an_unforeseen_error_tells_nothing_of_the_inside(
    api: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_arguments: object, **_more: object) -> None:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr("ordinaut.store.status.list_tasks", explode)
    found = problem(await api.get(TASKS), 500, "internal")
    assert "hunter2" not in str(found)


async def test_metrics_count_by_template_and_never_by_what_callers_write(api: httpx2.AsyncClient) -> None:
    secret = f"name-{uuid.uuid4().hex}"
    await api.get(f"{TASKS}/{secret}")
    await api.get(f"/{secret}")
    await api.request(secret.upper()[:20], f"{TASKS}/{secret}")
    text = generate_latest().decode()
    assert secret not in text.lower()
    assert (
        'ordinaut_http_requests_total{method="GET",route="/v1/namespaces/{namespace}/tasks/{name}",status="404"}'
        in text
    )
    assert 'ordinaut_http_requests_total{method="GET",route="none",status="404"}' in text


async def test_openapi_describes_every_route_and_its_problems(api: httpx2.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    for path in (TASKS, PIPELINES, RUNS):
        template = path.replace("/default/", "/{namespace}/")
        assert template in document["paths"]
    assert document["paths"]["/healthz"]


async def test_a_database_that_was_not_migrated_makes_the_api_unready(postgres_url: str) -> None:
    with servers.database(postgres_url, template="template1") as empty:
        readiness = Readiness(database="not connected yet")
        async with serving(empty, readiness=readiness) as api:

            async def says_so() -> bool:
                return "ordinaut migrate" in readiness.reasons.get("database", "")

            await until(says_so)
            found = problem(await api.get(TASKS), 503, "unavailable")
            assert "ordinaut migrate" in found["detail"]


async def test_while_the_database_is_away_requests_fail_soon_and_then_all_goes_on(
    database: str, postgres_url: str
) -> None:
    name = conninfo.conninfo_to_dict(database)["dbname"]

    readiness = Readiness(database="not connected yet")

    async def ready() -> bool:
        return readiness.ready

    async def unready() -> bool:
        return not readiness.ready

    with psycopg.connect(postgres_url, autocommit=True) as server:
        async with serving(database, readiness=readiness) as api:
            await until(ready)
            server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            async with asyncio.timeout(30):
                answer = await api.get(TASKS)
            problem(answer, 503, "unavailable")
            assert answer.headers["retry-after"] == "2"
            assert (await api.get("/healthz")).status_code == 200
            await until(unready)
            assert "PostgreSQL does not answer" in readiness.reasons["database"]
            server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
            await until(ready)
            assert (await api.get(TASKS)).status_code == 200


async def test_what_takes_long_to_compute_does_not_hold_up_the_event_loop(
    api: httpx2.AsyncClient, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await declare(pool, task("hourly", LOG, schedules=[{"cron": "0 * * * *"}]), *(task(f"t{n}", LOG) for n in range(9)))
    small, large = task("new", LOG), task("new", LOG)
    large["metadata"]["annotations"] = {"filler": "x" * 100_000}
    for target, request in (
        ("ordinaut_api.manifests.examine.check", lambda: api.put(f"{TASKS}/new", json=small)),
        ("ordinaut_api.body.decode", lambda: api.put(f"{TASKS}/new", json=large)),
        ("ordinaut_api.foresight.standing.upcoming", lambda: api.get(f"{TASKS}/hourly")),
        ("ordinaut_api.foresight.standing.upcoming", lambda: api.get(f"{TASKS}/hourly/preview")),
        ("ordinaut_api.objects.task", lambda: api.get(TASKS)),
    ):
        computing, goes_on = threading.Event(), threading.Event()
        original = resolve_name(target)

        def slow(
            *arguments: Any,
            _computing: threading.Event = computing,
            _goes_on: threading.Event = goes_on,
            _original: Callable[..., Any] = original,
            **more: Any,
        ) -> Any:
            _computing.set()
            assert _goes_on.wait(20), "the event loop stands still"
            return _original(*arguments, **more)

        with monkeypatch.context() as patched:
            patched.setattr(target, slow)
            answer = asyncio.create_task(request())

            async def started(_computing: threading.Event = computing) -> bool:
                return _computing.is_set()

            await until(started)
            assert (await api.get("/healthz")).status_code == 200
            goes_on.set()
            assert (await answer).is_success


async def test_reading_tells_the_same_as_what_was_declared_elsewhere(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("elsewhere", LOG))
    assert (await api.get(f"{TASKS}/elsewhere")).json()["metadata"]["name"] == "elsewhere"

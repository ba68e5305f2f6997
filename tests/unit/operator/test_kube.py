"""The client of the API server: credentials, time limits, pages, and errors that say what to do."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import kopf
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ordinaut.probes import Readiness
from ordinaut.store.declared import Key
from ordinaut_operator.kube import NEED, Kube, Refused, Unavailable, login, path_of

KEY = Key("Task", "default", "briefing")

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """An HTTP server in place of the API server; `answer` is what a test wants it to say."""

    def __init__(self) -> None:
        self.answer: Answer = self.nothing
        self.requests: list[web.Request] = []
        self.bodies: list[Any] = []
        self.token = "first"

    async def nothing(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(json.loads(await request.text() or "null"))
        if request.headers["Authorization"] != f"Bearer {self.token}":
            return web.json_response({"message": "Unauthorized"}, status=401)
        return await self.answer(request)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", api.handle)
    async with TestServer(application) as server:
        api.url = str(server.make_url("/"))  # type: ignore[attr-defined]
        yield api


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


@pytest.fixture
async def kube(api: Api, readiness: Readiness) -> AsyncIterator[Kube]:
    def log_in() -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=api.url, token=api.token, default_namespace="ordinaut")  # type: ignore[attr-defined]

    async with Kube(log_in=log_in, readiness=readiness, timeout=5) as kube:
        yield kube


def saying(status: int, body: Any) -> Answer:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status)

    return answer


def test_paths_are_those_of_the_api() -> None:
    base = "/apis/ordinaut.io/v1alpha1"
    assert path_of("Task") == f"{base}/tasks"
    assert path_of("Pipeline", namespace="a") == f"{base}/namespaces/a/pipelines"
    assert path_of("Tool", namespace="a", name="b", part="status") == f"{base}/namespaces/a/tools/b/status"


async def test_a_token_that_has_changed_is_read_anew(api: Api, kube: Kube) -> None:
    await kube.call("GET", "/readyz")
    api.token = "second"
    assert await kube.call("GET", "/readyz") == {}
    assert [request.headers["Authorization"] for request in api.requests] == [
        "Bearer first",
        "Bearer first",
        "Bearer second",
    ]


async def test_credentials_that_are_no_good_are_tried_twice_and_not_for_ever(api: Api) -> None:
    def log_in() -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=api.url, token="wrong")  # type: ignore[attr-defined]

    async with Kube(log_in=log_in) as kube:
        with pytest.raises(Refused, match="401 Unauthorized"):
            await kube.call("GET", "/readyz")
    assert len(api.requests) == 2


async def test_an_api_server_that_hangs_is_unavailable_in_time(api: Api, kube: Kube, readiness: Readiness) -> None:
    released = asyncio.Event()

    async def hang(_request: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.json_response({})

    api.answer = hang
    with pytest.raises(Unavailable, match="TimeoutError"):
        await kube.call("GET", "/readyz", timeout=0.1)
    released.set()
    assert "the API server does not answer" in readiness.reasons[NEED]


async def test_refused_connections_make_the_process_unready_until_an_answer_comes(
    api: Api, kube: Kube, readiness: Readiness
) -> None:
    url, api.url = api.url, "http://127.0.0.1:1/"  # type: ignore[attr-defined]
    with pytest.raises(Unavailable):
        await kube.call("GET", "/readyz")
    assert not readiness.ready
    api.url = url  # type: ignore[attr-defined]
    async with Kube(log_in=lambda: kopf.ConnectionInfo(server=url, token="first"), readiness=readiness) as again:
        await again.call("GET", "/readyz")
    assert readiness.ready


async def test_what_is_no_api_server_is_unavailable(api: Api, kube: Kube, readiness: Readiness) -> None:
    async def portal(_request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>please log in</html>", content_type="text/html")

    api.answer = portal
    with pytest.raises(Unavailable, match="something else does: <html>please log in"):
        await kube.call("GET", "/readyz")
    assert not readiness.ready


async def test_missing_credentials_make_the_process_unready(readiness: Readiness) -> None:
    def log_in() -> kopf.ConnectionInfo:
        raise Unavailable("no API server: set KUBECONFIG")

    async with Kube(log_in=log_in, readiness=readiness) as kube:
        with pytest.raises(Unavailable):
            await kube.call("GET", "/readyz")
    assert readiness.reasons == {NEED: "no API server: set KUBECONFIG"}


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_an_overloaded_api_server_is_unavailable(status: int, api: Api, kube: Kube) -> None:
    api.answer = saying(status, {"message": "try later"})
    with pytest.raises(Unavailable, match=f"{status} try later"):
        await kube.call("GET", "/readyz")


async def test_a_refusal_says_what_the_api_server_said_and_leaves_the_process_ready(
    api: Api, kube: Kube, readiness: Readiness
) -> None:
    api.answer = saying(403, {"message": "tasks is forbidden"})
    with pytest.raises(Refused, match="403 tasks is forbidden") as refused:
        await kube.call("GET", "/readyz")
    assert refused.value.status == 403
    assert readiness.ready


async def test_an_object_is_looked_up_by_a_list_of_one(api: Api, kube: Kube) -> None:
    api.answer = saying(200, {"items": [{"metadata": {"name": "briefing"}}], "metadata": {}})
    assert await kube.get(KEY) == {"metadata": {"name": "briefing"}}
    assert api.requests[0].path == path_of("Task", namespace="default")
    assert dict(api.requests[0].query) == {"fieldSelector": "metadata.name=briefing"}

    api.answer = saying(200, {"items": None, "metadata": {}})
    assert await kube.get(KEY) is None


async def test_what_is_published_is_sent_again_only_when_it_has_changed(
    api: Api, kube: Kube, readiness: Readiness
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.headers.get("If-None-Match") == '"two"':
            return web.Response(status=304)
        return web.json_response({"openapi": "3.0.0"}, headers={"ETag": '"two"'})

    api.answer = answer
    readiness.missing(NEED, why="away")
    assert await kube.published("/openapi/v3", known='"one"') == ('"two"', {"openapi": "3.0.0"})
    readiness.missing(NEED, why="away")
    assert await kube.published("/openapi/v3", known='"two"') is None
    assert readiness.ready


async def test_metadata_is_read_page_by_page(api: Api, kube: Kube) -> None:
    pages = {
        None: {"items": [{"metadata": {"name": "a"}}], "metadata": {"continue": "more"}},
        "more": {"items": None, "metadata": {}},
    }

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(pages[request.query.get("continue")])

    api.answer = answer
    read = [list(page) async for page in kube.metadata("Task", namespace="default")]
    assert read == [[{"name": "a"}], []]
    assert "PartialObjectMetadataList" in api.requests[0].headers["Accept"]


async def test_a_list_that_breaks_off_raises(api: Api, kube: Kube) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if "continue" in request.query:
            return web.json_response({"message": "the provided continue parameter is too old"}, status=410)
        return web.json_response({"items": [], "metadata": {"continue": "more"}})

    api.answer = answer
    with pytest.raises(Refused, match="410"):
        [page async for page in kube.objects("Task")]


async def test_a_status_is_replaced_as_a_whole_and_only_in_the_incarnation_that_was_meant(api: Api, kube: Kube) -> None:
    await kube.replace_status(KEY, uid="u1", status={"phase": "Idle"}, timeout=1)
    (request,) = api.requests
    assert (request.method, request.path) == (
        "PATCH",
        "/apis/ordinaut.io/v1alpha1/namespaces/default/tasks/briefing/status",
    )
    assert request.headers["Content-Type"] == "application/json-patch+json"
    assert api.bodies == [
        [
            {"op": "test", "path": "/metadata/uid", "value": "u1"},
            {"op": "add", "path": "/status", "value": {"phase": "Idle"}},
        ]
    ]


async def test_the_namespace_is_that_of_the_credentials(kube: Kube) -> None:
    assert kube.namespace == "ordinaut"


def kubeconfig(user: dict[str, Any]) -> str:
    return json.dumps(
        {
            "clusters": [{"name": "c", "cluster": {"server": "https://example"}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "here"}}],
            "current-context": "x",
        }
    )


def test_login_takes_the_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config"
    path.write_text(kubeconfig({"token": "secret"}))
    monkeypatch.setenv("KUBECONFIG", str(path))
    info = login()
    assert (info.server, info.token, info.default_namespace) == ("https://example", "secret", "here")


@pytest.mark.parametrize("text", ["{", '{"current-context": "nowhere"}', None])
def test_a_kubeconfig_that_cannot_be_used_is_told(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(Unavailable, match="the kubeconfig can't be used"):
        login()


def test_without_any_credentials_login_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Unavailable, match="set KUBECONFIG"):
        login()

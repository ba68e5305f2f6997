"""The API for tests: the whole application over a fresh database, called without a socket or on a port."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx2
import uvicorn

from ordinaut import shapes
from ordinaut.probes import Readiness
from ordinaut_api.app import create_app
from ordinaut_api.identity.gatekeeper import Gatekeeper
from ordinaut_api.settings import ApiSettings
from ordinaut_api.streams import Unread

TASKS = "/v1/namespaces/default/tasks"
PIPELINES = "/v1/namespaces/default/pipelines"
TOOLS = "/v1/namespaces/default/tools"
HOOKS = "/v1/namespaces/default/hooks"
RUNS = "/v1/namespaces/default/runs"
EVENTS = "/v1/namespaces/default/events"
AUDIT = "/v1/namespaces/default/audit"
QUOTA = "/v1/namespaces/default/quota"

MERGE_PATCH = {"content-type": "application/merge-patch+json"}


@asynccontextmanager
async def serving(
    database: str,
    *,
    stopping: Callable[[], bool] = lambda: False,
    readiness: Readiness | None = None,
    gatekeeper: Gatekeeper | None = None,
    **settings: Any,
) -> AsyncIterator[httpx2.AsyncClient]:
    """Run the application, with another ``gatekeeper`` if one is given; yields a client of it."""
    app = create_app(ApiSettings(database_url=database, **settings), readiness=readiness, stopping=stopping)
    async with app.router.lifespan_context(app):
        if gatekeeper is not None:
            app.state.backend = replace(app.state.backend, gatekeeper=gatekeeper)
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            yield client


class _Server(uvicorn.Server):
    """A server that leaves signals to pytest."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def listening(
    database: str,
    *,
    stopping: Callable[[], bool] = lambda: False,
    gatekeeper: Gatekeeper | None = None,
    **settings: Any,
) -> AsyncIterator[httpx2.AsyncClient]:
    """Run the application on a port, where answers come piece by piece; as :func:`serving` else."""
    app = create_app(ApiSettings(database_url=database, **settings), stopping=stopping)
    config = uvicorn.Config(app, http=Unread, host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=5)
    server = _Server(config)
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(60):
            while not server.started:
                await asyncio.sleep(0.01)
        if gatekeeper is not None:
            app.state.backend = replace(app.state.backend, gatekeeper=gatekeeper)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        await serving


def problem(answer: httpx2.Response, status: int, slug: str) -> dict[str, Any]:
    """Check that an answer is a problem of a kind, and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    shapes.ProblemShape.model_validate(found)
    assert found["type"] == f"urn:ordinaut:problem:{slug}"
    assert found["status"] == status
    assert found["requestId"] == answer.headers["x-request-id"]
    assert answer.request.url.path == found["instance"] or "%" in str(answer.request.url)
    return found

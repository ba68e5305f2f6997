"""The API for tests: the whole application over a fresh database, called without a socket."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx

from ordinaut_api.app import create_app
from ordinaut_api.settings import ApiSettings

TASKS = "/v1/namespaces/default/tasks"
PIPELINES = "/v1/namespaces/default/pipelines"
TOOLS = "/v1/namespaces/default/tools"
RUNS = "/v1/namespaces/default/runs"


@asynccontextmanager
async def serving(database: str, *, stopping: Callable[[], bool] = lambda: False) -> AsyncIterator[httpx.AsyncClient]:
    """Run the application; yields a client of it."""
    app = create_app(ApiSettings(database_url=database), stopping=stopping)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            yield client

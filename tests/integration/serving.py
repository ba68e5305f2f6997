"""The API for tests: the whole application over a fresh database, called without a socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from ordinaut_api.app import create_app
from ordinaut_api.settings import ApiSettings

TASKS = "/v1/namespaces/default/tasks"
PIPELINES = "/v1/namespaces/default/pipelines"
TOOLS = "/v1/namespaces/default/tools"
RUNS = "/v1/namespaces/default/runs"


@asynccontextmanager
async def serving(database: str) -> AsyncIterator[httpx.AsyncClient]:
    """Run the application; yields a client of it."""
    app = create_app(ApiSettings(database_url=database))
    async with app.router.lifespan_context(app):
        # As a server would: an error that nobody foresaw must become an answer, not an exception of the test.
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
            yield client

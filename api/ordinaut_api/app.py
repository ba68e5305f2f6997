"""
The application: routes, the gate in front of them, and what they share.

``__main__`` serves it, tests call it. It opens its parts when the server starts it and closes them when the server
stops.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

import ordinaut
from ordinaut import shapes
from ordinaut.probes import Readiness
from ordinaut.store import ready
from ordinaut.store.pool import open_pool
from ordinaut_api import backend, problems
from ordinaut_api.gate import Gate
from ordinaut_api.identity.gatekeeper import Open
from ordinaut_api.routes import health, pipelines, runs, tasks, tools
from ordinaut_api.settings import ApiSettings

_ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "What went wrong",
        "content": {problems.MEDIA_TYPE: {"schema": shapes.ProblemShape.model_json_schema()}},
    }
}


def create_app(
    settings: ApiSettings, *, readiness: Readiness | None = None, stopping: Callable[[], bool] = lambda: False
) -> FastAPI:
    """Return the application; ``stopping`` tells requests that wait for something to come to an end."""
    state = readiness or Readiness(**{ready.NEED: "not connected yet"})

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        url = settings.database_url.get_secret_value()
        async with open_pool(url, application="api", size=settings.api_pool_size) as pool:
            app.state.backend = backend.Backend(pool=pool, readiness=state, gatekeeper=Open(), stopping=stopping)
            async with backend.watched(app.state.backend):
                yield

    app = FastAPI(
        title="Ordinaut",
        summary="Time, state and discipline for AI agents.",
        version=ordinaut.__version__,
        lifespan=lifespan,
        docs_url=None,  # its page loads scripts from another site
        redoc_url=None,
        redirect_slashes=False,
        responses=_ERRORS,
        exception_handlers={HTTPException: _explain, RequestValidationError: _pass_on},
    )
    app.add_middleware(Gate)
    for part in (health, tasks, pipelines, tools, runs):
        app.include_router(part.router)
    return app


async def _pass_on(_request: Request, error: Exception) -> Response:
    """Leave the error to the gate, the one place where errors become problems."""
    raise error


async def _explain(request: Request, error: Exception) -> Response:
    """Say more than FastAPI does about a path or a method that does not exist."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    if error.status_code == 404:  # noqa: PLR2004
        raise HTTPException(404, "There is nothing at this path; /openapi.json lists what there is.") from error
    if error.status_code == 405:  # noqa: PLR2004
        allowed = ", ".join(_methods(request))
        raise HTTPException(405, f"This path takes {allowed}.", {"Allow": allowed}) from error
    raise error


def _methods(request: Request) -> list[str]:
    """Return the methods that the path of a request takes."""
    return [
        method
        for method in ("DELETE", "GET", "PATCH", "POST", "PUT")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    ]

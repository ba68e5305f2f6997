"""
The application: routes, the gate in front of them, and what they share.

``__main__`` serves it, tests call it. It opens its parts when the server starts it and closes them when the server
stops.
"""

import contextlib
from collections.abc import AsyncIterator, Callable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Match

from ordinaut import shapes
from ordinaut.access.caller import Authority
from ordinaut.probes import Readiness
from ordinaut.store import ready
from ordinaut.store.pool import open_pool
from ordinaut_api import backend
from ordinaut_api.gate import CORS, Gate
from ordinaut_api.identity import assembly, guard
from ordinaut_api.identity.admission import Admission
from ordinaut_api.openapi.document import document
from ordinaut_api.routes import (
    audit,
    backfills,
    event_reading,
    events,
    health,
    hooks,
    pipelines,
    quota,
    runs,
    tasks,
    tools,
    verification,
    whoami,
    workers,
)
from ordinaut_api.settings import ApiSettings
from ordinaut_api.tailing.tailer import Tailer
from ordinaut_api.webhooks import opening


def create_app(
    settings: ApiSettings, *, readiness: Readiness | None = None, stopping: Callable[[], bool] = lambda: False
) -> FastAPI:
    """Return the application; ``stopping`` tells requests that wait for something to come to an end."""
    state = readiness or Readiness(**{ready.NEED: "not connected yet"})
    local = Authority.LOCAL in settings.authentication
    sources = assembly.Sources(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        url = settings.database_url.get_secret_value()
        async with (
            open_pool(url, application="api", size=settings.api_pool_size, by_key=True, planned_once=True) as pool,
            assembly.gatekeeper(settings, sources, readiness=state) as gatekeeper,
            opening.doors(settings, sources.credentials) as doors,
        ):
            app.state.backend = backend.Backend(
                pool=pool,
                readiness=state,
                gatekeeper=gatekeeper,
                tailer=Tailer(pool, url=url, stopping=stopping),
                admission=Admission(0 if local else settings.rate_limit),
                doors=doors,
                stopping=stopping,
                limits=shapes.Counts(
                    tasks=settings.api_max_tasks,
                    pipelines=settings.api_max_pipelines,
                    tools=settings.api_max_tools,
                    hooks=settings.api_max_hooks,
                ),
                max_streams=settings.api_max_streams,
            )
            async with backend.watched(app.state.backend):
                yield

    app = FastAPI(
        lifespan=lifespan,
        openapi_url=None,  # health serves it: making it takes a while
        docs_url=None,  # its page loads scripts from another site
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # it would ask at each request; we have our own
        exception_handlers={HTTPException: _explain, RequestValidationError: _pass_on},
    )
    app.add_middleware(Gate, local=local)
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=list(settings.cors_origins), **CORS)
    # Flat, not as nested routers: finding a route would take as long as checking who calls. Those that agents ask most
    # come first, since routes are tried one after the other.
    for part in (
        tasks,
        runs,
        event_reading,
        events,
        pipelines,
        tools,
        hooks,
        backfills,
        verification,
        workers,
        quota,
        audit,
        whoami,
        health,
    ):
        app.router.routes.extend(part.router.routes)
    guard.check(app.routes)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]  # as FastAPI's own guide does it
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

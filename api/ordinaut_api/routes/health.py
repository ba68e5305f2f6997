"""What anybody may ask: whether the process is alive, and what the API is like. Readiness is on the probe port."""

import threading
from typing import Final

import orjson
from fastapi import APIRouter, Request, Response

from ordinaut.computing import compute

router = APIRouter(tags=["health"])

_making: Final = threading.Lock()
"""FastAPI can't describe routes in two threads at a time."""


@router.get("/healthz", operation_id="getHealth", summary="Tell that the process is alive")
async def healthz() -> dict[str, str]:
    """Whether it can do its job is told on the probe port."""
    return {"status": "alive"}


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> Response:
    """Return the description of the API."""
    return Response(await compute(_description, request), media_type="application/json")


def _description(request: Request) -> bytes:
    with _making:
        kept: bytes | None = getattr(request.app.state, "openapi", None)
        if kept is None:
            kept = request.app.state.openapi = orjson.dumps(request.app.openapi())
        return kept

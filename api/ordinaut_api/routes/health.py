"""Health, readiness and metrics, as on the probe port of every process."""

import orjson
from fastapi import APIRouter, Response

from ordinaut.probes import metrics_body, readiness_body
from ordinaut_api.backend import UseBackend

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Tell that the process is alive."""
    return {"status": "alive"}


@router.get("/readyz")
async def readyz(backend: UseBackend) -> Response:
    """Tell whether the process can do its job, and why not."""
    status, body = readiness_body(backend.readiness)
    return Response(orjson.dumps(body), status, media_type="application/json")


@router.get("/metrics")
async def metrics() -> Response:
    """Return the metrics of this process for Prometheus."""
    body, content_type = metrics_body()
    return Response(body, media_type=content_type)

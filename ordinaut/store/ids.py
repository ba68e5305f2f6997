"""
Keys of runs: UUIDv7 (RFC 9562) made in the client, since PostgreSQL has none before 18.

The time inside is the database's, read by the caller in the same transaction: history is partitioned by it, and the
database's clock is the only one that counts. Runs are listed by their keys, so keys of one moment must keep the order
in which they were made, as the ten runs that one transaction makes up for: microseconds and a counter follow the
milliseconds (RFC 9562, 6.2), the rest is random.
"""

import secrets
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_made = count()


def new_run_id(at: datetime) -> UUID:
    """Return a new key of the moment ``at`` (aware), behind all that this process has made for it."""
    milliseconds, microseconds = divmod((at - _EPOCH) // timedelta(microseconds=1), 1000)
    precision = microseconds * 4096 // 1000
    sequence = next(_made) % (1 << 14)
    return UUID(int=milliseconds << 80 | 7 << 76 | precision << 64 | 0b10 << 62 | sequence << 48 | secrets.randbits(48))

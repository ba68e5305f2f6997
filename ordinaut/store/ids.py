"""
Keys of runs: UUIDv7 (RFC 9562) made in the client, since PostgreSQL has none before 18.

The time inside is the database's, read by the caller in the same transaction: history is partitioned by it, and the
database's clock is the only one that counts.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import uuid_utils

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_run_id(at: datetime) -> UUID:
    """Return a new key whose time is ``at`` (aware), to the millisecond."""
    microseconds = (at - _EPOCH) // timedelta(microseconds=1)
    return UUID(int=uuid_utils.uuid7(nanoseconds=microseconds * 1000).int)

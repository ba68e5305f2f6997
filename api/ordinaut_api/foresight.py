"""
When a task runs next, without asking the schedules twice.

Looking far ahead takes some milliseconds of CPU. A task's next times are the same until one of them has fired, so they
are kept by what they follow from: the schedules, where they are anchored, and the stored next time.
"""

from datetime import datetime
from typing import Final

import orjson
from cachetools import LRUCache

from ordinaut.computing import compute
from ordinaut.declaration import standing
from ordinaut.store.status import TaskRow

_Known = tuple[bytes, datetime, datetime, int, datetime | None]

_known: Final[LRUCache[_Known, list[datetime]]] = LRUCache(maxsize=4096)


async def next_times(row: TaskRow, *, count: int, after: datetime | None = None) -> list[datetime]:
    """Return the stored next time, which may be due this moment, and those after it; only those ``after`` a time."""
    if row.next_fire_at is None:
        return []
    key = (orjson.dumps(row.spec.get("schedules")), row.anchor, row.next_fire_at, count, after)
    if (found := _known.get(key)) is None:
        found = _known[key] = await compute(standing.upcoming, row, limit=count, after=after)
    return found

"""
Where a claimable run stands in its queue, and how many others come before it.

``store.why`` asks. The queue has no index that names runs, as each would be paid for at every enqueue and lease: a run
is looked for in its flow. Workers serve the flows of a queue in turns, so what is counted is a bound; and nothing is
counted to its end, so that asking costs the same with a million runs waiting.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL

MOST: Final = 10_000
"""Runs of a queue that are counted."""

FLOWS: Final = 1000
"""Flows of a queue (runs of one priority and namespace) that are looked at."""

LEVEL: Final = timedelta(minutes=1)
"""How long the oldest run of a flow waits for each level of priority by which workers lift the flow."""


@dataclass(frozen=True, slots=True)
class _Place:
    id: int
    queue: int
    queue_name: str | None
    lane: int
    due_at: datetime
    attempt: int


@dataclass(frozen=True, slots=True)
class Queued:
    """
    That a run is claimable.

    ``own`` counts those before it in its flow, ``sooner`` those of other flows that come first, ``seldom`` those of
    less urgent flows of other namespaces, of which a few come first; with ``more`` there are more than was counted, and
    ``due_at`` is None where the run lies so deep that it was not looked for to the end. ``is_ward``: its workers
    were lost so often that it is kept apart.
    """

    queue: str
    due_at: datetime | None
    own: int
    sooner: int = 0
    seldom: int = 0
    is_ward: bool = False
    more: bool = False
    delivery: int = 1


async def of_run(
    connection: Connection, run_id: UUID, *, namespace: str, priority: int, created_at: datetime, queue: str
) -> Queued | None:
    """Return where a run stands in a queue, None if it is in none; ``queue`` is the name of its task's."""
    urgency = 9 - priority
    cursor = connection.cursor(row_factory=class_row(_Place))
    where = {"namespace": namespace, "urgency": urgency, "created_at": created_at, "most": MOST}
    await cursor.execute(SQL["place_in_queue"], where | {"run_id": run_id})
    place = await cursor.fetchone()
    if place is None:
        is_deep = await (await connection.execute(SQL["place_is_deep"], where)).fetchone()
        return Queued(queue, None, MOST, more=True) if is_deep and is_deep[0] else None
    flow = {"queue": place.queue, "urgency": urgency, "lane": place.lane}
    before = {"due_at": place.due_at, "id": place.id, "most": MOST + 1}
    found = await (await connection.execute(SQL["ahead_in_flow"], flow | before)).fetchone()
    own = 0 if found is None else int(found[0])
    sooner, seldom, more = (0, 0, True) if own > MOST else await _others(connection, flow | {"own": own})
    return Queued(
        place.queue_name or queue,
        place.due_at,
        own,
        sooner=sooner,
        seldom=seldom,
        is_ward=place.queue < 0,
        more=more,
        delivery=place.attempt,
    )


async def _others(connection: Connection, flow: dict[str, int]) -> tuple[int, int, bool]:
    """Return how many runs of other flows come sooner, how many now and then, and whether there are more flows."""
    limits = {"most": MOST + 1, "flows": FLOWS, "level": LEVEL.total_seconds()}
    row = await (await connection.execute(SQL["ahead_in_queue"], flow | limits)).fetchone()
    assert row is not None  # noqa: S101 - the statement always returns a row
    return int(row[0]), int(row[1]), bool(row[2])

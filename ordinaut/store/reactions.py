"""
What comes of events that match triggers: the ledger of events, and events that are gathered until their time comes.

The operator's :mod:`ordinaut_operator.events` decides and calls these functions, all of them part of its transaction.
Whoever works on the gatherings of a task, or makes runs of one that allows only one at a time, has locked its clock
before (:func:`hold`). The runs themselves are made by :mod:`ordinaut.store.runs`.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg.rows import args_row

from ordinaut.states import EventOutcome, EventSkipReason
from ordinaut.store.clock import NOT_OF_TIME
from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL

READ_AT_ONCE: Final = 1000
"""Gathered events of a trigger that are read at once, which is the largest batch that there may be,"""
READ_BYTES: Final = 4 * 1024 * 1024
"""and how many bytes of them; the rest follows in another transaction."""

Pair = tuple[int, UUID]
"""A task and the key of an event."""

Line = tuple[int, int]
"""A task and the number of its trigger."""


class EventTask(NamedTuple):
    """
    A task that an event has matched, with what decides what comes of it.

    ``spec`` is JSON without what does not matter here, ``{}`` where the task can't run: ``revision`` is None then, and
    ``reason`` and ``message`` say why. ``exclusive``: it allows only one run at a time. ``creator`` is the identity
    whose rights its runs need, None where they need none, and ``unauthorized_at`` is since when it is known to lack
    them. ``keys`` are its concurrency keys as stored, None where it has none. ``gathers``: events wait for a run of it.
    """

    task_id: int
    namespace: str
    name: str
    spec: str
    params: Mapping[str, Any]
    revision: bytes | None
    exclusive: bool
    now: datetime
    snoozed_until: datetime | None = None
    paused: bool = False
    suspended: bool = False
    reason: str = ""
    message: str = ""
    unauthorized_at: datetime | None = None
    creator_id: int | None = None
    creator: dict[str, Any] | None = None
    queue: int = 0
    keys: Sequence[Mapping[str, Any]] | None = None
    gathers: bool = False


class EventFire(NamedTuple):
    """A line of the ledger of events: what became of an event that matched a trigger of a task."""

    task_id: int
    key: UUID
    position: int
    place: int
    event_id: str
    event_type: str
    trigger: int
    outcome: EventOutcome
    reason: EventSkipReason | None = None
    message: str | None = None
    run_id: UUID | None = None

    @property
    def pair(self) -> Pair:
        """What the ledger has one line for."""
        return self.task_id, self.key


class Gathering(NamedTuple):
    """What a trigger of a task has gathered; ``due_at`` is when it comes to something at the latest."""

    task_id: int
    trigger: int
    opened_at: datetime
    due_at: datetime
    events: int
    bytes: int

    @property
    def line(self) -> Line:
        """Whose it is."""
        return self.task_id, self.trigger


class GatheredEvent(NamedTuple):
    """
    An event that is gathered; ``hops`` are those of the run that it would make.

    ``event`` is a CloudEvent when it is read, and JSON when it is written.
    """

    task_id: int
    trigger: int
    position: int
    place: int
    key: UUID
    accepted_at: datetime
    hops: int
    bytes: int
    event: Any


async def tasks(connection: Connection, task_ids: Collection[int]) -> dict[int, EventTask]:
    """Return those of the tasks that live."""
    cursor = connection.cursor(row_factory=args_row(EventTask), binary=True)
    await cursor.execute(SQL["tasks_of_events"], {"task_ids": list(task_ids), "unread": NOT_OF_TIME})
    return {task.task_id: task for task in await cursor.fetchall()}


async def hold(
    connection: Connection, found: Mapping[int, EventTask], *, clocks: Collection[int]
) -> dict[int, EventTask]:
    """
    Lock what decides about tasks until the transaction ends, and return those that still live, as they are now.

    ``clocks`` are the tasks whose clocks are locked. A snooze can't be ended meanwhile: who ends one lets the runs
    start that wait for its end, and would miss those that are being made.
    """
    held = dict(found)
    if snoozed := [task.task_id for task in found.values() if task.snoozed_until and task.snoozed_until > task.now]:
        cursor = await connection.execute(SQL["hold_snoozed_tasks"], {"task_ids": snoozed})
        for task_id, until in await cursor.fetchall():
            held[task_id] = held[task_id]._replace(snoozed_until=until)
    if clocks:
        cursor = await connection.execute(SQL["hold_clocks"], {"task_ids": list(clocks)})
        locked = {row[0] for row in await cursor.fetchall()}
        for task_id in set(clocks) - locked:
            held.pop(task_id, None)
    return held


async def known(connection: Connection, pairs: Sequence[Pair]) -> set[Pair]:
    """Return those of the pairs that the ledger has already."""
    params = {"task_ids": [task_id for task_id, _ in pairs], "keys": [key for _, key in pairs]}
    cursor = await connection.execute(SQL["known_event_fires"], params)
    return {(row[0], row[1]) for row in await cursor.fetchall()}


async def record(connection: Connection, fires: Sequence[EventFire]) -> set[Pair]:
    """Write new lines of the ledger and return the pairs that it had already."""
    if not fires:
        return set()
    cursor = await connection.execute(
        SQL["insert_event_fires"],
        {
            "task_ids": [fire.task_id for fire in fires],
            "keys": [fire.key for fire in fires],
            "positions": [fire.position for fire in fires],
            "places": [fire.place for fire in fires],
            "ids": [fire.event_id for fire in fires],
            "types": [fire.event_type for fire in fires],
            "triggers": [fire.trigger for fire in fires],
            **_outcomes(fires),
        },
    )
    return {(row[0], row[1]) for row in await cursor.fetchall()}


async def settle(connection: Connection, fires: Sequence[EventFire]) -> None:
    """Write down what became of events that were gathered."""
    if fires:
        pairs = {"task_ids": [fire.task_id for fire in fires], "keys": [fire.key for fire in fires]}
        await connection.execute(SQL["settle_event_fires"], pairs | _outcomes(fires))


def _outcomes(fires: Sequence[EventFire]) -> dict[str, list[Any]]:
    return {
        "outcomes": [str(fire.outcome) for fire in fires],
        "reasons": [fire.reason and str(fire.reason) for fire in fires],
        "messages": [fire.message for fire in fires],
        "run_ids": [fire.run_id for fire in fires],
    }


async def hops(connection: Connection, runs: Collection[tuple[UUID, str]]) -> dict[UUID, int]:
    """Return the hops of runs, each given with its namespace; of what that one does not have, nothing."""
    if not runs:
        return {}
    params = {"run_ids": [run_id for run_id, _ in runs], "namespaces": [namespace for _, namespace in runs]}
    cursor = await connection.execute(SQL["hops_of_runs"], params)
    return {row[0]: row[1] for row in await cursor.fetchall()}


async def schemas(connection: Connection, digests: Collection[bytes]) -> dict[bytes, Mapping[str, Any]]:
    """Return the schemas of the params of runs, by what they pin; empty where everything goes."""
    if not digests:
        return {}
    cursor = await connection.execute(SQL["params_schemas"], {"digests": list(digests)})
    return {row[0]: row[1] or {} for row in await cursor.fetchall()}


async def mark_unauthorized(connection: Connection, since: Mapping[int, datetime | None]) -> None:
    """Remember since when the creators of tasks may not run them; None: they may."""
    if since:
        await connection.execute(SQL["mark_unauthorized"], {"task_ids": list(since), "since": list(since.values())})


async def gatherings(connection: Connection, task_ids: Collection[int]) -> dict[Line, Gathering]:
    """Return what triggers of tasks have gathered, but for the events themselves."""
    if not task_ids:
        return {}
    cursor = connection.cursor(row_factory=args_row(Gathering))
    await cursor.execute(SQL["gatherings_of"], {"task_ids": list(task_ids)})
    return {one.line: one for one in await cursor.fetchall()}


async def gathered(connection: Connection, lines: Sequence[Line]) -> dict[Line, list[GatheredEvent]]:
    """Return what triggers have gathered, in the order of the log: of each the first events, as are read at once."""
    if not lines:
        return {}
    params = {"task_ids": [task_id for task_id, _ in lines], "triggers": [number for _, number in lines]}
    cursor = connection.cursor(row_factory=args_row(GatheredEvent))
    await cursor.execute(SQL["gathered_events"], {**params, "limit": READ_AT_ONCE, "bytes": READ_BYTES})
    found: dict[Line, list[GatheredEvent]] = {}
    async for one in cursor:
        found.setdefault((one.task_id, one.trigger), []).append(one)
    return found


async def gather(connection: Connection, new: Sequence[GatheredEvent]) -> None:
    """Keep events until their time comes."""
    if not new:
        return
    texts: dict[bytes, int] = {}
    await connection.execute(
        SQL["gather_events"],
        {
            **_places(new),
            "keys": [one.key for one in new],
            "accepted": [one.accepted_at for one in new],
            "hops": [one.hops for one in new],
            "bytes": [one.bytes for one in new],
            # Thousands of tasks may gather one event: each is sent once.
            "event_places": [texts.setdefault(one.event, len(texts) + 1) for one in new],
            "events": [text.decode() for text in texts],
        },
    )


async def release(connection: Connection, taken: Sequence[GatheredEvent]) -> None:
    """Gather events no longer."""
    if taken:
        await connection.execute(SQL["release_events"], _places(taken))


def _places(events: Sequence[GatheredEvent]) -> dict[str, list[int]]:
    return {
        "task_ids": [one.task_id for one in events],
        "triggers": [one.trigger for one in events],
        "positions": [one.position for one in events],
        "places": [one.place for one in events],
    }


async def put(connection: Connection, changed: Sequence[Gathering]) -> None:
    """Write down how gatherings stand now; those of which nothing is left are over."""
    if going_on := [one for one in changed if one.events]:
        await connection.execute(
            SQL["put_gatherings"],
            {
                "task_ids": [one.task_id for one in going_on],
                "triggers": [one.trigger for one in going_on],
                "opened": [one.opened_at for one in going_on],
                "due": [one.due_at for one in going_on],
                "events": [one.events for one in going_on],
                "bytes": [one.bytes for one in going_on],
            },
        )
    if over := [one for one in changed if not one.events]:
        await connection.execute(
            SQL["drop_gatherings"],
            {"task_ids": [one.task_id for one in over], "triggers": [one.trigger for one in over]},
        )


async def due(connection: Connection, *, limit: int, without: Collection[tuple[int, str]] = ()) -> list[int]:
    """Return tasks with gatherings whose time has come; ``without`` are creators whose tasks must wait."""
    who = {"creators": [one for one, _ in without], "namespaces": [namespace for _, namespace in without]}
    cursor = await connection.execute(SQL["due_gatherings"], {"limit": limit, **who})
    return [row[0] for row in await cursor.fetchall()]


async def triggers(connection: Connection, task_ids: Collection[int]) -> dict[int, list[dict[str, Any]]]:
    """Return the triggers of tasks, as ``ordinaut.triggers`` stores them."""
    cursor = await connection.execute(SQL["triggers_of_tasks"], {"task_ids": list(task_ids)})
    return {row[0]: row[1] for row in await cursor.fetchall()}


async def drop_orphans(connection: Connection, *, limit: int, message: str) -> int:
    """Give up what was gathered for tasks that are gone by now; returns how many events."""
    return (await connection.execute(SQL["drop_orphaned_gatherings"], {"limit": limit, "message": message})).rowcount


async def next_due(connection: Connection) -> float | None:
    """Return in how many seconds the next gathering is due, None while there is none to come."""
    row = await (await connection.execute(SQL["next_gathering"])).fetchone()
    return None if row is None else row[0]

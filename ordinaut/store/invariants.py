"""
What must never be in the database, looked for in one snapshot each.

The operator's checker calls these functions once a minute, with bounds for what they look at. That a step's result is
committed twice needs no look: the key of ``step`` forbids it, as that of ``fire`` forbids two lines for one time.
Whether the ledger has all lines that it must have can't be told by SQL: ``ordinaut.declaration.law`` computes the times
anew.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL

AT_ONCE = 100
"""Findings of one invariant that are returned at once; who has more of them need not count."""


class Invariant(StrEnum):
    """What holds always; a violation is named after the invariant that it breaks."""

    LOST_RUN = "lost_run"
    """A run that has not ended is in the queue, waits, or is under a lease."""
    ENDED_RUN_KEPT = "ended_run_kept"
    """A run that has ended leaves queue, delay, lease, whatever waits for a turn or a key, and its slots."""
    DOUBLED_RUN = "doubled_run"
    """A run is in one place at a time, so that one worker carries it out."""
    FIRE_WITHOUT_RUN = "fire_without_run"
    """A nominal time that fired has its run."""
    EVENT_WITHOUT_RUN = "event_without_run"
    """An event that fired has its run."""
    LOST_EVENT = "lost_event"
    """An event of which the ledger says that it is gathered waits in its trigger's gathering."""
    RUN_WITHOUT_EVENT = "run_without_event"
    """A run that an event made stands in the ledger of events, so that the event makes no other one of the task."""
    OVERLAPPING_RUNS = "overlapping_runs"
    """A task with ``concurrencyPolicy`` Forbid or Queue has one running run at most."""
    STALLED_TURN = "stalled_turn"
    """Where runs wait for their turn, an unfinished run has it."""
    STALLED_KEY = "stalled_key"
    """Where a run waits for concurrency keys, one of them has no room."""
    EXCEEDED_KEY = "exceeded_key"
    """A concurrency key is given to a run only while fewer runs than its task's limit hold it."""
    UNACCOUNTED_TIME = "unaccounted_time"
    """Each nominal time up to the last that was decided has its line in the ledger."""
    INVENTED_TIME = "invented_time"
    """Each line of the ledger is a nominal time, or was made by a backfill."""
    WRONG_NEXT_TIME = "wrong_next_time"
    """The clock of a task is set to its first nominal time that is not decided yet."""


class Look(NamedTuple):
    """Runs, or keys of events, with something wrong, and how far a look that goes on has come; None at its end."""

    runs: list[UUID]
    reached: UUID | int | None = None


async def lost_runs(connection: Connection, *, newest: int, after: UUID, swept: int, suspects: list[UUID]) -> Look:
    """Look at the newest runs, at ``swept`` more behind ``after``, and at those found last time."""
    bounds = {"newest": newest, "after": after, "swept": swept, "suspects": suspects, "limit": AT_ONCE}
    return await _look(connection, "lost_runs", bounds)


async def fires_without_run(connection: Connection, *, after: int, tasks: int, times: int) -> Look:
    """Look at the latest ``times`` of ``tasks`` tasks behind ``after``."""
    bounds = {"after": after, "tasks": tasks, "times": times, "limit": AT_ONCE}
    return await _look(connection, "fires_without_run", bounds)


async def events_without_run(connection: Connection, *, after: int, tasks: int, lines: int) -> Look:
    """Look at the latest ``lines`` events of ``tasks`` tasks behind ``after``."""
    bounds = {"after": after, "tasks": tasks, "lines": lines, "limit": AT_ONCE}
    return await _look(connection, "events_without_run", bounds)


async def events_not_gathered(connection: Connection, *, after: int, tasks: int, lines: int) -> Look:
    """Look at the latest ``lines`` events of ``tasks`` tasks behind ``after``; what is found are keys of events."""
    bounds = {"after": after, "tasks": tasks, "lines": lines, "limit": AT_ONCE}
    return await _look(connection, "events_not_gathered", bounds)


async def runs_without_event(connection: Connection, *, newest: int, read: int) -> Look:
    """Look at the newest runs, and of those that events made read so many events."""
    return await _list(connection, "runs_without_event", {"newest": newest, "read": read, "limit": AT_ONCE})


async def ended_runs_kept(connection: Connection, *, looked_at: int) -> Look:
    """Look at the next in the queue, in the delay, among those that wait for their turn, and under leases."""
    return await _list(connection, "ended_runs_kept", {"looked_at": looked_at, "limit": AT_ONCE})


async def doubled_runs(connection: Connection) -> Look:
    """Look at all runs under leases, and for them through the whole queue, once."""
    return await _list(connection, "doubled_runs", {"limit": AT_ONCE})


async def overlapping_runs(connection: Connection) -> Look:
    """Look at all runs under leases."""
    return await _list(connection, "overlapping_runs", {"limit": AT_ONCE})


async def stalled_turns(connection: Connection) -> Look:
    """Look at all tasks with runs that wait for their turn."""
    return await _list(connection, "runs_without_turn", {"limit": AT_ONCE})


async def stalled_keys(connection: Connection, *, looked_at: int) -> Look:
    """Look at so many contests for concurrency keys."""
    return await _list(connection, "runs_without_room", {"looked_at": looked_at, "limit": AT_ONCE})


async def exceeded_keys(connection: Connection) -> Look:
    """Look at all slots of concurrency keys that are held."""
    return await _list(connection, "slots_beyond_limit", {"limit": AT_ONCE})


async def _look(connection: Connection, statement: str, params: Mapping[str, object]) -> Look:
    row = await (await connection.execute(SQL[statement], params)).fetchone()
    assert row is not None  # noqa: S101 - the statement always returns a row
    return Look(*row)


async def _list(connection: Connection, statement: str, params: Mapping[str, object]) -> Look:
    cursor = await connection.execute(SQL[statement], params)
    return Look([row[0] for row in await cursor.fetchall()])

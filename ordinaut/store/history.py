"""
The partitions of runs, steps and events: what is there, and what :mod:`ordinaut.store.partitions` decided, carried out.

Dropping a partition costs the same whatever it holds; deleting its rows would cost as much as writing them did. Every
change needs a lock that nobody else can hold at the same time. It is waited for only a tenth of a second, since
everybody else queues behind it, and not at all while a long transaction has the table; then the caller comes again.
"""

from contextlib import suppress
from datetime import date, timedelta
from typing import Final

import psycopg
from psycopg.rows import args_row

from ordinaut.store.partitions import MOVED_AT_ONCE, Action, Convert, Drop, Free, Make, Partition, Strays, plan
from ordinaut.store.pool import Connection, unhurried
from ordinaut.store.queries import SQL

EVENTS: Final = "event_log"

BRIEF: Final = timedelta(milliseconds=100)


def kept(*, history_days: int, event_days: int) -> dict[str, int]:
    """Return the days that each table keeps; steps go after their runs, so that no run is left without its results."""
    return {"run": history_days, "step": history_days, EVENTS: event_days}


async def planned(connection: Connection, *, history_days: int, event_days: int) -> list[Action]:
    """Return what is to be done about the partitions, the most urgent first."""
    return plan(
        await partitions(connection),
        await strays(connection),
        today=await _today(connection),
        days=kept(history_days=history_days, event_days=event_days),
    )


async def make_ahead(connection: Connection) -> None:
    """Make the partitions of the coming days, as far as nobody is in the way."""
    for action in plan(
        await partitions(connection),
        await strays(connection),
        today=await _today(connection),
        days=kept(history_days=1, event_days=1),
        dropping=False,
    ):
        with suppress(psycopg.errors.LockNotAvailable):
            await carry_out(connection, action)


async def partitions(connection: Connection) -> list[Partition]:
    """Return all partitions but those of last resort."""
    cursor = connection.cursor(row_factory=args_row(Partition))
    await cursor.execute(SQL["list_partitions"])
    return await cursor.fetchall()


async def strays(connection: Connection) -> list[Strays]:
    """Return what is in the partitions of last resort, of each table."""
    cursor = connection.cursor(row_factory=args_row(Strays))
    await cursor.execute(SQL["strays"], {"limit": MOVED_AT_ONCE + 1})
    return await cursor.fetchall()


async def carry_out(connection: Connection, action: Action, *, patience: timedelta = BRIEF) -> bool:
    """
    Do what was planned, in transactions of its own, and tell whether there was anything to do.

    ``patience`` is how long a lock is waited for, and so how long others may have to wait.

    Raises:
        psycopg.errors.LockNotAvailable: somebody holds a table; come again.
        psycopg.errors.CheckViolation: something was written meanwhile that changes the plan; make another one.
    """
    await connection.execute(SQL["be_patient"], {"patience": f"{patience.total_seconds() * 1000:.0f}ms"})
    match action:
        case Make(parent, day):
            return await _answer(connection, "make_partition", {"parent": parent, "day": day})
        case Drop(parent, name):
            return await _answer(connection, "drop_partition", {"parent": parent, "name": name})
        case Free(parent):
            await connection.execute(SQL["free_rest"], {"parent": parent})
        case Convert():
            await _convert(connection, action)
    return True


async def _convert(connection: Connection, action: Convert) -> None:
    span = {"parent": action.parent, "since": action.since, "until": action.until}
    await connection.execute(SQL["bound_rest"], span)
    try:
        with unhurried(connection):
            async with connection.transaction():
                await connection.execute(SQL["take_time"])
                await connection.execute(SQL["check_rest"], {"parent": action.parent})
        await connection.execute(SQL["swap_rest"], span)
    except psycopg.Error:
        # Bounds that are left behind refuse what is written beyond them, if nobody comes for a day.
        with suppress(psycopg.Error):
            await connection.execute(SQL["free_rest"], {"parent": action.parent})
        raise


async def hold(connection: Connection) -> None:
    """Keep runs of old days from being dropped, as part of a transaction that brings one back to life."""
    await connection.execute(SQL["hold_partitions"])


async def _today(connection: Connection) -> date:
    row = await (await connection.execute(SQL["today"])).fetchone()
    assert row is not None  # noqa: S101 - the statement always returns a row
    today: date = row[0]
    return today


async def _answer(connection: Connection, statement: str, params: dict[str, object]) -> bool:
    row = await (await connection.execute(SQL[statement], params)).fetchone()
    return bool(row and row[0])

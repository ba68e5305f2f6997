"""
Keeping the partitions of the history: made ahead, dropped after their retention, mended after weeks of standstill.

Asked once a minute, of any replica. Each change is a transaction of its own that holds its locks for some milliseconds.
What somebody is in the way of is tried a few times, and then left for the next minute: nobody waits for a report or a
dump to end, neither the operator nor those who would queue behind it.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import psycopg

from ordinaut.logging import get_logger
from ordinaut.store import history
from ordinaut.store.partitions import Action, Convert, Drop, Make
from ordinaut.store.pool import Pool

PASSES: Final = 3
"""A conversion makes room for days to be made, and what was made of old days may be dropped at once."""

TRIES: Final = 3

LONGER: Final = timedelta(seconds=1)
"""How long the last try of an urgent change waits: where there is always somebody at work, a tenth may never do."""

PAUSE: Final = 0.2
"""Seconds between tries: they hold everybody up for a tenth of a second each."""

log = get_logger(__name__)


async def keep(pool: Pool, *, history_days: int, event_days: int) -> bool:
    """Make, drop and mend what is due, and tell whether somebody was in the way of something."""
    for _ in range(PASSES):
        async with pool.connection() as connection:
            planned = await history.planned(connection, history_days=history_days, event_days=event_days)
        done, held_up = await _carry_out(pool, planned)
        if held_up:
            log.info("partitions wait for somebody who uses their tables", changes=len(held_up), first=str(held_up[0]))
            return True
        if not done:
            return False
        _tell(done)
    return False


async def _carry_out(pool: Pool, planned: Sequence[Action]) -> tuple[list[Action], list[Action]]:
    """Return what was done, and what somebody was in the way of; the others had been done by somebody else."""
    done: list[Action] = []
    held_up: list[Action] = []
    for action in planned:
        if any(other.parent == action.parent for other in held_up):
            # Whoever is in the way of one change of a table is in the way of the next.
            held_up.append(action)
            continue
        changed = await _try(pool, action)
        if changed is None:
            held_up.append(action)
        elif changed:
            done.append(action)
    return done, held_up


async def _try(pool: Pool, action: Action) -> bool | None:
    """Return whether an action has changed something; None if somebody was in the way."""
    for tries in range(TRIES):
        if tries:
            await asyncio.sleep(PAUSE)
        try:
            async with pool.connection() as connection:
                patience = LONGER if action.urgent and tries == TRIES - 1 else history.BRIEF
                return await history.carry_out(connection, action, patience=patience)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.CheckViolation):
            # Violated is what a conversion or a new partition assumed of the rows: others have come meanwhile.
            continue
    return None


def _tell(done: Sequence[Action]) -> None:
    for one in done:
        if isinstance(one, Convert):
            log.warning(
                "no partition was there for some history, its rows have one now", table=one.parent, since=str(one.since)
            )
    made, dropped = (sum(isinstance(one, kind) for one in done) for kind in (Make, Drop))
    if made or dropped:
        log.info("partitions kept", made=made, dropped=dropped)

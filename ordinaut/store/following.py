"""
Reading the log of events for those who follow it: piece by piece, from where each of them has come to.

The api calls this for whoever has a stream open. Each look is at a span of the log that bounds its work: a reader who
wants hardly anything of a long log goes through it in several looks, and others get their turn in between.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import args_row

from ordinaut.store.log import LogRow
from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL

SPAN: Final = 10_000
"""Positions that one look goes through at most."""

NEIGHBOURS: Final = 1_000
"""Rows of about the same time, of which the first by its position counts."""

MAX_ABOUT: Final = 500
"""Types that a look chooses by; beyond that it takes whole namespaces, and the reader chooses."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """
    What there is of the log.

    ``first`` and ``end`` are the positions of its oldest and its last row, ``oldest`` and ``newest`` when those were
    written: None, and 0 for the end, while it is empty. ``given`` is the last position that was ever given out, perhaps
    to a row that is gone, or not there yet. ``waiting`` tells whether something is still to be moved to the log.
    """

    first: int | None
    oldest: datetime | None
    end: int
    newest: datetime | None
    given: int
    waiting: bool

    def is_gap(self, position: int) -> bool:
        """Whether somebody who has read up to a position may have missed something that is not kept any more."""
        if not 0 < position <= self.given:
            return position > 0  # of a log that was lost since: nobody knows what was in it
        return position < (self.given if self.first is None else self.first - 1)

    def floor(self, position: int) -> int:
        """Return from where to read for who has read up to a position: positions without rows are left out."""
        if position > self.given:
            return self.end
        return position if self.first is None else max(position, self.first - 1)


@dataclass(frozen=True, slots=True)
class Span:
    """What a look has found: some rows, in their order, and the position up to which there are no others."""

    rows: list[LogRow]
    until: int


async def bounds(connection: Connection) -> Bounds:
    """Return what there is of the log now."""
    row = await (await connection.execute(SQL["log_bounds"])).fetchone()
    assert row is not None  # noqa: S101 - the statement always returns a row
    first, oldest, end, newest, given, waiting = row
    return Bounds(first, oldest, end or 0, newest, given, waiting)


async def span(connection: Connection, after: int, until: int, *, about: Collection[str], limit: int) -> Span:
    """
    Return rows behind a position, up to another one or as far as one look goes.

    ``about`` are namespaces, or types as `namespace/type`; the rows hold other events, too.
    """
    last = min(until, after + SPAN)
    cursor = connection.cursor(row_factory=args_row(LogRow), binary=True)
    await cursor.execute(SQL["log_span"], {"after": after, "until": last, "about": _bounded(about), "limit": limit})
    rows = await cursor.fetchall()
    return Span(rows, rows[-1].position if len(rows) == limit else last)


async def begin(connection: Connection, created_at: datetime, *, namespace: str) -> int | None:
    """Return the first position of what the transaction of a time wrote about a namespace; None if it is not there."""
    row = await (
        await connection.execute(SQL["log_begin"], {"created_at": created_at, "namespace": namespace})
    ).fetchone()
    return row[0] if row else None


async def since(connection: Connection, at: datetime) -> int | None:
    """Return the first position of what was written from about a time on; None if there is nothing."""
    row = await (await connection.execute(SQL["log_since"], {"since": at, "limit": NEIGHBOURS})).fetchone()
    return row[0] if row else None


def _bounded(about: Collection[str]) -> list[str]:
    """Return what to choose by: a name for each type, and the namespace alone where that is wanted as a whole."""
    whole = {one for one in about if "/" not in one}
    if len(about) > MAX_ABOUT:
        whole |= {one.partition("/")[0] for one in about}
    return sorted(whole | {one for one in about if one.partition("/")[0] not in whole})

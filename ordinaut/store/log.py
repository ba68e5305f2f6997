"""
The log of events: everything that happened, in one order, and how far each reader has come.

What is written to the outbox is moved here by one process at a time (:func:`take_in`), which gives each row its
position. Positions become visible in their order: whoever has read up to one has missed nothing, and goes on behind it.
Readers that must miss nothing keep their position here (:func:`move_cursor`): the operator's `triggers`, which makes
runs, and its `stream`, which appends to Redis. The api reads for who follows events, and its clients remember.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import orjson
from psycopg.rows import args_row

from ordinaut.events.envelope import place_of
from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL

Reader = Literal["triggers", "stream"]

MOVER: Final = "relay"
"""Whose lock moving takes: the relay of release 0.1 moves rows too, and an upgrade must not have two at a time."""


REACH: Final = 500
"""Rows counted at once, going back."""

SIZE: Final = 8 << 20
"""
Characters of rows after which a read takes no further row. A row has megabytes where a batch was published, and a
hundred of those do not fit the memory of a process.
"""


@dataclass(frozen=True, slots=True)
class LogRow:
    """
    The events of one transaction, in their order; ``id`` is that of the outbox, of which their ids are made.

    ``about`` names their namespaces, and their types as `namespace/type`. ``text`` is JSON; None where nobody asked.
    """

    position: int
    id: int
    created_at: datetime
    about: Sequence[str]
    text: str | None

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events as ``events.envelope`` made them compact, read anew each time."""
        found: list[dict[str, Any]] = orjson.loads(self.text or "[]")
        return found


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a reader stands; ``end`` is the position of the last row."""

    position: int
    end: int

    @property
    def is_behind(self) -> bool:
        """Whether there is something to be read."""
        return self.end > self.position


@dataclass(frozen=True, slots=True, order=True)
class LogPlace:
    """Where an event stands in the log: the position of its row, and its place in it; written `<position>-<place>`."""

    position: int
    place: int

    def __str__(self) -> str:
        return f"{self.position}-{self.place}"

    @classmethod
    def parse(cls, text: str) -> "LogPlace":
        """Read one; raises `ValueError` for anything else."""
        return cls(*place_of(text))


async def lock(connection: Connection, reader: str) -> bool:
    """Become the only one at this work until the transaction ends; False while another one is."""
    row = await (await connection.execute(SQL["lock_reader"], {"reader": reader})).fetchone()
    return bool(row and row[0])


async def take_in(connection: Connection, *, limit: int) -> list[LogRow]:
    """
    Move the oldest rows of the outbox to the log, and return them in their order.

    The caller holds the lock of :data:`MOVER`. Rows about namespaces without subscriptions come without their text.
    These are fewer than ``limit`` rows, too, where they are large: nothing is left when none comes.
    """
    cursor = connection.cursor(row_factory=args_row(LogRow), binary=True)
    await cursor.execute(SQL["take_in"], {"limit": limit, "size": SIZE})
    return await cursor.fetchall()


async def after(connection: Connection, position: int, *, limit: int) -> list[LogRow]:
    """
    Return the rows behind a position, in their order.

    These are fewer than ``limit`` rows, too, where they are large: nothing is left when none comes.
    """
    cursor = connection.cursor(row_factory=args_row(LogRow), binary=True)
    await cursor.execute(SQL["log_after"], {"position": position, "limit": limit, "size": SIZE})
    return await cursor.fetchall()


async def position_before(connection: Connection, moment: datetime) -> int:
    """Return the position behind which all events are that were written since a moment."""
    row = await (await connection.execute(SQL["log_position_before"], {"since": moment})).fetchone()
    return int(row[0]) if row else 0


async def end(connection: Connection) -> int:
    """Return the position of the last row; 0 while there is none."""
    row = await (await connection.execute(SQL["log_end"])).fetchone()
    return int(row[0]) if row else 0


async def progress(connection: Connection, reader: Reader) -> Progress:
    """Return where a reader stands."""
    row = await (await connection.execute(SQL["log_cursor"], {"reader": reader})).fetchone()
    assert row is not None  # noqa: S101 - a migration has made the row
    return Progress(*row)


async def move_cursor(connection: Connection, reader: Reader, position: int) -> None:
    """Remember that a reader has come so far; never back."""
    await connection.execute(SQL["move_log_cursor"], {"reader": reader, "position": position})


async def tell(connection: Connection) -> None:
    """Wake whoever follows the log, when the transaction commits."""
    await connection.execute(SQL["notify_log"])


async def reach_back(connection: Connection, *, after: int, events: int) -> int:
    """Return the position behind which the last ``events`` events are, or somewhat more; at least ``after``."""
    before, total = 2**63 - 1, 0
    while total < events:
        row = await (
            await connection.execute(SQL["log_tail"], {"after": after, "before": before, "limit": REACH})
        ).fetchone()
        if row is None or row[0] is None:
            return after
        before, total = row[0], total + row[1]
    return max(after, before - 1)

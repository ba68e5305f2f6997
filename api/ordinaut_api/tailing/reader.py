"""
One open stream of events: from where its reader has come to, without a gap, until somebody ends it.

Routes find out where it starts, while it can still be refused, and send what it yields. It reads the log by itself
until it is up to date, and then is told by the :class:`~ordinaut_api.tailing.tailer.Tailer`; it falls back to reading
when it is slower than the events come. So nothing is lost, and no reader costs more memory than another.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
import psycopg

from ordinaut.computing import compute
from ordinaut.states import FINAL_RUN_PHASES
from ordinaut.store import following
from ordinaut.store.following import Bounds
from ordinaut.store.log import LogPlace
from ordinaut.store.pool import Connection
from ordinaut.store.runs import Run
from ordinaut_api import messages, streams
from ordinaut_api.identity.guard import Call
from ordinaut_api.tailing import telling
from ordinaut_api.tailing.tailer import Follower
from ordinaut_api.tailing.telling import WHOLE, Told
from ordinaut_api.tailing.wish import Wish

MAX_PIECE: Final = 256 * 1024
"""Bytes of events that such a stream reads, and holds until its reader has taken them."""

NEAR: Final = following.SPAN
"""Positions that a stream may be behind when it joins; before that it would only be sent away again."""

_ROWS: Final = 20
"""Rows that such a stream reads at once."""

_OUTAGE: Final = 1.0
"""Seconds between tries while the database does not answer."""

FINAL: Final = frozenset(f"run.{phase.lower()}" for phase in FINAL_RUN_PHASES)
PARKED: Final = "run.parked"


@dataclass(frozen=True, slots=True)
class Start:
    """
    Where a stream begins.

    ``gap`` tells that events are missing before it, behind the place ``asked`` for or from the beginning; ``over``
    that nothing will come.
    """

    at: LogPlace
    asked: LogPlace | None = None
    gap: bool = False
    over: bool = False


def start(bounds: Bounds, after: LogPlace | None) -> Start:
    """Return where somebody goes on who has read up to a place; without one: from now on."""
    if after is None:
        return Start(LogPlace(bounds.end, WHOLE))
    floor = bounds.floor(after.position)
    at = after if floor == after.position else LogPlace(floor, WHOLE)
    return Start(at, asked=after, gap=bounds.is_gap(after.position))


async def start_of_run(connection: Connection, run: Run, after: LogPlace | None) -> Start:
    """Return where the events of a run begin, or where somebody goes on with them."""
    bounds = await following.bounds(connection)
    if after is not None:
        return start(bounds, after)
    begin = await following.begin(connection, run.created_at, namespace=run.namespace)
    if begin is not None:
        return Start(before(begin))
    return start_without_begin(bounds, run)


def start_without_begin(bounds: Bounds, run: Run) -> Start:
    """Return where to begin with a run of which the first event is not in the log: not yet, or not any more."""
    if bounds.oldest is None or bounds.first is None:
        over = run.finished_at is not None and not bounds.waiting
        return Start(LogPlace(bounds.end, WHOLE), gap=over, over=over)
    if run.created_at >= bounds.oldest:
        return Start(LogPlace(bounds.end, WHOLE))
    over = run.finished_at is not None and run.finished_at < bounds.oldest
    return Start(before(bounds.first), gap=True, over=over)


def place(text: str) -> LogPlace:
    """Return the place that the id of a message names; raises `ValueError` if it is none."""
    return LogPlace.parse(text if "-" in text else f"{text}-{WHOLE}")


def before(position: int) -> LogPlace:
    """Return the place of somebody who has read everything before a position."""
    return LogPlace(position - 1, WHOLE)


class Stream:
    """A stream of the events that somebody wishes, from a start on; ``to_the_end`` of the run that it is about."""

    def __init__(self, call: Call, wish: Wish, begin: Start, *, to_the_end: bool = False) -> None:
        self._call = call
        self._wish = wish
        self._to_the_end = to_the_end
        self._over = begin.over
        self._at = begin.at
        self._gap = _text(begin.asked) if begin.gap and begin.asked else "" if begin.gap else None
        self._is_parked = False
        self._watch = streams.Watch(call)

    async def messages(self) -> AsyncIterator[bytes]:
        """Yield what is sent, until the stream is over."""
        yield self._reached()
        with self._call.backend.tailer.following(self._wish) as follower:
            while (reason := "final" if self._over else await self._watch.reason()) is None:
                told = await self._next(follower)
                if self._gap is not None or not told:
                    yield self._reached()
                if told:
                    yield b"".join(one.text for one in told)
                if self._is_finished(told, follower):
                    reason = "final"
                    break
        yield streams.end(reason, at=_text(self._at))

    def _reached(self) -> bytes:
        """Return the message that says where the stream stands, and what is missing before it."""
        if self._gap is None:
            return messages.reached(_text(self._at))
        missing, self._gap = self._gap, None
        now = _text(self._at)
        return messages.message("gap", orjson.dumps({"after": missing, "until": now}), at=now)

    def _is_finished(self, told: Sequence[Told], follower: Follower) -> bool:
        """Whether the run is over whose events these are; one that is parked may have gone on since."""
        if not self._to_the_end:
            return False
        if told:
            self._is_parked = told[-1].type == PARKED
        return any(one.type in FINAL for one in told) or (self._is_parked and not told and not follower.is_behind)

    async def _next(self, follower: Follower) -> list[Told]:
        """Return the events that come next; nothing if the reader is to be told so, or the stream to be looked at."""
        tailer = self._call.backend.tailer
        until = time.monotonic() + (_OUTAGE if self._is_parked else streams.HEARTBEAT)
        while True:
            told: list[Told] = []
            goal = tailer.position if follower.joined is None else follower.joined
            if goal is not None and self._at < LogPlace(goal - (NEAR if follower.is_behind else 0), WHOLE):
                told = await self._read(goal)
            elif follower.is_behind:
                tailer.join(follower)
                await follower.wait(max(0.0, until - time.monotonic()))
            elif not (told := self._taken(follower)):
                await follower.wait(max(0.0, until - time.monotonic()))
                told = self._taken(follower)
            if told or self._gap is not None or time.monotonic() >= until or self._call.backend.stopping():
                return told

    def _taken(self, follower: Follower) -> list[Told]:
        """Return what the tailer has brought."""
        position = self._call.backend.tailer.position
        told = [one for one in follower.take() if one.at > self._at]
        if told:
            self._at = told[-1].at
        elif not follower.is_behind and position is not None:
            self._at = max(self._at, LogPlace(position, WHOLE))
        return told

    async def _read(self, goal: int) -> list[Told]:
        """Return what the log holds behind where the stream stands, some of it; nothing also while it can't be read."""
        try:
            async with self._call.backend.tailer.reading, self._call.backend.connection() as connection:
                return await self._piece(connection, goal)
        except psycopg.OperationalError:
            await asyncio.sleep(_OUTAGE)  # nothing is lost: it goes on when the database is back
            return []

    async def _piece(self, connection: Connection, goal: int) -> list[Told]:
        bounds = await following.bounds(connection)
        if bounds.is_gap(self._at.position):
            self._gap, self._at = _text(self._at), LogPlace(bounds.floor(self._at.position), WHOLE)
            return []
        after = self._at.position - (0 if self._at.place == WHOLE else 1)
        found = await following.span(connection, after, goal, about=self._wish.about, limit=_ROWS)
        told, is_all = await compute(telling.tell_one, found.rows, self._wish, after=self._at, limit=MAX_PIECE)
        self._at = LogPlace(found.until, WHOLE) if is_all else told[-1].at
        return told


def _text(at: LogPlace) -> str:
    return str(at.position) if at.place == WHOLE else str(at)

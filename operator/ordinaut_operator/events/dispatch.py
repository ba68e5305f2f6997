"""
The dispatcher: from the outbox to the log, and from the log to what it triggers.

It is woken whenever something is published, and looks by itself several times a second. One operator at a time does it:
it moves what waits in the outbox to the log, compares the events with the subscriptions of their namespaces, and has
:mod:`react` write down and start what comes of each match, all in one transaction. So a crash at any point triggers
neither twice nor never. Redis has no part in it. Who appends to the stream, and who follows the log, is woken
afterwards.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import psycopg

from ordinaut import metrics
from ordinaut.computing import compute
from ordinaut.events.envelope import cloud_event
from ordinaut.logging import get_logger
from ordinaut.store import log as eventlog
from ordinaut.store import subscriptions
from ordinaut.store.log import LogRow, Progress
from ordinaut.store.pool import Connection, Pool
from ordinaut.store.subscriptions import News
from ordinaut.triggers import Match, Subscriptions
from ordinaut_operator.events.react import react
from ordinaut_operator.events.telling import Reactions, tell
from ordinaut_operator.fire import Tell
from ordinaut_operator.rights import NO_CHECKS, Rights
from ordinaut_operator.supervision import is_away
from ordinaut_operator.sweeper import Sweeper

BATCH: Final = 100
FEWEST: Final = 8
"""Rows of the log handled in one transaction; that of a busy worker holds a thousand events."""

MATCHES: Final = 10_000
"""Matches after which a transaction takes no further row: each may become a run."""

TRIES: Final = 10
"""How often a row by itself may fail before it is passed over: nobody's events wait for a defect for ever."""

log = get_logger(__name__)


@dataclass(slots=True)
class _Namespace:
    """The subscriptions of a namespace as they were at a version of theirs."""

    version: int = -1
    subscriptions: Subscriptions = field(default_factory=Subscriptions)


@dataclass(frozen=True, slots=True)
class _Round:
    """What a transaction did: rows handled, and whether there may be more."""

    rows: int = 0
    more: bool = False


@dataclass(slots=True)
class _Failed:
    """How often in a row the row behind a position has failed by itself; another operator may have gone past it."""

    behind: int = -1
    times: int = 0

    def add(self, progress: Progress) -> None:
        """Count one more failure of the row that comes next."""
        self.times = self.times + 1 if progress.position == self.behind else 1
        self.behind = progress.position

    def is_hopeless(self, progress: Progress) -> bool:
        """Whether the row that comes next has failed too often."""
        return progress.position == self.behind and self.times >= TRIES


class Dispatcher(Sweeper):
    """
    Moves events on and triggers tasks.

    Args:
        pool: connections to the database.
        rights: judges the creators of tasks.
        max_hops: how many runs of events may stand one behind the other.
        told: takes in what was skipped.
        moved: called after something was moved to the log.
        gathered: called after events were put aside, to be closed with others.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        rights: Rights = NO_CHECKS,
        max_hops: int,
        told: Tell | None = None,
        moved: Callable[[], object] = lambda: None,
        gathered: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__()
        self._pool = pool
        self._rights = rights
        self._max_hops = max_hops
        self._told = told
        self._moved = moved
        self._gathered = gathered
        self._namespaces: dict[str, _Namespace] = {}
        self._alone_until = 0
        """Rows up to this position are handled one by one, since they have failed together."""
        self._failed = _Failed()
        self._rows = BATCH

    async def _sweep(self) -> int:
        """Dispatch all that waits; returns how many rows of the log that were."""
        rows = 0
        more = True
        while more:
            done = await self._round()
            rows += done.rows
            more = done.more
        return rows

    async def _round(self) -> _Round:
        try:
            return await self._dispatch()
        except Exception as error:
            if not is_away(error):
                # Whatever is wrong with triggers: what happened is told all the same, and they are tried again.
                await self._fall_back(counts=not isinstance(error, psycopg.errors.QueryCanceled))
            raise

    async def _dispatch(self) -> _Round:
        done = Reactions()
        async with self._pool.connection() as connection, connection.transaction():
            if not await eventlog.lock(connection, eventlog.MOVER):
                return _Round()
            progress = await eventlog.progress(connection, "triggers")
            limit = 1 if self._is_alone(progress) else self._rows
            if progress.is_behind:
                rows = await eventlog.after(connection, progress.position, limit=limit)
            else:
                rows = await eventlog.take_in(connection, limit=limit)
            if not rows:
                return _Round()
            reached = rows[-1].position
            if limit == 1 and self._failed.is_hopeless(progress):
                metrics.EVENTS_PASSED_OVER.inc()
                log.error("events passed over, no task was triggered by them", row=rows[0].id, about=rows[0].about)
            else:
                done, reached = await self._trigger(connection, rows)
            await eventlog.move_cursor(connection, "triggers", reached)
            await eventlog.tell(connection)
        tell(done, told=self._told)
        self._moved()
        if done.gathered:
            self._gathered()
        self._adapt(rows, limit=limit)
        # Where rows are large there may be more all the same: the next look comes soon.
        more = len(rows) == limit or progress.is_behind or reached < rows[-1].position
        return _Round(sum(row.position <= reached for row in rows), more=more)

    def _adapt(self, rows: Sequence[LogRow], *, limit: int) -> None:
        """Ask for about as many rows as came: those that are too large for one read are measured in vain."""
        if 1 < limit == self._rows:
            self._rows = min(BATCH, max(FEWEST, 2 * len(rows)))

    def _is_alone(self, progress: Progress) -> bool:
        return progress.is_behind and progress.position < self._alone_until

    async def _fall_back(self, *, counts: bool) -> None:
        """
        Move what waits to the log, and leave it at that; what is there is tried row by row from then on.

        ``counts``: it was the fault of the row at hand, if that was tried alone, and not of somebody who held a lock.
        """
        async with self._pool.connection() as connection, connection.transaction():
            progress = await eventlog.progress(connection, "triggers")
            if counts and self._is_alone(progress):
                self._failed.add(progress)
            if await eventlog.lock(connection, eventlog.MOVER) and await eventlog.take_in(connection, limit=BATCH):
                await eventlog.tell(connection)
            self._alone_until = max(self._alone_until, await eventlog.end(connection))
        self._moved()

    async def _trigger(self, connection: Connection, rows: Sequence[LogRow]) -> tuple[Reactions, int]:
        """Have tasks react to the events of rows; returns up to which position, which may be before the last."""
        with_text = [row for row in rows if row.text is not None]
        await self._refresh(connection, {about.partition("/")[0] for row in with_text for about in row.about})
        wanted = [row for row in with_text if self._wants(row)]
        if not wanted:
            return Reactions(), rows[-1].position
        matches, reached = await compute(self._some_matches, wanted)
        done = await react(connection, matches, rights=self._rights, max_hops=self._max_hops)
        return done, rows[-1].position if reached == wanted[-1].position else reached

    async def _refresh(self, connection: Connection, namespaces: set[str]) -> None:
        """Take in how subscriptions have changed; whoever sees an event sees those that were there before it."""
        if not namespaces:
            return
        known = {name: self._namespaces[name].version if name in self._namespaces else -1 for name in namespaces}
        if news := await subscriptions.news(connection, known):
            await compute(self._take_over, news)

    def _take_over(self, news: Sequence[News]) -> None:
        """Take in what has changed; thousands of conditions take a second to compile."""
        for one in news:
            known = self._namespaces.setdefault(one.namespace, _Namespace()).subscriptions
            try:
                known.put(one.task_id, one.triggers)
            except Exception:
                # Stored by a later release: it must not keep events from all others.
                metrics.JOB_FAILURES.labels(loop="dispatch").inc()
                log.exception("triggers can't be read", namespace=one.namespace, task_id=one.task_id)
        # At last: if something goes wrong before, all of it is read again.
        for one in news:
            namespace = self._namespaces[one.namespace]
            namespace.version = max(namespace.version, one.version)

    def _wants(self, row: LogRow) -> bool:
        """Whether a task may be triggered by something in a row: by what it is about, without reading it."""
        for about in row.about:
            namespace, slash, type_ = about.partition("/")
            if slash and (found := self._namespaces.get(namespace)) and found.subscriptions.wants(type_):
                return True
        return False

    def _some_matches(self, rows: Sequence[LogRow]) -> tuple[list[Match], int]:
        """Return what matches, in the order of the log, of rows until it is a lot, and the position of the last."""
        matches: list[Match] = []
        for row in rows:
            matches += self._matches(row)
            if len(matches) >= MATCHES:
                break
        return matches, row.position

    def _matches(self, row: LogRow) -> Iterator[Match]:
        """Yield what matches in a row, in the order of its events."""
        for place, compact in enumerate(row.events):
            namespace = self._namespaces.get(compact["ns"])
            if namespace is None or not namespace.subscriptions.wants(compact["type"]):
                continue
            event = cloud_event(row.id, row.created_at, place, compact)
            yield from namespace.subscriptions.match(
                event, position=row.position, place=place, created_at=row.created_at
            )

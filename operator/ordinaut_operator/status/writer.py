"""
The status writer: keeps the ``status`` in the API server like what PostgreSQL knows.

Runs on every replica and writes on the one that leads. It hears from PostgreSQL which tasks changed
(``ordinaut_status``) and from the watch which objects are new or edited; a sweep over everything, when it begins to
lead and every few minutes, is the back-stop. It compares before it writes: what is up to date costs a read of the
database and no request.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Final, Protocol

from ordinaut import metrics
from ordinaut.logging import get_logger
from ordinaut.states import Origin, RunPhase
from ordinaut.store import declared, status
from ordinaut.store.listen import listen
from ordinaut.store.pool import Pool
from ordinaut.store.status import TaskRow
from ordinaut_operator.kube import Kube, Refused, Unavailable
from ordinaut_operator.status import difference
from ordinaut_operator.status.difference import Write
from ordinaut_operator.status.dirty import Dirty
from ordinaut_operator.status.observed import Statuses
from ordinaut_operator.supervision import Backoff, keep_going

log = get_logger(__name__)

_ROWS: Final = 100
"""Tasks that are read at once."""

_SLICE: Final = 0.01
"""Seconds of computing statuses after which the event loop gets its turn: the clock runs on the same one."""

_SWEEP_SPACING: Final = 15.0
"""Seconds between sweeps that PostgreSQL asks for because too many tasks changed at once."""

_GLANCE: Final = 1.0
"""Seconds of waiting after which it looks whether it still leads."""

_RUNNING_FACTOR: Final = 10
"""How much more seldom than an unstarted run a running one is looked at."""

_UNSTARTED: Final = frozenset({RunPhase.PENDING, RunPhase.WAITING})


class Leadership(Protocol):
    """What the writer needs of the elector: ``slack`` is how long a request of the leader may take, in seconds."""

    slack: float

    @property
    def leading(self) -> bool:
        """Whether this replica may write now."""

    async def won(self) -> None:
        """Return when it may."""


class Result(StrEnum):
    """What became of a write; the label of the metric."""

    WRITTEN = "written"
    GONE = "gone"
    """The object was deleted, or is another one by now."""
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"
    """Tried again."""
    FAILED = "failed"
    """The status could not be computed."""


class StatusWriter:
    """
    Writes statuses as long as :meth:`run` runs and this replica leads.

    ``url`` is the database's, for LISTEN. ``settle``, ``spacing`` and ``sweep_every`` are in seconds: how long a
    change waits for the next one, between two writes to one task, and between sweeps. ``in_flight`` bounds requests
    at a time. ``whole`` tells whether the API server knows all fields: from an object whose status is written it drops
    those that it does not know.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        url: str,
        kube: Kube,
        leadership: Leadership,
        whole: Callable[[], Awaitable[bool]],
        statuses: Statuses,
        settle: float = 1.0,
        spacing: float = 3.0,
        sweep_every: float = 300.0,
        in_flight: int = 8,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._url = url
        self._kube = kube
        self._leadership = leadership
        self._whole = whole
        self._statuses = statuses
        self._settle = settle
        self._spacing = spacing
        self._sweep_every = sweep_every
        self._gate = asyncio.Semaphore(in_flight)
        self._clock = clock
        self._dirty = Dirty(settle=settle, spacing=spacing)
        self._swept = float("-inf")
        self._sweep_at = float("-inf")
        self._declared_at = float("-inf")
        self._backoff = Backoff(first=0.5, cap=15.0)

    async def run(self) -> None:
        """Write statuses until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(listen(self._url, ["ordinaut_status"], self._heard, application="status"))
            group.create_task(keep_going("status", self._lead))

    def _heard(self, _channel: str, payload: str | None) -> None:
        """Mark the tasks that PostgreSQL names; no names stand for too many to name, or for news that were missed."""
        if payload:
            self._dirty.mark(map(int, payload.split(",")), now=self._clock())
        else:
            self._sweep_at = min(self._sweep_at, max(self._clock(), self._swept + _SWEEP_SPACING))
        self._statuses.woken.set()

    async def _lead(self) -> None:
        """Write while leading; beginning to lead is beginning with a sweep."""
        await self._statuses.complete.wait()
        while True:
            await self._leadership.won()
            self._sweep_at = self._clock()
            while self._leadership.leading:
                await self._turn()
            self._dirty.clear()

    async def _turn(self) -> None:
        """Do what is due, or wait for something to be."""
        self._statuses.woken.clear()
        if self._clock() >= self._sweep_at:
            await self._sweep()
        await self._mark_outdated()
        if self._statuses.declared_changed and self._clock() >= self._declared_at:
            await self._write_declared()
        if tasks := self._dirty.take(_ROWS, now=self._clock()):
            await self._write_tasks(tasks)
            return
        try:
            async with asyncio.timeout(self._pause()):
                await self._statuses.woken.wait()
        except TimeoutError:
            return

    def _pause(self) -> float:
        now = self._clock()
        pauses = [_GLANCE, self._sweep_at - now, self._dirty.pause(now=now)]
        if self._statuses.declared_changed:
            pauses.append(self._declared_at - now)
        return max(0.0, min(pause for pause in pauses if pause is not None))

    async def _sweep(self) -> None:
        """Have everything looked at."""
        self._swept = self._clock()
        self._sweep_at = self._swept + self._sweep_every
        self._statuses.outdated.clear()
        self._statuses.declared_changed = True
        async with self._pool.connection() as connection:
            tasks = await status.task_ids(connection, origin=Origin.KUBERNETES)
        self._dirty.mark(tasks, now=self._clock(), after=0.0)

    async def _mark_outdated(self) -> None:
        """Have objects looked at whose status is about another generation than the watch has seen."""
        if not self._statuses.outdated:
            return
        outdated, self._statuses.outdated = self._statuses.outdated, set()
        if any(key.kind != "Task" for key in outdated):
            self._statuses.declared_changed = True
        if tasks := [key for key in outdated if key.kind == "Task"]:
            async with self._pool.connection() as connection:
                found = await declared.task_ids(connection, tasks)
            self._dirty.mark(found.values(), now=self._clock())

    async def _write_tasks(self, tasks: Sequence[int]) -> None:
        async with self._pool.connection() as connection:
            rows = await status.tasks(connection, tasks)
        writes: dict[int, Write] = {}
        slice_ends = time.perf_counter() + _SLICE
        for row in rows:
            self._look_again(row)
            if write := self._difference(row):
                writes[row.task_id] = write
            if time.perf_counter() > slice_ends:
                await asyncio.sleep(0)
                slice_ends = time.perf_counter() + _SLICE
        results = await self._write_all(writes.values())
        for task, result in zip(writes, results, strict=True):
            if result is Result.WRITTEN:
                self._dirty.wrote(task, now=self._clock())
            elif result is Result.UNAVAILABLE:
                self._dirty.mark([task], now=self._clock())
        await self._rest_if_unavailable(results)

    def _look_again(self, row: TaskRow) -> None:
        """Mark a task that will change without a word: a run that begins is not heard of, nor a snooze that is over."""
        if row.snoozed_until is not None:
            after = (row.snoozed_until - row.now).total_seconds() + self._settle
            self._dirty.mark([row.task_id], now=self._clock(), after=after)
        if row.active:
            after = self._spacing * (1 if row.run_phase in _UNSTARTED else _RUNNING_FACTOR)
            self._dirty.mark([row.task_id], now=self._clock(), after=after)

    def _difference(self, row: TaskRow) -> Write | None:
        try:
            return difference.of_task(row, statuses=self._statuses)
        except Exception:
            # A row that this version can't read must not keep the others from being written.
            log.exception("status can't be computed", task=f"{row.namespace}/{row.name}")
            metrics.STATUS_WRITES.labels(result=Result.FAILED.value).inc()
            return None

    async def _write_declared(self) -> None:
        """Write the statuses of pipelines, tools and hooks, and of objects whose name is taken."""
        self._statuses.declared_changed = False
        self._declared_at = self._clock() + self._settle
        async with self._pool.connection() as connection:
            pipelines = await status.pipelines(connection, origin=Origin.KUBERNETES)
            tools = await status.tools(connection, origin=Origin.KUBERNETES)
            hooks = await status.hooks(connection, origin=Origin.KUBERNETES)
        now = datetime.now(UTC)
        results = await self._write_all(
            list(difference.of_declared(pipelines, tools, hooks, statuses=self._statuses, now=now))
        )
        if Result.UNAVAILABLE in results:
            self._statuses.declared_changed = True
        await self._rest_if_unavailable(results)

    async def _write_all(self, writes: Iterable[Write]) -> list[Result]:
        return await asyncio.gather(*(self._write(write) for write in writes))

    async def _write(self, write: Write) -> Result:
        """Write a status, if nothing of the object is lost by that and this replica leads when its turn comes."""
        async with self._gate:
            may = await self._whole() and self._leadership.leading
            result = await self._try(write) if may else Result.UNAVAILABLE
        metrics.STATUS_WRITES.labels(result=result.value).inc()
        return result

    async def _try(self, write: Write) -> Result:
        try:
            self._statuses.see(
                await self._kube.replace_status(
                    write.key, uid=write.uid, status=write.status, timeout=self._leadership.slack
                )
            )
        except Unavailable:
            return Result.UNAVAILABLE
        except Refused as refusal:
            if refusal.status == HTTPStatus.NOT_FOUND:
                return Result.GONE
            if refusal.status == HTTPStatus.CONFLICT:
                return Result.UNAVAILABLE
            log.warning("status refused", object=str(write.key), error=str(refusal))
            return Result.REFUSED
        return Result.WRITTEN

    async def _rest_if_unavailable(self, results: Sequence[Result]) -> None:
        if Result.UNAVAILABLE in results:
            await asyncio.sleep(self._backoff.next())
        elif results:
            self._backoff.reset()

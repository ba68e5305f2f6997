"""
Posts an Event when nominal times of a Task were skipped, so that ``kubectl describe otask`` says it.

The replica that fired posts: the clock hands each firing transaction's skipped times to :meth:`Recorder.hear`, which
only remembers them, and :meth:`Recorder.run` posts them one by one. Nothing waits for that, and what could not be
posted within minutes is dropped: the ledger has it all the same. The recorder has a client of its own, which tells no
readiness: an API server may refuse Events by a limit of their own (EventRateLimit) and be well.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from enum import StrEnum
from http import HTTPStatus
from typing import Final

from ordinaut import metrics
from ordinaut.logging import get_logger
from ordinaut.states import Origin
from ordinaut.store import status
from ordinaut.store.pool import Pool
from ordinaut_operator.kube import MERGE_PATCH, Kube, Refused, Unavailable
from ordinaut_operator.skips.event import change_of, event_of, name_of
from ordinaut_operator.skips.series import Notice, Skipped, Untold
from ordinaut_operator.supervision import Backoff, keep_going

log = get_logger(__name__)

_TERMINATING: Final = "NamespaceTerminating"


class Result(StrEnum):
    """What became of a post; the label of the metric."""

    POSTED = "posted"
    GONE = "gone"
    """The namespace was deleted, or is being deleted."""
    FORBIDDEN = "forbidden"
    """A right is lacking. All Events of the namespace are tried again after a long rest, as long as they are news."""
    REFUSED = "refused"
    """The same for this Event only."""
    UNAVAILABLE = "unavailable"
    """Tried again soon."""
    DROPPED = "dropped"
    """Too old by now, or too many."""


class Recorder:
    """
    Posts Events as long as :meth:`run` runs.

    ``instance`` names this replica. ``rest`` and ``retry`` are the seconds until it tries again what was refused, and
    what was not answered.
    """

    def __init__(
        self,
        *,
        pool: Pool,
        kube: Kube,
        instance: str,
        untold: Untold | None = None,
        rest: float = 300.0,
        retry: float = 30.0,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._kube = kube
        self._instance = instance
        self._untold = untold or Untold()
        self._rest = rest
        self._retry = retry
        self._backoff = backoff or Backoff(first=0.5, cap=30.0)
        self._clock = clock
        self._woken = asyncio.Event()
        self._dropped = 0
        self._resting: dict[str, float] = {}
        self._complained = False

    def hear(self, news: Iterable[Skipped]) -> None:
        """Take in what a firing transaction has skipped; called on the recorder's event loop, and returns at once."""
        now = self._clock()
        for one in news:
            self._untold.hear(one, now=now)
            self._woken.set()

    async def run(self) -> None:
        """Post Events until cancelled."""
        await keep_going("recorder", self._post_all)

    async def _post_all(self) -> None:
        while True:
            await self._turn()

    async def _turn(self) -> None:
        """Post what is due, or wait for something to be."""
        self._woken.clear()
        if asked := self._untold.unknown():
            async with self._pool.connection() as connection:
                uids = await status.uids(connection, asked, origin=Origin.KUBERNETES)
            self._untold.know(asked, uids)
        notice = self._untold.next(now=self._clock())
        self._count_dropped()
        if notice is not None:
            await self._post(notice)
            return
        try:
            async with asyncio.timeout(self._untold.pause(now=self._clock())):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _post(self, notice: Notice) -> None:
        rested = self._resting.get(notice.namespace, 0.0)
        if (now := self._clock()) < rested:
            self._untold.again(notice, now=now, after=rested - now)
            await asyncio.sleep(0)  # there may be thousands of them, and the clock runs on the same loop
            return
        result = await self._try(notice)
        now = self._clock()
        metrics.KUBERNETES_EVENTS.labels(result=result.value).inc()
        if result is Result.UNAVAILABLE:
            self._untold.again(notice, now=now, after=self._retry)
            await asyncio.sleep(self._backoff.next())
            return
        self._backoff.reset()
        if result is Result.POSTED:
            self._untold.told(notice, now=now)
            self._complained = False
        elif result is Result.GONE:
            self._untold.forget(notice)
        else:
            self._untold.again(notice, now=now, after=self._rest)
            if result is Result.FORBIDDEN:
                self._resting = {one: until for one, until in self._resting.items() if until > now}
                self._resting[notice.namespace] = now + self._rest

    async def _try(self, notice: Notice) -> Result:
        try:
            await (self._change(notice) if notice.made else self._make(notice))
        except Unavailable:
            return Result.UNAVAILABLE
        except Refused as refusal:
            if refusal.status == HTTPStatus.NOT_FOUND or _TERMINATING in refusal.causes:
                return Result.GONE
            if refusal.status == HTTPStatus.FORBIDDEN:
                self._complain(refusal)
                return Result.FORBIDDEN
            log.warning("event refused", task=f"{notice.namespace}/{notice.name}", error=str(refusal))
            return Result.REFUSED
        return Result.POSTED

    async def _make(self, notice: Notice) -> None:
        try:
            await self._kube.call("POST", _events(notice.namespace), body=event_of(notice, instance=self._instance))
        except Refused as refusal:
            if refusal.status != HTTPStatus.CONFLICT:
                raise
            # The answer to an earlier try was lost.
            await self._patch(notice)

    async def _change(self, notice: Notice) -> None:
        try:
            await self._patch(notice)
        except Refused as refusal:
            if refusal.status != HTTPStatus.NOT_FOUND:
                raise
            # The API server has forgotten it: its time was over.
            await self._make(notice)

    async def _patch(self, notice: Notice) -> None:
        path = f"{_events(notice.namespace)}/{name_of(notice)}"
        await self._kube.call("PATCH", path, body=change_of(notice), content_type=MERGE_PATCH)

    def _complain(self, refusal: Refused) -> None:
        """Say it once, until an Event could be posted."""
        if not self._complained:
            why = "events about skipped times refused; the operator's role needs create and patch of events"
            log.warning(why, error=str(refusal))
        self._complained = True

    def _count_dropped(self) -> None:
        if dropped := self._untold.dropped - self._dropped:
            metrics.KUBERNETES_EVENTS.labels(result=Result.DROPPED.value).inc(dropped)
            self._dropped += dropped


def _events(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/events"

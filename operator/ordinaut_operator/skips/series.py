"""
Which skipped times are to be told in an Event, and when: one Event for many times, and not too often.

Pure bookkeeping for the recorder. All times of a task that are skipped for the same reason make one series, which one
Event tells of; what is skipped later raises its count. Limits are those of client-go's recorder: so many writes to the
Events of a task at once, then one every five minutes. Unlike there, what is over the limit is not lost: it waits, and
the next write tells of all of it. Besides there is a limit for all tasks together, and one for how much is remembered.

Seconds are those of any clock that only goes forward, moments are the database's.
"""

import heapq
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

SETTLE: Final = 1.0
"""Seconds that a series waits for more before it is told: a long backlog is decided in many parts."""

BURST: Final = 25
REFILL: Final = 300.0
"""Writes to the Events of one task: so many at once, and one more after each so many seconds; as client-go has it."""

BURST_OF_ALL: Final = 50
REFILL_OF_ALL: Final = 0.1
"""The same for all tasks together: after an outage thousands of them skip times at the same moment."""

GIVE_UP: Final = 600.0
"""Seconds after which what could not be told is no news any more."""

SERIES_ENDS: Final = 3600.0
"""Seconds without a skipped time after which the next one begins a series: API servers keep an Event for an hour."""

TASKS: Final = 4096
"""Tasks that are remembered, those that skipped a time last."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """
    Nominal times of a task, skipped for the same reason by one firing transaction, whose time is ``at``.

    ``of_events``: not nominal times, but those of events that one of its triggers has matched.
    """

    task_id: int
    namespace: str
    name: str
    reason: str
    count: int
    first: datetime
    last: datetime
    at: datetime
    of_events: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """
    What an Event is to say: how many times, which ones, and from when to when they were skipped.

    ``made``: the Event is there already, as far as is known.
    """

    task_id: int
    namespace: str
    name: str
    uid: str
    reason: str
    count: int
    first: datetime
    last: datetime
    began: datetime
    latest: datetime
    made: bool
    of_events: bool = False


class Bucket:
    """A token bucket: ``size`` tokens, and one more after each ``refill`` seconds."""

    def __init__(self, size: int, *, refill: float) -> None:
        self._size = size
        self._refill = refill
        self._tokens = float(size)
        self._at = float("-inf")

    def wait(self, now: float) -> float:
        """Return the seconds until there is a token."""
        return max(0.0, (1.0 - self._level(now)) * self._refill)

    def take(self, now: float) -> None:
        """Take a token; whether there is one is the caller's question."""
        self._tokens = self._level(now) - 1.0
        self._at = now

    def _level(self, now: float) -> float:
        return min(float(self._size), self._tokens + max(0.0, now - self._at) / self._refill)


@dataclass(slots=True)
class _Series:
    count: int
    first: datetime
    last: datetime
    began: datetime
    latest: datetime
    heard: float
    made: bool = False


class _Task:
    """A task that has skipped times; ``uid`` is None while nobody has looked, and empty if it has no object."""

    __slots__ = ("bucket", "name", "namespace", "series", "uid")

    def __init__(self, namespace: str, name: str) -> None:
        self.namespace = namespace
        self.name = name
        self.uid: str | None = None
        self.bucket = Bucket(BURST, refill=REFILL)
        self.series: dict[_Why, _Series] = {}


_Why = tuple[str, bool]
"""Reason, and whether events were skipped."""

_Key = tuple[int, _Why]
"""Whose series it is."""


def _key(one: Skipped | Notice) -> _Key:
    return one.task_id, (one.reason, one.of_events)


class Untold:
    """Remembers what was skipped and not told; :attr:`dropped` counts the series that were given up."""

    def __init__(self, *, settle: float = SETTLE, tasks: int = TASKS) -> None:
        self._settle = settle
        self._limit = tasks
        self._tasks: OrderedDict[int, _Task] = OrderedDict()
        self._unknown: dict[int, None] = {}
        self._due: dict[_Key, float] = {}
        self._order: list[tuple[float, _Key]] = []  # may hold times that no longer count; `_due` decides
        self._all = Bucket(BURST_OF_ALL, refill=REFILL_OF_ALL)
        self.dropped = 0

    def hear(self, news: Skipped, *, now: float) -> None:
        """Put in that times were skipped."""
        task = self._remembered(news)
        if task.uid == "":
            return
        key = _key(news)
        series = task.series.get(key[1])
        if series is None or now - series.heard > SERIES_ENDS:
            task.series[key[1]] = _Series(news.count, news.first, news.last, news.at, news.at, now)
        else:
            series.count += news.count
            series.first = min(series.first, news.first)
            series.last = max(series.last, news.last)
            series.latest = max(series.latest, news.at)
            series.heard = now
        if key not in self._due:
            self._wait(key, until=now + max(self._settle, task.bucket.wait(now)))

    def unknown(self) -> Sequence[int]:
        """Return the tasks of which it is not known which object they are, if any."""
        return list(self._unknown)

    def know(self, asked: Collection[int], uids: Mapping[int, str]) -> None:
        """Put in which objects tasks are; those that have none are not told of."""
        for task_id in asked:
            self._unknown.pop(task_id, None)
            if (task := self._tasks.get(task_id)) is None:
                continue
            task.uid = uids.get(task_id, "")
            if not task.uid:
                for why in task.series:
                    self._due.pop((task_id, why), None)
                task.series.clear()

    def next(self, *, now: float) -> Notice | None:
        """Return what is to be told now, what waited longest first; None if nothing is."""
        if self._all.wait(now) > 0:
            return None
        while (key := self._head()) is not None and self._due[key] <= now:
            task_id, why = key
            task = self._tasks[task_id]
            series = task.series[why]
            if task.uid is None:
                return None
            heapq.heappop(self._order)
            del self._due[key]
            if now - series.heard > GIVE_UP:
                self._drop(task, why)
            elif (pause := task.bucket.wait(now)) > 0:  # another series of the task was faster
                self._wait(key, until=now + pause)
            else:
                return Notice(
                    task_id=task_id,
                    namespace=task.namespace,
                    name=task.name,
                    uid=task.uid,
                    reason=why[0],
                    count=series.count,
                    first=series.first,
                    last=series.last,
                    began=series.began,
                    latest=series.latest,
                    made=series.made,
                    of_events=why[1],
                )
        return None

    def told(self, notice: Notice, *, now: float) -> None:
        """Put in that an Event says it."""
        self._all.take(now)
        task = self._tasks.get(notice.task_id)
        if task is None:
            return
        task.bucket.take(now)
        series = task.series.get(_key(notice)[1])
        if series is not None and series.began == notice.began:
            series.made = True

    def again(self, notice: Notice, *, now: float, after: float) -> None:
        """Put in that it could not be told, and is to be tried again in so many seconds."""
        key = _key(notice)
        task = self._tasks.get(notice.task_id)
        if task is not None and key[1] in task.series:
            self._wait(key, until=now + after)

    def forget(self, notice: Notice) -> None:
        """Put in that nobody wants to be told: what is skipped later begins anew."""
        if (task := self._tasks.get(notice.task_id)) is not None:
            task.series.pop(_key(notice)[1], None)
            self._due.pop(_key(notice), None)

    def pause(self, *, now: float) -> float | None:
        """Return the seconds until there may be something to be told, None if nothing waits."""
        key = self._head()
        return None if key is None else max(0.0, self._due[key] - now, self._all.wait(now))

    def _remembered(self, news: Skipped) -> _Task:
        task = self._tasks.get(news.task_id)
        if task is None:
            task = self._tasks[news.task_id] = _Task(news.namespace, news.name)
            self._unknown[news.task_id] = None
            if len(self._tasks) > self._limit:
                self._evict()
        self._tasks.move_to_end(news.task_id)
        return task

    def _evict(self) -> None:
        task_id, task = self._tasks.popitem(last=False)
        self._unknown.pop(task_id, None)
        for why in task.series:
            if self._due.pop((task_id, why), None) is not None:
                self.dropped += 1

    def _drop(self, task: _Task, why: _Why) -> None:
        del task.series[why]
        self.dropped += 1

    def _wait(self, key: _Key, *, until: float) -> None:
        self._due[key] = until
        heapq.heappush(self._order, (until, key))
        if len(self._order) > 2 * len(self._due) + 1000:
            self._order = [(due, one) for one, due in self._due.items()]
            heapq.heapify(self._order)

    def _head(self) -> _Key | None:
        """Return the series that is due first, None if none waits."""
        while self._order:
            due, key = self._order[0]
            if self._due.get(key) == due:
                return key
            heapq.heappop(self._order)
        return None

"""
Whose turn it is: how a worker shares its free slots among the flows of a backlog.

A flow is the work of one urgency and one lane (a namespace) in a queue. An idle queue needs none of this: the loop
takes what there is. Once a batch comes back full there is a backlog, and the loop asks :meth:`Backlog.shares` what to
lease next, tells what came of it, and looks for other flows from time to time. Nothing here waits or reads a database.

The rules: the more urgent first, but each minute that a flow's oldest work waits lifts it by one level, up to that of
the most urgent flow and no further, so nothing starves, and what is urgent and has just come does not wait for all that
is old; within a level lanes take turns; and every fourth slot goes to the lane that was served least, whatever its
urgency, so that nobody keeps others out by calling everything urgent.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise, repeat
from typing import Final, NamedTuple

from ordinaut.store.work import Flow, Gap, LeasedWork, Share

AGEING: Final = 60.0
"""Seconds of waiting that lift a flow by one level of urgency."""

EVERYBODY: Final = 4
"""Each so many-th slot goes to the lane that was served least."""

FORGET: Final = 1.0
"""Seconds after which a place in a flow is forgotten: work may have come back before it."""

_LOWEST_LANE: Final = -(2**31) - 1
_HIGHEST_LANE: Final = 2**31
_URGENCIES: Final = range(10)


@dataclass(slots=True)
class _Progress:
    """What is known of one flow. Times are readings of ``time.monotonic()``."""

    due: float
    """When the oldest work that is left was due."""
    served: float
    """Turns that it had among the flows of its lane."""
    since: float
    """When its place was last at the beginning."""
    after_due: datetime | None = None
    after_id: int = 0


@dataclass(slots=True)
class _Lane:
    """A lane, the turns that it had, and its flows."""

    number: int
    served: float
    flows: dict[Flow, _Progress] = field(default_factory=dict)


class Backlog:
    """The flows that a worker knows, and the turns that they had."""

    def __init__(self) -> None:
        self._lanes: dict[int, _Lane] = {}
        self._slots = 0

    def __bool__(self) -> bool:
        """Whether there is a backlog, as far as is known."""
        return bool(self._lanes)

    def gaps(self, queues: Sequence[int]) -> list[Gap]:
        """Return where other flows may be."""
        known: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for lane in self._lanes.values():
            for flow in lane.flows:
                known[flow.queue, flow.urgency].append(flow.lane)
        return [
            Gap(queue, urgency, after, before)
            for queue in queues
            for urgency in _URGENCIES
            for after, before in _between(sorted(known.get((queue, urgency), ())))
        ]

    def found(self, flows: Mapping[Flow, timedelta], *, now: float) -> None:
        """Take in flows, each with how long its oldest work has been due."""
        for flow, waited in flows.items():
            self._add(flow, due=now - waited.total_seconds(), now=now)

    def begin(self, taken: Sequence[LeasedWork], *, now: float) -> None:
        """Take in what was leased without knowing any flows."""
        for one in taken:
            self._add(one.flow, due=now - _waited(one), now=now)
        self._pass(taken, now=now)

    def shares(self, free: int, *, now: float) -> list[Share]:
        """Return what to lease into free slots, never more than those."""
        turns = Counter(self._turns(free, now=now))
        return [self._share(flow, limit, now=now) for flow, limit in turns.items()]

    def leased(self, shares: Sequence[Share], taken: Sequence[LeasedWork], *, now: float) -> None:
        """
        Take in what came of shares.

        A flow that had less than its share is at its end, or has to be read from its beginning.
        """
        self._pass(taken, now=now)
        count = Counter(one.flow for one in taken)
        for share in shares:
            if count[share.flow] < share.limit:
                if share.after_due is None:
                    self._drop(share.flow)
                else:
                    _rewind(self._lanes[share.flow.lane].flows[share.flow], now=now)

    def _add(self, flow: Flow, *, due: float, now: float) -> None:
        """Take in a flow, if it is new: it begins with as many turns as the one that had least."""
        lane = self._lanes.get(flow.lane)
        if lane is None:
            least = min((known.served for known in self._lanes.values()), default=0.0)
            lane = self._lanes[flow.lane] = _Lane(flow.lane, least)
        if flow not in lane.flows:
            least = min((known.served for known in lane.flows.values()), default=0.0)
            lane.flows[flow] = _Progress(due, least, since=now)

    def _drop(self, flow: Flow) -> None:
        lane = self._lanes[flow.lane]
        del lane.flows[flow]
        if not lane.flows:
            del self._lanes[flow.lane]

    def _pass(self, taken: Sequence[LeasedWork], *, now: float) -> None:
        """Move places behind what was taken. The last of a flow is the furthest: the work comes in order."""
        for flow, one in {one.flow: one for one in taken}.items():
            known = self._lanes[flow.lane].flows[flow]
            known.after_due, known.after_id, known.due = one.due_at, one.id, now - _waited(one)

    def _share(self, flow: Flow, limit: int, *, now: float) -> Share:
        known = self._lanes[flow.lane].flows[flow]
        if now - known.since >= FORGET:
            _rewind(known, now=now)
        return Share(flow, limit, known.after_due, known.after_id)

    def _turns(self, slots: int, *, now: float) -> Iterator[Flow]:
        """Give slots away one by one."""
        if len(self._lanes) == 1 and len((lane := next(iter(self._lanes.values()))).flows) == 1:
            yield from repeat(next(iter(lane.flows)), slots)
            return
        most = min(flow.urgency for lane in self._lanes.values() for flow in lane.flows)
        claims = [_claim(lane, most=most, now=now) for lane in self._lanes.values()]
        first = min(claim.level for claim in claims)
        urgent, everybody = _Round(claim for claim in claims if claim.level == first), _Round(claims)
        for _ in range(slots):
            self._slots += 1
            yield (everybody if self._slots % EVERYBODY == 0 else urgent).next()


class _Claim(NamedTuple):
    """A lane with those of its flows that are the most urgent by now."""

    lane: _Lane
    level: int
    flows: list[Flow]

    def serve(self) -> Flow:
        """Give the lane a turn, and in it the flow that had least."""
        flow = min(self.flows, key=lambda one: self.lane.flows[one].served)
        self.lane.flows[flow].served += 1
        self.lane.served += 1
        return flow


class _Round:
    """Lanes in turns: the one that was served least comes next."""

    def __init__(self, claims: Iterable[_Claim]) -> None:
        self._next = [(claim.lane.served, claim.lane.number, claim) for claim in claims]
        heapq.heapify(self._next)

    def next(self) -> Flow:
        """Return whose turn it is, and count it."""
        served, number, claim = self._next[0]
        while served != claim.lane.served:
            # It had turns otherwise, too.
            heapq.heapreplace(self._next, (claim.lane.served, number, claim))
            served, number, claim = self._next[0]
        flow = claim.serve()
        heapq.heapreplace(self._next, (claim.lane.served, number, claim))
        return flow


def _claim(lane: _Lane, *, most: int, now: float) -> _Claim:
    levels = {flow: max(most, flow.urgency - int((now - known.due) / AGEING)) for flow, known in lane.flows.items()}
    level = min(levels.values())
    return _Claim(lane, level, [flow for flow in levels if levels[flow] == level])


def _rewind(known: _Progress, *, now: float) -> None:
    known.after_due, known.after_id, known.since = None, 0, now


def _waited(one: LeasedWork) -> float:
    """Return for how many seconds work was due when it was leased, by the database's clock."""
    return (one.leased_at - one.due_at).total_seconds() if one.is_open else 0.0


def _between(lanes: Sequence[int]) -> Iterator[tuple[int, int]]:
    edges = [_LOWEST_LANE, *lanes, _HIGHEST_LANE]
    return ((after, before) for after, before in pairwise(edges) if before - after > 1)

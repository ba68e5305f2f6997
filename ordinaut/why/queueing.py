"""
Why a run that could start has no worker yet: are there any, are they busy, and who comes first. Pure.

The position is a bound, not a place in a line: the namespaces of a queue take turns, more urgent runs go first, and
runs rise while they wait. What is counted is what waits now.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from ordinaut.causes import Cause, Level
from ordinaut.shapes import Because, QueuePosition
from ordinaut.store.position import MOST, Queued
from ordinaut.store.why import LiveWorker, RunFacts
from ordinaut.why.releases import Releases
from ordinaut.why.wording import SOON, moment

EVERYBODY: Final = 4
"""Each so many-th run that starts is of the namespace that was served least, however urgent the others are."""


def causes(facts: RunFacts, queued: Queued) -> Iterator[Because]:
    """Yield why a run is still in its queue."""
    row = facts.row
    since = queued.due_at or row.created_at
    place = position(queued)
    workers = facts.workers
    yield from unserved(queued.queue, workers, namespace=row.namespace)
    free = sum(max(0, worker.slots - worker.busy) for worker in workers)
    if workers and not free:
        yield Because(
            reason=Cause.WORKERS_BUSY,
            level=Level.BLOCKING,
            message=_all_taken(workers, queued.queue),
            since=since,
            queue=queued.queue,
            position=place,
            action=Releases(row.namespace).free_slots(queued.queue),
        )
    waits_long = row.now - since > SOON
    text = f"it is in queue {queued.queue} since {moment(since)}, and {_words(place)} before it"
    if queued.is_ward:
        text += "; its workers were lost so often that a worker takes only one such run at a time"
    elif free and not waits_long:
        text += ": a worker takes it any moment"
    yield Because(
        reason=Cause.QUEUED,
        level=Level.NOTE if waits_long or not free else Level.GOOD,
        message=text,
        since=since,
        queue=queued.queue,
        position=place,
    )


def unserved(queue: str, workers: Sequence[LiveWorker], *, namespace: str) -> Iterator[Because]:
    """Yield that no worker takes runs of a queue."""
    if not workers:
        yield Because(
            reason=Cause.NO_WORKER,
            level=Level.BLOCKING,
            message=f"no live worker takes runs of queue {queue}",
            queue=queue,
            action=Releases(namespace).staff(queue),
        )


def position(queued: Queued) -> QueuePosition:
    """Return how many runs may start before one, of those that wait now."""
    ahead = queued.own + queued.sooner
    total = ahead + min(queued.seldom, ahead // (EVERYBODY - 1) + 1)
    return QueuePosition(before=min(total, MOST), more=queued.more or total > MOST)


def _words(place: QueuePosition) -> str:
    if place.more:
        return f"more than {place.before:,} others may start"
    if place.before <= 1:
        return f"{'at most one other starts' if place.before else 'no other starts'}"
    return f"at most {place.before:,} others start"


def _all_taken(workers: Sequence[LiveWorker], queue: str) -> str:
    slots = sum(worker.slots for worker in workers)
    if slots == 1:
        return f"the only slot of queue {queue}, of worker {workers[0].name}, is taken"
    whose = f"worker {workers[0].name}" if len(workers) == 1 else f"{len(workers)} workers"
    return f"all {slots:,} slots of queue {queue}, of {whose}, are taken"

"""
What a transaction that reacted to events tells: events of its own, metrics, Kubernetes Events, spans.

Pure; :mod:`carrying` writes the events, and whoever has committed calls :func:`tell`, which must not wait. What was
skipped of events that themselves tell of skipped ones is told no further: tasks that are triggered by it would never
come to an end.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from ordinaut import metrics, spans
from ordinaut.events.envelope import Event
from ordinaut.logging import get_logger
from ordinaut.resources.moment import format_instant
from ordinaut.spans import Span
from ordinaut.states import EventOutcome, EventSkipReason, Trigger
from ordinaut_operator.events.bundles import Item
from ordinaut_operator.events.hops import SKIPPED
from ordinaut_operator.events.judgement import Ruling
from ordinaut_operator.fire import Tell
from ordinaut_operator.skips.series import Skipped

log = get_logger(__name__)


@dataclass(slots=True)
class Reactions:
    """
    What came of events: how many ``fired``, each in a run of its own or with others, were ``skipped``, or are
    ``gathered`` from now on. The rest is for :func:`tell`.
    """

    fired: int = 0
    skipped: int = 0
    gathered: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    lags: list[float] = field(default_factory=list)
    skips: list[Skipped] = field(default_factory=list)
    spans: "list[Span]" = field(default_factory=list)

    def add(self, other: "Reactions") -> None:
        """Count in what else the transaction did."""
        self.fired += other.fired
        self.skipped += other.skipped
        self.gathered += other.gathered
        self.outcomes += other.outcomes
        self.lags += other.lags
        self.skips += other.skips
        self.spans += other.spans


def tell(reactions: Reactions, *, told: Tell | None = None) -> None:
    """Tell what a transaction did that has committed; ``told`` takes in what was skipped."""
    if not reactions.outcomes and not reactions.gathered:
        return
    log.info("reacted to events", fired=reactions.fired, skipped=reactions.skipped, gathered=reactions.gathered)
    metrics.count_event_fires(reactions.outcomes)
    for lag in reactions.lags:
        metrics.EVENT_FIRE_LAG.observe(lag)
    if spans.receiver is not None:
        spans.receiver.record(reactions.spans)
    if told is not None and reactions.skips:
        told(reactions.skips)


def reactions_of(rulings: Sequence[Ruling], *, gathered: int) -> Reactions:
    """Return what rulings come to; they are in the order of their tasks, and ``gathered`` events wait."""
    done = Reactions(gathered=gathered)
    for ruling in rulings:
        count = len(ruling.bundle.items)
        done.outcomes[ruling.reason or EventOutcome.FIRED] += count
        if ruling.run is None:
            done.skipped += count
            continue
        done.fired += count
        task, last = ruling.task, ruling.bundle.last
        if last.kept is None:
            done.lags.append(max(0.0, (task.now - last.match.created_at).total_seconds()))
        if spans.receiver is not None:
            run, at = str(ruling.run.run_id), task.now.timestamp()
            done.spans.append(
                spans.request(run=run, namespace=task.namespace, task=task.name, trigger=Trigger.EVENT, at=at)
            )
    # Only what is made through the API has a creator.
    done.skips = [one for one, ruling, _ in _skipped(rulings) if ruling.task.creator is None]
    return done


def events_of(rulings: Sequence[Ruling]) -> Iterator[Event]:
    """Yield an event for each run, and one for all events of a task that were skipped for the same reason."""
    for ruling in rulings:
        if ruling.run is not None:
            yield _created(ruling)
    for one, ruling, hops in _skipped(rulings, again=False):
        data = {
            "reason": one.reason,
            "count": one.count,
            "firstTime": format_instant(one.first),
            "lastTime": format_instant(one.last),
            "trigger": Trigger.EVENT,
            "hops": hops,
        }
        yield Event("task.skipped", ruling.task.namespace, ruling.task.name, data=data)


def _created(ruling: Ruling) -> Event:
    task, bundle = ruling.task, ruling.bundle
    data = {
        "trigger": Trigger.EVENT,
        "topic": bundle.trigger.topic,
        "event": bundle.last.match.event["id"],
        "source": bundle.last.match.event["source"],
    }
    if bundle.trigger.batch is not None:
        data["count"] = len(bundle.items)
    assert ruling.run is not None  # noqa: S101 - the caller has checked
    return Event("run.created", task.namespace, task.name, run=str(ruling.run.run_id), data=data)


def _skipped(rulings: Sequence[Ruling], *, again: bool = True) -> Iterator[tuple[Skipped, Ruling, int]]:
    """
    Yield what was skipped of each task for each reason, with one of the rulings and the hops of all of them.

    Nobody is told of what another event has taken the place of: it was meant to. ``again``: what was skipped of events
    that tell of skipped ones is told, too.
    """
    refused = [one for one in rulings if one.reason is not None and one.reason is not EventSkipReason.DEBOUNCED]
    ordered = sorted(refused, key=_task_and_reason)
    for (_, reason), group in groupby(ordered, key=_task_and_reason):
        several = list(group)
        items = [item for one in several for item in one.bundle.items if again or not _tells_of_skips(item)]
        if not items:
            continue
        task, times = several[0].task, sorted(item.match.created_at for item in items)
        found = Skipped(
            task.task_id,
            task.namespace,
            task.name,
            reason,
            len(items),
            times[0],
            times[-1],
            task.now,
            of_events=True,
        )
        yield found, several[0], max(item.hops for item in items)


def _task_and_reason(ruling: Ruling) -> tuple[int, str]:
    return ruling.task.task_id, ruling.reason or ""


def _tells_of_skips(item: Item) -> bool:
    return bool(item.match.event["type"] == SKIPPED)

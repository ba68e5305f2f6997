"""
What the processes measure: stores, clock, queue, events, resources; and which monitors are set up.

Called by ``health.judge``; pure. A metric that an older or newer version does not have is left out, never guessed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from ordinaut_cli import times
from ordinaut_cli.cluster.facts import Facts, variable
from ordinaut_cli.cluster.samples import Samples
from ordinaut_cli.findings import Finding, bad, note

OVERDUE: Final = 30.0
"""Seconds that a nominal time may be due before somebody should look: the alert has the same."""

OLD_WORK: Final = 300.0
"""Seconds that a run may wait for a worker before somebody should look: the alert has the same."""

OLD_EVENTS: Final = 300.0
"""Seconds that an event may be on its way to the stream before somebody should look: the alert has the same."""

OLD_TRIGGERS: Final = 60.0
"""Seconds that an event may wait to be compared with triggers before somebody should look: the alert has the same."""

DAYS_AHEAD: Final = 2.0
"""Days for which partitions must be there: the alert has the same."""


@dataclass(frozen=True, slots=True)
class Store:
    """PostgreSQL or Redis, as the processes see it."""

    name: str
    up: bool | None
    detail: str = ""

    @property
    def state(self) -> str:
        """One word."""
        return {True: "ok", False: "DOWN", None: "unknown"}[self.up]


@dataclass(frozen=True, slots=True)
class Measures:
    """What is shown; each line is empty where nothing is known."""

    stores: tuple[Store, ...] = ()
    lines: tuple[tuple[str, str], ...] = ()
    """The name of a part and what is said about it."""
    values: tuple[tuple[str, float | str | None], ...] = ()
    """The same as plain values, by the names that programs get."""

    def as_data(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "stores": [{"name": one.name, "state": one.state, "detail": one.detail or None} for one in self.stores],
            "measures": dict(self.values),
        }


def judge(facts: Facts) -> tuple[Measures, list[Finding]]:
    """Return what is measured and what is wrong with it."""
    samples = facts.samples("operator")
    stores = tuple(_stores(facts, samples))
    lines = (
        ("CLOCK", _clock(facts, samples)),
        ("QUEUE", _queue(samples)),
        ("EVENTS", _events(samples)),
        ("TASKS", _tasks(samples)),
        ("MONITORS", _monitors(facts)),
    )
    values = tuple((name, read(facts.samples())) for name, read in _VALUES)
    findings = [*_of_clock(facts, samples), *_of_queue(facts, samples), *_of_house(facts, samples), *_of_tasks(facts)]
    return Measures(stores, tuple(line for line in lines if line[1]), values), findings


def _gauge(name: str, **labels: str) -> Callable[[Samples], float | None]:
    return lambda samples: samples.max(name, **labels)


def _counter(name: str, **labels: str) -> Callable[[Samples], float | None]:
    return lambda samples: samples.sum(name, **labels)


_VALUES: Final = (
    ("overdueSeconds", _gauge("ordinaut_schedule_overdue_seconds")),
    ("claimable", _gauge("ordinaut_queue_depth")),
    ("oldestSeconds", _gauge("ordinaut_queue_oldest_age_seconds")),
    ("leased", _gauge("ordinaut_queue_leased")),
    ("waiting", _gauge("ordinaut_queue_delayed")),
    ("slots", _counter("ordinaut_worker_slots")),
    ("busySlots", _counter("ordinaut_worker_slots_busy")),
    ("outbox", _gauge("ordinaut_outbox_rows")),
    ("outboxSeconds", _gauge("ordinaut_outbox_lag_seconds")),
    ("triggersBacklog", _gauge("ordinaut_event_backlog_rows", reader="triggers")),
    ("triggersSeconds", _gauge("ordinaut_event_backlog_seconds", reader="triggers")),
    ("streamBacklog", _gauge("ordinaut_event_backlog_rows", reader="stream")),
    ("streamSeconds", _gauge("ordinaut_event_backlog_seconds", reader="stream")),
    ("fired", _counter("ordinaut_fires_total", outcome="Fired")),
    ("parked", _counter("ordinaut_runs_total", phase="Parked")),
    ("tasksReady", _gauge("ordinaut_tasks", state="ready")),
    ("tasksNotReady", _gauge("ordinaut_tasks", state="not_ready")),
    ("tasksPaused", _gauge("ordinaut_tasks", state="paused")),
)


# -- what is shown -----------------------------------------------------------------------------------------------------


def _stores(facts: Facts, samples: Samples) -> Iterator[Store]:
    lacking = {need: why for _, _, need, why in facts.reasons()}
    heard = [one for one in facts.heard.values() if one.reasons is not None]
    database = None if not heard else "database" not in lacking
    yield Store("postgres", database, lacking.get("database", _database(samples)))
    operators = [one for pod in facts.pods("operator") if (one := facts.heard.get(pod["metadata"]["name"]))]
    if events_are_off(facts):
        yield Store("redis", None, "not used: events stay in PostgreSQL")
    elif any(one.reasons is not None for one in operators):
        yield Store("redis", "redis" not in lacking, _without_redis(lacking.get("redis"), samples))
    else:
        yield Store("redis", None)


def _database(samples: Samples) -> str:
    size = samples.max("ordinaut_database_size_bytes")
    oldest = samples.max("ordinaut_database_oldest_transaction_seconds")
    told = [] if size is None else [f"{size / 2**20:,.0f} MiB"]
    return ", ".join([*told, *([] if oldest is None else [f"oldest transaction {times.measured(oldest)}"])])


def _without_redis(why: str | None, samples: Samples) -> str:
    if why is None:
        return ""
    waiting = samples.max("ordinaut_event_backlog_rows", reader="stream") or 0
    return f"{why}; the events of {waiting:,.0f} transactions wait for it, nothing is lost"


def events_are_off(facts: Facts) -> bool:
    """Whether the operator was told to do without Redis."""
    return variable(facts.deployment("operator"), "ORDINAUT_EVENTS") == "off"


def _clock(facts: Facts, samples: Samples) -> str:
    told = []
    lag = samples.quantile("ordinaut_schedule_lag_seconds", 0.99)
    if lag is not None:
        told.append(f"99 % within {times.measured(lag)}")
    overdue = samples.max("ordinaut_schedule_overdue_seconds")
    if overdue:
        told.append(f"overdue {times.measured(overdue)}")
    outcomes = samples.by("ordinaut_fires_total", "outcome")
    if outcomes:
        fired = outcomes.pop("Fired", 0.0)
        told.append(f"fired {fired:,.0f}, skipped {sum(outcomes.values()):,.0f} since the operators started")
    if upcoming := samples.min("ordinaut_next_fire_timestamp_seconds"):
        at = datetime.fromtimestamp(upcoming, UTC).isoformat().replace("+00:00", "Z")
        told.append(f"next {at} ({times.distance(at, now=facts.now)})")
    return "   ".join(told)


def _queue(samples: Samples) -> str:
    return _told(
        samples,
        ("claimable", "ordinaut_queue_depth", _count),
        ("oldest", "ordinaut_queue_oldest_age_seconds", times.measured),
        ("leased", "ordinaut_queue_leased", _count),
        ("waiting", "ordinaut_queue_delayed", _count),
    )


def _events(samples: Samples) -> str:
    readers = (("triggers", "compared with triggers"), ("stream", "appended to the stream"))
    told = []
    for reader, what in readers:
        rows = samples.max("ordinaut_event_backlog_rows", reader=reader)
        age = samples.max("ordinaut_event_backlog_seconds", reader=reader) or 0
        if rows is not None:
            told.append(f"to be {what} {_count(rows)}" + (f", oldest {times.measured(age)}" if rows else ""))
    return "   ".join(told)


def _told(samples: Samples, *parts: tuple[str, str, Callable[[float], str]]) -> str:
    known = ((name, samples.max(metric), form) for name, metric, form in parts)
    return "   ".join(f"{name} {form(value)}" for name, value, form in known if value is not None)


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _tasks(samples: Samples) -> str:
    states = (("ready", "Ready"), ("not_ready", "NotReady"), ("paused", "paused"))
    known = ((samples.max("ordinaut_tasks", state=state), name) for state, name in states)
    return ", ".join(f"{value:,.0f} {name}" for value, name in known if value is not None)


def _monitors(facts: Facts) -> str:
    kinds = (
        ("podmonitors", "PodMonitor"),
        ("servicemonitors", "ServiceMonitor"),
        ("prometheusrules", "PrometheusRule"),
    )
    there = [name for plural, name in kinds if facts.others.get(plural)]
    known = any(plural in facts.others for plural, _ in kinds)
    return ", ".join(there) or ("none; switch them on with metrics.podMonitor.enabled" if known else "")


# -- what is wrong -----------------------------------------------------------------------------------------------------


def _of_clock(facts: Facts, samples: Samples) -> Iterator[Finding]:
    overdue = samples.max("ordinaut_schedule_overdue_seconds") or 0
    if overdue > OVERDUE:
        text = f"tasks are late: a time has been due for {times.span(overdue)} and nobody fires it"
        yield bad(text, f"kubectl -n {facts.namespace} logs -l app.kubernetes.io/component=operator --tail=20")


def _of_queue(facts: Facts, samples: Samples) -> Iterator[Finding]:
    oldest, depth = samples.max("ordinaut_queue_oldest_age_seconds") or 0, samples.max("ordinaut_queue_depth") or 0
    if depth and oldest > OLD_WORK:
        workers = f"kubectl -n {facts.namespace} get pods -l app.kubernetes.io/component=worker"
        text = f"{depth:,.0f} runs wait for a worker, the oldest for {times.span(oldest)}"
        yield bad(f"{text}: there are too few workers, or they are stuck", workers)
    if unserved := samples.max("ordinaut_queues_unserved"):
        yield bad(f"{unserved:,.0f} queues have runs and no worker", "kubectl ordinaut workers -n NAMESPACE")
    parked = facts.samples().sum("ordinaut_runs_total", phase="Parked") or 0
    if parked:
        text = f"{parked:,.0f} runs were parked since the processes started: their workers were lost too often"
        yield note(text, "kubectl ordinaut runs --phase Parked -n NAMESPACE")


def _of_house(facts: Facts, samples: Samples) -> Iterator[Finding]:
    logs = f"kubectl -n {facts.namespace} logs -l app.kubernetes.io/component=operator --tail=50"
    for invariant, count in samples.by("ordinaut_invariant_violations_total", "invariant").items():
        if count:
            yield bad(
                f"invariant violated {count:.0f} times: {invariant}; please report it", "kubectl ordinaut report --logs"
            )
    days = samples.max("ordinaut_partition_days_ahead")
    if days is not None and days < DAYS_AHEAD:
        yield bad(f"partitions of the history are there for {days:.0f} days only", logs)
    triggers = samples.max("ordinaut_event_backlog_seconds", reader="triggers") or 0
    if triggers > OLD_TRIGGERS:
        yield bad(f"events trigger tasks late: the oldest has waited {times.span(triggers)}", logs)
    lag = samples.max("ordinaut_event_backlog_seconds", reader="stream") or 0
    if lag > OLD_EVENTS and not any(need == "redis" for _, _, need, _ in facts.reasons()):
        yield bad(f"events are late: the oldest has waited {times.span(lag)}", logs)
    failures = samples.sum("ordinaut_sync_failures_total") or 0
    if failures and samples.max("ordinaut_sync_pending"):
        yield note(f"objects wait to be taken over, {failures:.0f} attempts failed since the operators started", logs)


def _of_tasks(facts: Facts) -> Iterator[Finding]:
    for one in facts.troubles:
        text = f"task {one.namespace}/{one.name}: {one.reason}: {one.message}"
        yield note(text, f"kubectl ordinaut why {one.namespace}/{one.name}")

"""
Every metric of Ordinaut, declared once; `docs/metrics.md` explains them.

Whoever does something counts it here, whoever scrapes a process gets from `probes` what stands here. :func:`begin`
leaves a process only its own metrics: a worker that showed the depth of the queue, as 0, would lie.

Labels never grow with what users write: names of theirs pass a :class:`Bound` first. Counters whose labels have fixed
values exist from the start, at 0: Prometheus sees no increase in what was not there. Hot paths count per batch, not per
item.
"""

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from itertools import product
from typing import Final, TypeVar

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.samples import Sample

from ordinaut import __version__
from ordinaut.states import EventOutcome, EventSkipReason, FireOutcome, RunPhase, SkipReason

Metric = TypeVar("Metric", bound=MetricWrapperBase)

_LAG = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_DURATION = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600)

_NOT_MEASURED: Final = float("nan")
"""No alert takes it for a figure, as it would a 0."""

AT_ONCE: Final = 1000
"""Values that a histogram puts into its buckets at once, at most."""

_owners: dict[MetricWrapperBase, frozenset[str]] = {}

# One more series for each series, and nobody asks when a counter was made.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Bound:
    """
    Bounds the values of a label that users choose: so many in the life of a process, the others are all ``_other``.

    No name of an object begins with an underscore, so nobody can take that one.
    """

    OTHER: Final = "_other"

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def __call__(self, name: str) -> str:
        """Return the value of the label for a name."""
        if name not in self._known:
            if len(self._known) >= self._limit:
                return self.OTHER
            self._known.add(name)
        return name


class BatchHistogram(Histogram):
    """
    A histogram that is told thousands of values a second: it puts many of them into their buckets at once.

    It is told and read in one thread. It adds to the counts inside `Histogram`, which has no way for that; a test holds
    it to what `Histogram` shows.
    """

    def _metric_init(self) -> None:
        super()._metric_init()
        self._told: list[float] = []

    def observe(self, amount: float, exemplar: object = None) -> None:  # noqa: ARG002 - as that of Histogram
        """Take in a value."""
        self.observe_all((amount,))

    def observe_all(self, amounts: Iterable[float]) -> None:
        """Take in values."""
        self._told += amounts
        if len(self._told) >= AT_ONCE:
            self._count()

    def _count(self) -> None:
        """Put what was told into its buckets: one addition for each that has any, instead of two for each value."""
        told, self._told = self._told, []
        self._sum.inc(sum(told))
        for place, count in Tally(bisect_left(self._upper_bounds, amount) for amount in told).items():
            self._buckets[place].inc(count)

    def _child_samples(self) -> Iterable[Sample]:
        self._count()
        return super()._child_samples()


def _of(processes: str, metric: Metric, *fixed: Iterable[str]) -> Metric:
    """
    Return a metric of some processes.

    ``fixed`` are the values of its labels, one sequence for each: every combination exists from the start.
    """
    _owners[metric] = frozenset(processes.split())
    if fixed:
        for values in product(*fixed):
            metric.labels(*values)
    return metric


def _unmeasured(gauge: Gauge) -> Gauge:
    """Return a gauge that shows no number until it is measured."""
    gauge.set(_NOT_MEASURED)
    return gauge


# ---------------------------------------------------------------- every process

_EVERY = "operator worker api"

SPANS_DROPPED = _of(_EVERY, Counter("ordinaut_spans_dropped", "Spans of traces that the collector did not get."))
BUILD_INFO = _of(
    _EVERY,
    Gauge("ordinaut_build_info", "Always 1; the labels say what runs here.", ["process", "version", "tzdata"]),
)
READY = _of(_EVERY, Gauge("ordinaut_ready", "Whether the process can do its job (1) or not (0)."))
NEED_MISSING = _of(_EVERY, Gauge("ordinaut_need_missing", "Whether a need is not met (1) or met (0).", ["need"]))
SCHEMA_EXPECTED = _of(
    _EVERY,
    _unmeasured(Gauge("ordinaut_schema_expected_version", "The last migration that this process knows.")),
)
SCHEMA_VERSION = _of(_EVERY, _unmeasured(Gauge("ordinaut_schema_version", "The last migration that the database has.")))
RUNS = _of(
    _EVERY, Counter("ordinaut_runs", "Runs that ended, by final phase and namespace.", ["phase", "task_namespace"])
)

# ---------------------------------------------------------------- the operator: time

FIRES = _of(
    "operator",
    Counter("ordinaut_fires", "Nominal times decided, by outcome: Fired or the reason for skipping.", ["outcome"]),
    [FireOutcome.FIRED, *SkipReason],
)
EVENT_FIRES = _of(
    "operator",
    Counter(
        "ordinaut_event_fires",
        "Events that triggers matched and that were decided, by outcome: Fired or the reason for skipping.",
        ["outcome"],
    ),
    [EventOutcome.FIRED, *EventSkipReason],
)
EVENT_FIRE_LAG = _of(
    "operator",
    Histogram(
        "ordinaut_event_fire_lag_seconds",
        "From an event's acceptance to its run being in the queue, where it waits for no others.",
        buckets=_LAG,
    ),
)
SCHEDULE_LAG = _of(
    "operator",
    Histogram(
        "ordinaut_schedule_lag_seconds",
        "From a nominal time to its run being in the queue; catching up shows as a long one.",
        buckets=_LAG,
    ),
)
SCHEDULE_OVERDUE = _of(
    "operator",
    _unmeasured(
        Gauge("ordinaut_schedule_overdue_seconds", "How long the oldest due task has been due and not been fired.")
    ),
)
NEXT_FIRE = _of(
    "operator",
    _unmeasured(Gauge("ordinaut_next_fire_timestamp_seconds", "When the next task fires; NaN if none ever does.")),
)
TASKS = _of("operator", Gauge("ordinaut_tasks", "Declared tasks: ready, paused or not ready.", ["state"]))
CREATOR_REVIEWS = _of(
    "operator",
    Counter("ordinaut_creator_reviews", "Questions whether a task's creator may still run it, by answer.", ["result"]),
    ["allowed", "denied", "unanswered"],
)
CLOCK_TASKS_MOVED = _of(
    "operator", Counter("ordinaut_tzdata_moved_tasks", "Tasks whose next time moved with new time zone data.")
)

# ---------------------------------------------------------------- the operator: queue and events

QUEUE_DEPTH = _of("operator", Gauge("ordinaut_queue_depth", "Runs that a worker could take now."))
QUEUE_OLDEST_AGE = _of(
    "operator", Gauge("ordinaut_queue_oldest_age_seconds", "Age of the oldest run that a worker could take now.")
)
QUEUE_IN_TURN = _of("operator", Gauge("ordinaut_queue_waiting_turn", "Runs that wait for others of their task."))
QUEUE_KEYED = _of("operator", Gauge("ordinaut_queue_waiting_key", "Runs that wait for a concurrency key."))
KEYS_HELD = _of("operator", Gauge("ordinaut_keys_held", "Slots of concurrency keys that runs hold."))
KEYS_HEALED = _of("operator", Counter("ordinaut_keys_healed", "Ended runs whose slots of concurrency keys were freed."))
QUEUE_DELAYED = _of("operator", Gauge("ordinaut_queue_delayed", "Runs that wait for a later time."))
QUEUES_UNSERVED = _of(
    "operator", Gauge("ordinaut_queues_unserved", "Queues with runs that could start now, of which no worker lives.")
)
WORKERS_LIVE = _of("operator", Gauge("ordinaut_workers_live", "Workers that have given a sign of life lately."))
QUEUE_LEASED = _of("operator", Gauge("ordinaut_queue_leased", "Runs under a lease."))
LEASE_EXPIRED = _of("operator", Counter("ordinaut_lease_expired", "Runs taken back from workers whose lease ran out."))
INVARIANT_VIOLATIONS = _of(
    "operator",
    Counter("ordinaut_invariant_violations", "Findings of what must never be, by invariant.", ["invariant"]),
)
OUTBOX_ROWS = _of("operator", Gauge("ordinaut_outbox_rows", "Transactions whose events are not in the log yet."))
OUTBOX_AGE = _of(
    "operator", Gauge("ordinaut_outbox_lag_seconds", "Age of the oldest event that is not in the log yet.")
)
_READERS: Final = ["triggers", "stream"]
EVENT_BACKLOG_ROWS = _of(
    "operator",
    Gauge("ordinaut_event_backlog_rows", "Transactions whose events a reader has not come to yet.", ["reader"]),
    _READERS,
)
EVENT_BACKLOG_AGE = _of(
    "operator",
    Gauge("ordinaut_event_backlog_seconds", "Age of the oldest event that a reader has not come to yet.", ["reader"]),
    _READERS,
)
EVENTS_RELAYED = _of("operator", Counter("ordinaut_events_relayed", "Events appended to the stream."))
EVENTS_PASSED_OVER = _of(
    "operator",
    Counter("ordinaut_events_passed_over", "Rows of events that no task could be triggered by, because of a defect."),
)
STREAM_REFILLS = _of(
    "operator",
    Counter("ordinaut_stream_refills", "Times that the stream lacked events which it had, and got them again."),
)
INBOX_EVENTS = _of(
    "operator",
    Counter("ordinaut_inbox_events", "Entries taken from the inbox, by result.", ["result"]),
    ["accepted", "rejected"],
)
INBOX_ENTRIES = _of("operator", Gauge("ordinaut_inbox_entries", "Entries of the inbox that are not published yet."))

# ---------------------------------------------------------------- the operator: database and loops

PARTITION_DAYS_AHEAD = _of(
    "operator",
    _unmeasured(Gauge("ordinaut_partition_days_ahead", "Days after today that have their partitions, up to 30.")),
)
OLDEST_TRANSACTION = _of(
    "operator",
    _unmeasured(
        Gauge("ordinaut_database_oldest_transaction_seconds", "Age of the oldest transaction that can be seen.")
    ),
)
DATABASE_SIZE = _of(
    "operator", _unmeasured(Gauge("ordinaut_database_size_bytes", "Size of the database on its server's disk."))
)
JOB_FAILURES = _of("operator", Counter("ordinaut_job_failures", "Failed rounds of a control loop, by loop.", ["loop"]))

# ---------------------------------------------------------------- the operator: Kubernetes

SYNCED = _of(
    "operator",
    Counter(
        "ordinaut_synced_objects", "Objects taken over from the source, by kind and what was done.", ["kind", "action"]
    ),
    ["Task", "Pipeline", "Tool", "Hook"],
    ["changed", "removed"],
)
SYNC_PENDING = _of("operator", Gauge("ordinaut_sync_pending", "Objects seen that are not in PostgreSQL yet."))
SYNC_FAILURES = _of(
    "operator",
    Counter("ordinaut_sync_failures", "Attempts to take objects over that failed and are tried again."),
)
STATUS_WRITES = _of(
    "operator",
    Counter("ordinaut_status_writes", "Status patches sent to the API server, by result.", ["result"]),
    ["written", "gone", "refused", "unavailable", "failed"],
)
KUBERNETES_EVENTS = _of(
    "operator",
    Counter(
        "ordinaut_kubernetes_events", "Posts of Events about skipped times to the API server, by result.", ["result"]
    ),
    ["posted", "gone", "forbidden", "refused", "unavailable", "dropped"],
)
LEADER = _of("operator", Gauge("ordinaut_leader", "Whether this replica writes status (1) or not (0)."))
LEADER_SINCE = _of(
    "operator",
    Gauge("ordinaut_leader_since_timestamp_seconds", "Since when this replica writes status; 0 if it does not."),
)

# ---------------------------------------------------------------- the worker

PICKUP_LAG = _of(
    "worker",
    BatchHistogram("ordinaut_pickup_lag_seconds", "From being claimable to a worker's lease.", buckets=_LAG),
)
FENCED_WRITES = _of(
    "worker",
    Counter("ordinaut_fenced_writes", "Results dropped because the lease was lost or the run had ended."),
)
RUN_DURATION = _of(
    "worker",
    BatchHistogram("ordinaut_run_duration_seconds", "From a run's first start to its end.", buckets=_DURATION),
)
STEP_DURATION = _of(
    "worker", BatchHistogram("ordinaut_step_duration_seconds", "One try of a step.", ["tool"], buckets=_DURATION)
)
SLOTS = _of("worker", Gauge("ordinaut_worker_slots", "Runs that this worker can hold at once."))
SLOTS_BUSY = _of("worker", Gauge("ordinaut_worker_slots_busy", "Runs that this worker holds."))

# ---------------------------------------------------------------- the api

HTTP_REQUESTS = _of(
    "api",
    Counter(
        "ordinaut_http_requests", "API requests by route template, method and status.", ["route", "method", "status"]
    ),
)
HTTP_DURATION = _of(
    "api",
    Histogram("ordinaut_http_request_duration_seconds", "API requests by route template.", ["route"], buckets=_LAG),
)
AUTHENTICATION_FAILURES = _of(
    "api",
    Counter(
        "ordinaut_authentication_failures",
        "API requests without a known caller, by what they were answered.",
        ["result"],
    ),
    ["refused", "limited", "unavailable"],
)
DENIALS = _of(
    "api",
    Counter(
        "ordinaut_denials",
        "API requests that their caller had no right to, and whether the audit trail shows them.",
        ["audited"],
    ),
    ["yes", "no"],
)
WEBHOOKS = _of(
    "api",
    Counter("ordinaut_webhooks", "Deliveries to hooks, by what became of them.", ["outcome"]),
    ["accepted", "repeated", "refused", "late", "limited", "unavailable", "invalid"],
)

# ---------------------------------------------------------------- filling them

TASK_NAMESPACE = Bound(200)
TOOL = Bound(100)


def begin(process: str, *, tzdata: str) -> None:
    """Leave only the metrics of this process, and say what it is; called once, at its start."""
    for metric, owners in _owners.items():
        if process not in owners:
            REGISTRY.unregister(metric)
    BUILD_INFO.labels(process, __version__, tzdata).set(1)


def count_runs(ended: Iterable[tuple[RunPhase, str]]) -> None:
    """Count runs that have ended, each given as its final phase and its namespace."""
    for (phase, namespace), count in Tally(ended).items():
        RUNS.labels(phase.value, TASK_NAMESPACE(namespace)).inc(count)


def observe_step(tool: str, seconds: float) -> None:
    """Take in how long one try of a step took."""
    label = TOOL(tool)
    # `labels` takes ten times as long as this.
    if (histogram := _steps.get(label)) is None:
        histogram = _steps[label] = STEP_DURATION.labels(label)
    histogram.observe(seconds)


_steps: dict[str, BatchHistogram] = {}


def count_fires(outcomes: Iterable[str]) -> None:
    """Count nominal times that were decided, each given as Fired or the reason for skipping."""
    for outcome, count in Tally(outcomes).items():
        FIRES.labels(outcome=outcome).inc(count)


def count_event_fires(outcomes: Mapping[str, int]) -> None:
    """Count events that triggers matched and that were decided, by Fired or the reason for skipping."""
    for outcome, count in outcomes.items():
        EVENT_FIRES.labels(outcome=outcome).inc(count)

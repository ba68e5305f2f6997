"""
Every metric of Ordinaut, declared once; `docs/metrics.md` explains them.

Labels never grow with what users write beyond namespace and tool names. Hot paths count per batch, not per item.
"""

from prometheus_client import Counter, Gauge, Histogram

_LAG = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_DURATION = (0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600)

FIRES = Counter("ordinaut_fires", "Nominal times decided, by outcome: Fired or the reason for skipping.", ["outcome"])
SCHEDULE_LAG = Histogram(
    "ordinaut_schedule_lag_seconds",
    "From a nominal time to its run being in the queue; catching up shows as a long one.",
    buckets=_LAG,
)
CREATOR_REVIEWS = Counter(
    "ordinaut_creator_reviews", "Questions whether a task's creator may still run it, by answer.", ["result"]
)
CLOCK_TASKS_MOVED = Counter("ordinaut_tzdata_moved_tasks", "Tasks whose next time moved with new time zone data.")

QUEUE_DEPTH = Gauge("ordinaut_queue_depth", "Runs that a worker could take now.")
QUEUE_OLDEST_AGE = Gauge("ordinaut_queue_oldest_age_seconds", "Age of the oldest run that a worker could take now.")
QUEUE_DELAYED = Gauge("ordinaut_queue_delayed", "Runs that wait for a later time.")
QUEUE_LEASED = Gauge("ordinaut_queue_leased", "Runs under a lease.")

PICKUP_LAG = Histogram("ordinaut_pickup_lag_seconds", "From being claimable to a worker's lease.", buckets=_LAG)
LEASE_EXPIRED = Counter("ordinaut_lease_expired", "Runs taken back from workers whose lease ran out.")
FENCED_WRITES = Counter("ordinaut_fenced_writes", "Results dropped because the lease was lost or the run had ended.")
RUNS = Counter("ordinaut_runs", "Runs that ended, by final phase.", ["phase"])
RUN_DURATION = Histogram("ordinaut_run_duration_seconds", "From a run's first start to its end.", buckets=_DURATION)
STEP_DURATION = Histogram("ordinaut_step_duration_seconds", "One try of a step.", ["tool"], buckets=_DURATION)
SLOTS = Gauge("ordinaut_worker_slots", "Runs that this worker can hold at once.")
SLOTS_BUSY = Gauge("ordinaut_worker_slots_busy", "Runs that this worker holds.")

OUTBOX_ROWS = Gauge("ordinaut_outbox_rows", "Transactions whose events are not in the stream yet.")
OUTBOX_AGE = Gauge("ordinaut_outbox_lag_seconds", "Age of the oldest event that is not in the stream yet.")
EVENTS_RELAYED = Counter("ordinaut_events_relayed", "Events appended to the stream.")

SYNCED = Counter(
    "ordinaut_synced_objects", "Objects taken over from the source, by kind and what was done.", ["kind", "action"]
)
SYNC_PENDING = Gauge("ordinaut_sync_pending", "Objects seen that are not in PostgreSQL yet.")
SYNC_FAILURES = Counter("ordinaut_sync_failures", "Attempts to take objects over that failed and are tried again.")
STATUS_WRITES = Counter("ordinaut_status_writes", "Status patches sent to the API server, by result.", ["result"])
LEADER = Gauge("ordinaut_leader", "Whether this replica writes status (1) or not (0).")
JOB_FAILURES = Counter("ordinaut_job_failures", "Failed rounds of a control loop, by loop.", ["job"])

HTTP_REQUESTS = Counter(
    "ordinaut_http_requests", "API requests by route template, method and status.", ["route", "method", "status"]
)
HTTP_DURATION = Histogram(
    "ordinaut_http_request_duration_seconds", "API requests by route template.", ["route"], buckets=_LAG
)
AUTHENTICATION_FAILURES = Counter(
    "ordinaut_authentication_failures", "API requests without a known caller, by what they were answered.", ["result"]
)
DENIALS = Counter(
    "ordinaut_denials",
    "API requests that their caller had no right to, and whether the audit trail shows them.",
    ["audited"],
)

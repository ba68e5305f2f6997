"""
The states that a run, a step and a nominal time can be in, and who moves them on.

This is the one list. The CHECK constraints of the store, the tables of transitions below and the diagrams in
``docs/states.md`` repeat it, and a test holds all of them equal.

``Running`` is never stored: a run is running while an item of a ``work_lease`` row names it, so starting a run
costs no write. Everything else about a run is read from its row.
"""

from collections.abc import Mapping
from enum import StrEnum


class RunPhase(StrEnum):
    """Where one execution of a task stands."""

    PENDING = "Pending"
    """In the queue. A worker's lease moves it on to Running."""
    RUNNING = "Running"
    """Under a worker's lease. The worker's settle, or the janitor when the lease runs out, moves it on."""
    WAITING = "Waiting"
    """Held without a worker, for a `WaitReason`. When that is over, a worker's lease moves it on, or admission moves it
    to Pending: it has got its concurrency keys."""
    SUCCEEDED = "Succeeded"
    """Final: every step succeeded, was skipped, or failed with ``onError: Continue``."""
    FAILED = "Failed"
    """Final: a step failed for good, or the run could not be started."""
    CANCELLED = "Cancelled"
    """Final: somebody asked for it, its task was deleted, or a newer run replaced it."""
    TIMED_OUT = "TimedOut"
    """Final: the run took longer than its ``timeout``."""
    PARKED = "Parked"
    """At rest: its workers died too often while they ran it. It goes on, or is cancelled, if somebody says so."""


class StepPhase(StrEnum):
    """Where one step of a run stands."""

    PENDING = "Pending"
    """Not reached yet; has no row."""
    RUNNING = "Running"
    """Under way in a worker; has no row until its result is committed."""
    WAITING = "Waiting"
    """Failed in a way that may pass; tried again when its back-off is over."""
    SUCCEEDED = "Succeeded"
    """Final: the tool answered, and the answer is committed."""
    FAILED = "Failed"
    """Final: the tool failed and no retry is left or would help."""
    SKIPPED = "Skipped"
    """Final: its ``if`` was not true."""
    CANCELLED = "Cancelled"
    """Final: its run was cancelled while it was waiting."""
    TIMED_OUT = "TimedOut"
    """Final: it took longer than its ``timeout`` on the last try it had, or its run's time was over."""
    UNKNOWN = "Unknown"
    """Final: its worker was lost while a tool ran that must not be called twice (``idempotent: false``)."""


class FireOutcome(StrEnum):
    """What became of one nominal time of a schedule."""

    FIRED = "Fired"
    """A run was made for it."""
    SKIPPED = "Skipped"
    """No run was made, and the reason is recorded."""


class SkipReason(StrEnum):
    """Why a nominal time was skipped."""

    DEADLINE_EXCEEDED = "DeadlineExceeded"
    """It was found later than ``startingDeadlineSeconds`` after its time."""
    NOT_CAUGHT_UP = "NotCaughtUp"
    """It was missed, and ``catchUp.policy`` is None."""
    COALESCED = "Coalesced"
    """It was missed, and a newer missed time ran in its stead (``catchUp.policy: Latest``)."""
    CATCH_UP_LIMIT = "CatchUpLimit"
    """It was missed, and more were missed than ``catchUp.max``."""
    STILL_RUNNING = "StillRunning"
    """A run of the task was active and ``concurrencyPolicy`` is Forbid."""
    QUEUE_FULL = "QueueFull"
    """``concurrencyPolicy`` is Queue, and as many runs of the task as may wait for their turn did."""
    NOT_READY = "NotReady"
    """The task's pipeline or one of its tools was missing, or they or its params were not valid."""
    UNAUTHORIZED = "Unauthorized"
    """The task was made through the API, and whoever made it may no longer run tasks in its namespace."""


WHY_SKIPPED: Mapping[SkipReason, str] = {
    SkipReason.DEADLINE_EXCEEDED: "found later than startingDeadlineSeconds: no operator fired it in time",
    SkipReason.NOT_CAUGHT_UP: "missed while no operator was at work, and catchUp.policy is None",
    SkipReason.COALESCED: "missed, and a newer missed time ran in its stead (catchUp.policy: Latest)",
    SkipReason.CATCH_UP_LIMIT: "missed, and more were missed than catchUp.max",
    SkipReason.STILL_RUNNING: "a run was active, and concurrencyPolicy is Forbid",
    SkipReason.QUEUE_FULL: "too many runs waited for their turn, and concurrencyPolicy is Queue",
    SkipReason.NOT_READY: "the task was not ready then",
    SkipReason.UNAUTHORIZED: "whoever made the task was not allowed to run tasks then",
}
"""What people are told of a skipped time, or of several."""


class EventOutcome(StrEnum):
    """What became of one event that matched a trigger of a task."""

    GATHERED = "Gathered"
    """It waits: for its batch to be full or its time, for others like it to cease (``debounce``), or until it is known
    whether the task's creator may run it."""
    FIRED = "Fired"
    """A run was made for it, or for the batch that it is part of."""
    SKIPPED = "Skipped"
    """No run was made, and the reason is recorded."""


class EventSkipReason(StrEnum):
    """Why an event that matched a trigger made no run."""

    DEADLINE_EXCEEDED = "DeadlineExceeded"
    """It was come to later than ``startingDeadlineSeconds`` after it was accepted, or after its batch was due."""
    STILL_RUNNING = "StillRunning"
    """A run of the task was active and ``concurrencyPolicy`` is Forbid."""
    QUEUE_FULL = "QueueFull"
    """``concurrencyPolicy`` is Queue, and as many runs of the task as may wait for their turn did."""
    NOT_READY = "NotReady"
    """The task's pipeline or one of its tools was missing or not valid; or task or trigger were gone when its batch was
    due."""
    UNAUTHORIZED = "Unauthorized"
    """The task was made through the API, and whoever made it may no longer run tasks in its namespace."""
    SUSPENDED = "Suspended"
    """The task's ``suspend`` was true."""
    PAUSED = "Paused"
    """Somebody had paused the task."""
    HOP_LIMIT = "HopLimit"
    """As many runs of events as may (``ORDINAUT_MAX_HOPS``) stood one behind the other before it: most likely they go
    round in a circle."""
    INVALID_FILTER = "InvalidFilter"
    """The trigger's ``if`` failed on it."""
    INVALID_PARAMS = "InvalidParams"
    """The trigger's ``params`` failed on it, or the pipeline's schema or the task's concurrency keys refused them."""
    DEBOUNCED = "Debounced"
    """Another one came before the trigger's ``debounce`` was over, and took its place."""


WHY_EVENT_SKIPPED: Mapping[EventSkipReason, str] = {
    EventSkipReason.DEADLINE_EXCEEDED: "found later than startingDeadlineSeconds: no operator came to it in time",
    EventSkipReason.STILL_RUNNING: "a run was active, and concurrencyPolicy is Forbid",
    EventSkipReason.QUEUE_FULL: "too many runs waited for their turn, and concurrencyPolicy is Queue",
    EventSkipReason.NOT_READY: "the task was not ready then",
    EventSkipReason.UNAUTHORIZED: "whoever made the task was not allowed to run tasks then",
    EventSkipReason.SUSPENDED: "the task was suspended then",
    EventSkipReason.PAUSED: "the task was paused then",
    EventSkipReason.HOP_LIMIT: "runs set off more runs by their events, again and again, up to ORDINAUT_MAX_HOPS",
    EventSkipReason.INVALID_FILTER: "the trigger's if failed on it",
    EventSkipReason.INVALID_PARAMS: "the params that the trigger made of it can't be used",
    EventSkipReason.DEBOUNCED: "another one took its place (debounce)",
}
"""What people are told of a skipped event, or of several."""


class WaitReason(StrEnum):
    """Why a run is Waiting."""

    RETRY = "Retry"
    """A step failed in a way that may pass, and its back-off is not over."""
    JITTER = "Jitter"
    """The task's ``jitter`` has it start a little later than its nominal time or its event."""
    SNOOZE = "Snooze"
    """An event made it while its task was snoozed; it starts when that is over."""
    TURN = "Turn"
    """``concurrencyPolicy`` is Queue, and another run of the task comes first."""
    CONCURRENCY_KEY = "ConcurrencyKey"
    """One of the keys in the task's ``concurrency`` is held by as many runs as its limit allows."""


class BackfillPhase(StrEnum):
    """Where a backfill stands."""

    ACTIVE = "Active"
    """It makes runs, as many at a time as were asked for."""
    WAITING = "Waiting"
    """No run can be made for now: its task is not ready, allows one run and has one, or may not run any more."""
    COMPLETED = "Completed"
    """Final: the last run was made; some may be under way still."""
    CANCELLED = "Cancelled"
    """Final: somebody asked for it."""
    SCHEDULE_CHANGED = "ScheduleChanged"
    """Final: the task's schedules were edited, and their nominal times are others now."""
    TASK_DELETED = "TaskDeleted"
    """Final: its task was deleted."""


class Trigger(StrEnum):
    """What made a run."""

    SCHEDULE = "schedule"
    """A nominal time of one of the task's schedules."""
    MANUAL = "manual"
    """Somebody asked for it, by the API or the command line."""
    RETRY = "retry"
    """Somebody asked for another try of a run that had ended."""
    BACKFILL = "backfill"
    """Somebody asked for the missing fires of a past window."""
    EVENT = "event"
    """An event that one of the task's triggers matched, or several that it gathered."""


class Origin(StrEnum):
    """Where a declared object comes from, and who may therefore edit it."""

    KUBERNETES = "Kubernetes"
    """A custom resource owns it."""
    DIRECTORY = "Directory"
    """A manifest in the directory that ``ordinaut dev`` watches owns it."""
    API = "API"
    """It was made through the API and lives in PostgreSQL only."""


RUN_TRANSITIONS: Mapping[RunPhase, frozenset[RunPhase]] = {
    RunPhase.PENDING: frozenset({RunPhase.RUNNING, RunPhase.CANCELLED}),
    RunPhase.RUNNING: frozenset(
        {
            RunPhase.PENDING,
            RunPhase.WAITING,
            RunPhase.SUCCEEDED,
            RunPhase.FAILED,
            RunPhase.CANCELLED,
            RunPhase.TIMED_OUT,
            RunPhase.PARKED,
        }
    ),
    RunPhase.WAITING: frozenset({RunPhase.PENDING, RunPhase.RUNNING, RunPhase.CANCELLED}),
    RunPhase.SUCCEEDED: frozenset(),
    RunPhase.FAILED: frozenset(),
    RunPhase.CANCELLED: frozenset(),
    RunPhase.TIMED_OUT: frozenset(),
    RunPhase.PARKED: frozenset({RunPhase.PENDING, RunPhase.WAITING, RunPhase.CANCELLED}),
}

STEP_TRANSITIONS: Mapping[StepPhase, frozenset[StepPhase]] = {
    StepPhase.PENDING: frozenset({StepPhase.RUNNING, StepPhase.SKIPPED}),
    StepPhase.RUNNING: frozenset(
        {
            StepPhase.PENDING,
            StepPhase.WAITING,
            StepPhase.SUCCEEDED,
            StepPhase.FAILED,
            StepPhase.TIMED_OUT,
            StepPhase.UNKNOWN,
        }
    ),
    StepPhase.WAITING: frozenset({StepPhase.RUNNING, StepPhase.CANCELLED, StepPhase.TIMED_OUT}),
    StepPhase.SUCCEEDED: frozenset(),
    StepPhase.FAILED: frozenset(),
    StepPhase.SKIPPED: frozenset(),
    StepPhase.CANCELLED: frozenset(),
    StepPhase.TIMED_OUT: frozenset(),
    StepPhase.UNKNOWN: frozenset(),
}

FINAL_RUN_PHASES = frozenset(phase for phase, onward in RUN_TRANSITIONS.items() if not onward)
"""Phases that a run never leaves."""

ENDED_RUN_PHASES = FINAL_RUN_PHASES | {RunPhase.PARKED}
"""Phases in which a run is over as far as anybody waits for it: nothing goes on by itself."""

FINAL_BACKFILL_PHASES = frozenset(BackfillPhase) - {BackfillPhase.ACTIVE, BackfillPhase.WAITING}
"""Phases in which a backfill makes no more runs; why it makes none is stored by these names."""

FINAL_STEP_PHASES = frozenset(phase for phase, onward in STEP_TRANSITIONS.items() if not onward)
"""Phases that a step never leaves."""

"""
Why something is not running: the words that ``GET …/why`` answers with.

``ordinaut.why`` decides which of them hold for a task or a run, ``ordinaut.shapes`` carries them to whoever asked, and
``docs/troubleshooting.md`` explains each; a test holds the page and this list equal. They are stable, for programs to
decide by. The words of other places (a condition's reason, a run's reason, why a time was skipped) come along as
``detail``.
"""

from enum import StrEnum


class Level(StrEnum):
    """How much a cause counts."""

    BLOCKING = "Blocking"
    """It keeps the task or the run from going on or from succeeding, or did so."""
    NOTE = "Note"
    """Worth knowing: it makes a difference, and is nothing to be mended."""
    GOOD = "Good"
    """It is as it should be."""


class Cause(StrEnum):
    """Why a task or a run does not run, or that it does."""

    # -- of a task

    TOOL_MISSING = "ToolMissing"
    """A Tool that it needs is not there, or not valid. Of a run too."""
    PIPELINE_MISSING = "PipelineMissing"
    """The Pipeline that it names is not there, or not valid."""
    NOT_READY = "NotReady"
    """Something else about it is wrong; ``detail`` is the reason of its condition Ready."""
    NOT_JUDGED = "NotJudged"
    """It has just been declared, and nobody has looked yet whether it can run."""
    UNAUTHORIZED = "Unauthorized"
    """Whoever made it through the API may no longer run tasks in its namespace."""
    PAUSED = "Paused"
    """Somebody paused it."""
    SUSPENDED = "Suspended"
    """Its spec says so."""
    SNOOZED = "Snoozed"
    """Somebody lets it rest until a time. Of a run too, that an event made meanwhile."""
    OVERDUE = "Overdue"
    """Its time has come, and nobody has fired it."""
    NO_SCHEDULES = "NoSchedules"
    """It runs only when somebody asks for it."""
    NO_FUTURE_TIMES = "NoFutureTimes"
    """Its schedules have no time left."""
    ACTIVE_RUN = "ActiveRun"
    """A run of it is not over; what that means for others, its ``concurrencyPolicy`` says."""
    TIMES_SKIPPED = "TimesSkipped"
    """Its latest times were skipped; ``detail`` is the reason in the ledger."""
    EVENTS_BEHIND = "EventsBehind"
    """It has triggers, and nobody has looked at what has happened lately."""
    EVENTS_SKIPPED = "EventsSkipped"
    """The latest events that its triggers matched were skipped; ``detail`` is the reason in the ledger of events."""
    GATHERING = "Gathering"
    """A trigger of it gathers events, and makes their run when they are enough or their time has come."""
    LISTENING = "Listening"
    """It will run when an event comes that one of its triggers matches."""
    NEXT_TIME = "NextTime"
    """It will run at its next time."""
    LAST_RUN = "LastRun"
    """How its last run ended; ``detail`` is that run's phase."""
    NEVER_RAN = "NeverRan"
    """It has no run yet."""

    # -- of a task and of a run that waits in a queue

    NO_WORKER = "NoWorker"
    """No live worker takes runs of its queue."""
    WORKERS_BUSY = "WorkersBusy"
    """All slots of the workers of its queue are taken."""

    # -- of a run

    QUEUED = "Queued"
    """It is in its queue: a worker that has a slot free takes it in its turn."""
    NOT_MOVED = "NotMoved"
    """Its time has come, and nobody has put it into its queue."""
    NOWHERE = "Nowhere"
    """It is not over, and in no queue: a defect."""
    TURN = "Turn"
    """Its task runs one at a time, and another run comes first."""
    CONCURRENCY_KEY = "ConcurrencyKey"
    """Other runs hold all slots of one of its concurrency keys."""
    JITTER = "Jitter"
    """By its task's ``jitter`` it starts a little later than its time."""
    RETRY = "Retry"
    """A step failed, and is tried again at a time."""
    RUNNING = "Running"
    """A worker has it."""
    WORKER_LOST = "WorkerLost"
    """The worker that has it gives no sign of life, and nobody has taken the run back yet."""
    REDELIVERED = "Redelivered"
    """Workers that had it before were lost."""
    PARKED = "Parked"
    """Too many workers were lost while they had it; it rests until somebody releases it."""
    FAILED = "Failed"
    """It failed; ``detail`` is its reason."""
    TIMED_OUT = "TimedOut"
    """It took longer than it may."""
    CANCELLED = "Cancelled"
    """It was cancelled; ``detail`` says what for."""
    SUCCEEDED = "Succeeded"
    """It did all it had to."""

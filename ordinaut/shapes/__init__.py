"""
The shapes of what the API takes and answers; they are the schemas in ``/openapi.json``.

Objects look like those of Kubernetes: ``apiVersion``, ``kind``, ``metadata``, ``spec``, ``status``. The api fills them
from rows of the store, the Python client reads them. Nominal times are whole seconds, observed ones milliseconds, all
in UTC with ``Z``. Fields without a value are left out. What a request holds is a ``Part``, as strict as a manifest.
"""

from ordinaut.shapes.access import AuditEntry, Counts, Quota, WhoAmI
from ordinaut.shapes.backfills import MAX_ACTIVE, Backfill, BackfillPlan, BackfillRequest, BackfillSpec, BackfillStatus
from ordinaut.shapes.base import Condition, Instant, Metadata, NominalTime, Object, Page, Shape
from ordinaut.shapes.declared import BatchItem, BatchResult, DeclaredStatus, Hook, Pipeline, Tool
from ordinaut.shapes.events import CloudEvent, DeliveryAccepted, EventRequest, EventsAccepted, EventsRequest
from ordinaut.shapes.ledger import EventFire, EventVerification, Fire, FiredEvent, Verification, Violation
from ordinaut.shapes.problems import Error, ProblemShape
from ordinaut.shapes.runs import Run, RunRequest, RunSpec, RunStatus, StepView
from ordinaut.shapes.tasks import LastRun, Pause, Preview, Snooze, SnoozeRequest, Task, TaskStatus
from ordinaut.shapes.why import Because, BlockingRun, QueuePosition, Release, Why, WhySubject
from ordinaut.shapes.workers import Worker, WorkerRun

__all__ = [
    "MAX_ACTIVE",
    "AuditEntry",
    "Backfill",
    "BackfillPlan",
    "BackfillRequest",
    "BackfillSpec",
    "BackfillStatus",
    "BatchItem",
    "BatchResult",
    "Because",
    "BlockingRun",
    "CloudEvent",
    "Condition",
    "Counts",
    "DeclaredStatus",
    "DeliveryAccepted",
    "Error",
    "EventFire",
    "EventRequest",
    "EventVerification",
    "EventsAccepted",
    "EventsRequest",
    "Fire",
    "FiredEvent",
    "Hook",
    "Instant",
    "LastRun",
    "Metadata",
    "NominalTime",
    "Object",
    "Page",
    "Pause",
    "Pipeline",
    "Preview",
    "ProblemShape",
    "QueuePosition",
    "Quota",
    "Release",
    "Run",
    "RunRequest",
    "RunSpec",
    "RunStatus",
    "Shape",
    "Snooze",
    "SnoozeRequest",
    "StepView",
    "Task",
    "TaskStatus",
    "Tool",
    "Verification",
    "Violation",
    "WhoAmI",
    "Why",
    "WhySubject",
    "Worker",
    "WorkerRun",
]

"""Facts about tasks and runs, for tests of what is judged by them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from ordinaut.shapes import Because, Why
from ordinaut.store.position import Queued
from ordinaut.store.why import (
    LiveWorker,
    RunFacts,
    RunRow,
    StepState,
    Surroundings,
    TaskFacts,
    UnfinishedRun,
)
from tests.unit.rows import QUIET_TASK

NOW: Final = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
RUN: Final = UUID(int=7)
OTHER: Final = UUID(int=8)

ALONE: Final = Surroundings("default", None, [], 0, True)
WORKER: Final = LiveWorker("w-0", 4, 0)


def ago(**span: float) -> datetime:
    """Return a time before now."""
    return NOW - timedelta(**span)


def task(**row: Any) -> TaskFacts:
    """Return a task that is ready, has workers and an operator; ``row`` differs from a quiet one."""
    return TaskFacts(replace(QUIET_TASK, now=NOW, **row), ALONE, workers=[WORKER])


def run(phase: str = "Pending", **row: Any) -> RunFacts:
    """Return a run of the task ``briefing``, a minute old; ``row`` says what differs."""
    given: dict[str, Any] = {
        "run_id": RUN,
        "namespace": "default",
        "task": "briefing",
        "task_id": 1,
        "trigger": "schedule",
        "scheduled_at": None,
        "priority": 5,
        "attempt": 1,
        "phase": phase,
        "created_at": ago(minutes=1),
        "started_at": None,
        "finished_at": None,
        "reason": None,
        "error": None,
        "revision": b"",
        "worker": None,
        "delivery": None,
        "leased_at": None,
        "leased_until": None,
        "queue": "default",
        "task_deleted": False,
        "task_ready": True,
        "now": NOW,
    }
    return RunFacts(RunRow(**{**given, **row}))


def over(phase: str, reason: str | None = None, error: str | None = None, **row: Any) -> RunFacts:
    """Return a run that ended ten seconds ago."""
    return run(phase, finished_at=ago(seconds=10), reason=reason, error=error, **row)


def queued(before: int = 0, *, queue: str = "default", age: float = 60, **more: Any) -> Queued:
    """Return a place in a queue."""
    return Queued(queue, ago(seconds=age), before, **more)


def unfinished(phase: str = "Pending", *, worker: str | None = None, reason: str | None = None) -> UnfinishedRun:
    """Return another run of the task."""
    return UnfinishedRun(OTHER, "briefing", phase, reason, ago(minutes=2), worker)


def step(name: str = "fetch", phase: str | None = None, **more: Any) -> StepState:
    """Return a step that logs, as far as ``more`` does not say otherwise."""
    given: dict[str, Any] = {
        "seq": 0,
        "step_id": name,
        "uses": "std.log",
        "retry": None,
        "tool_is_there": False,
        "tool_invalid": None,
        "phase": phase,
        "attempt": 0 if phase is None else 1,
        "idx": None,
        "started_at": None,
        "finished_at": None,
        "error": None,
    }
    return StepState(**{**given, **more})


def lines(found: Why) -> list[str]:
    """Return the causes in one line each."""
    return [line(one) for one in found.because]


def line(cause: Because) -> str:
    """Return a cause, its level and what to type."""
    command = f" → {cause.action.command or cause.action.description}" if cause.action else ""
    return f"{cause.level} {cause.reason}: {cause.message}{command}"

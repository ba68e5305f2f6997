"""The events of a settlement: what the steps and the run have come to, in the order in which it happened."""

from collections.abc import Sequence
from typing import Any

from ordinaut.events.envelope import Event
from ordinaut.store.settle import RunResult, StepResult
from ordinaut.store.work import LeasedWork


def events(work: LeasedWork, *, steps: Sequence[StepResult], run: RunResult | None) -> list[dict[str, Any]]:
    """Return the events, compact, for the outbox."""
    found = [_step_event(work, step) for step in steps]
    if run is not None:
        found.append(_run_event(work, run))
    return [event.compact() for event in found]


def _step_event(work: LeasedWork, step: StepResult) -> Event:
    data: dict[str, Any] = {"phase": step.phase, "attempt": step.attempt}
    data["seconds"] = round(step.finished - step.started, 6)
    if step.error is not None:
        data["error"] = step.error
    return Event(f"step.{step.phase.lower()}", work.namespace, work.task, run=work.run, step=step.step_id, data=data)


def _run_event(work: LeasedWork, run: RunResult) -> Event:
    data: dict[str, Any] = {"phase": run.phase, "attempt": work.attempt, "trigger": work.trigger}
    if run.reason is not None:
        data["reason"] = run.reason
    if run.error is not None:
        data["error"] = run.error
    if run.delay is not None:
        data["retryAfterSeconds"] = round(run.delay.total_seconds(), 3)
    return Event(f"run.{run.phase.lower()}", work.namespace, work.task, run=work.run, data=data)

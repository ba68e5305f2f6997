"""The events of a settlement: what the steps and the run have come to, in the order in which it happened."""

from collections.abc import Sequence
from typing import Any

from ordinaut.events.envelope import compacted
from ordinaut.store.settle import RunResult, StepResult
from ordinaut.store.work import LeasedWork


def events(work: LeasedWork, *, steps: Sequence[StepResult], run: RunResult | None) -> list[dict[str, Any]]:
    """Return the events, compact, for the outbox."""
    found = [_step_event(work, step) for step in steps]
    if run is not None:
        found.append(_run_event(work, run))
    return found


def _step_event(work: LeasedWork, step: StepResult) -> dict[str, Any]:
    data: dict[str, Any] = {"phase": step.phase, "attempt": step.attempt}
    data["seconds"] = round(step.finished - step.started, 6)
    if step.error is not None:
        data["error"] = step.error
    return compacted(f"step.{step.phase.lower()}", work.namespace, work.task, work.run, step.step_id, data)


def _run_event(work: LeasedWork, run: RunResult) -> dict[str, Any]:
    data: dict[str, Any] = {"phase": run.phase, "attempt": work.attempt, "trigger": work.trigger}
    if run.reason is not None:
        data["reason"] = run.reason
    if run.error is not None:
        data["error"] = run.error
    if run.delay is not None:
        data["retryAfterSeconds"] = round(run.delay.total_seconds(), 3)
    return compacted(f"run.{run.phase.lower()}", work.namespace, work.task, work.run, None, data)

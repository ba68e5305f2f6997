"""
Where a run stands and what comes next: pure decisions over a plan and the committed results.

The worker loads the committed results once when it takes over a run, asks :func:`next_move`, carries the move out,
commits the result and asks again. After a crash another worker does the same and so resumes at the first step that has
no committed result.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ordinaut.engine.plan import Plan, PlanStep
from ordinaut.states import FINAL_STEP_PHASES, RunPhase, StepPhase


class Committed(NamedTuple):
    """A step's row: its final result, or its last failure while it waits for a retry."""

    seq: int
    phase: StepPhase
    attempt: int
    output: Any = None
    error: str | None = None


class Execute(NamedTuple):
    """Carry out this step; ``attempt`` counts its tries from 1."""

    step: PlanStep
    attempt: int


class Finish(NamedTuple):
    """The run is over. Its output is still to be rendered if it succeeded."""

    phase: RunPhase
    reason: str | None = None
    error: str | None = None


Move = Execute | Finish

_FAILURES = frozenset({StepPhase.FAILED, StepPhase.TIMED_OUT, StepPhase.UNKNOWN})


def next_move(plan: Plan, committed: Mapping[int, Committed]) -> Move:
    """Return what to do next in a run whose step results so far are ``committed``, by ``seq``."""
    for step in plan.steps:
        result = committed.get(step.seq)
        if result is None:
            return Execute(step, attempt=1)
        if result.phase is StepPhase.SUCCEEDED:
            continue
        if result.phase not in FINAL_STEP_PHASES:
            return Execute(step, attempt=result.attempt + 1)
        if result.phase in _FAILURES and step.on_error == "Fail":
            return Finish(RunPhase.FAILED, reason=f"Step{result.phase}", error=f"step {step.id}: {result.error}")
    return Finish(RunPhase.SUCCEEDED)


def results(plan: Plan, committed: Iterable[Committed]) -> dict[str, Any]:
    """Return what expressions find under ``steps``: the outputs of the steps that succeeded, by result name."""
    names = {step.seq: step.result for step in plan.steps}
    return {names[one.seq]: one.output for one in committed if one.phase is StepPhase.SUCCEEDED}

"""
What is known of a run while this worker carries it out: its plan, its results, and how much of its time is left.

Pure bookkeeping for the executor; nothing here waits.
"""

from collections.abc import Mapping
from datetime import timedelta
from time import monotonic
from typing import Any, Final

from ordinaut.engine import cursor
from ordinaut.engine.cursor import Committed, Execute, Move
from ordinaut.engine.plan import Plan, PlanStep
from ordinaut.resources.moment import format_instant
from ordinaut.states import StepPhase
from ordinaut.store.settle import StepResult
from ordinaut.store.work import LeasedWork
from ordinaut_worker.attempt import Outcome

_NOTHING: Final[Mapping[str, Any]] = {}


class Progress:
    """One run under way."""

    def __init__(self, work: LeasedWork, plan: Plan, *, committed: Mapping[int, Committed]) -> None:
        self.work = work
        self.plan = plan
        self.unsent: list[StepResult] = []
        """Results that no commit holds yet."""
        self.must_commit = False
        """Whether one of them has to be committed before another step begins."""
        self._committed = dict(committed)
        self._deadline = self._deadline_from(plan.timeout)
        self._scope: dict[str, Any] = {}

    def _deadline_from(self, timeout: timedelta | None) -> float | None:
        """Return the end of the run's time on this process's clock; what earlier deliveries used is gone."""
        if timeout is None:
            return None
        used = self.work.leased_at - (self.work.started_at or self.work.leased_at)
        return monotonic() + (timeout - used).total_seconds()

    @property
    def remaining(self) -> timedelta | None:
        """How much of the run's time is left, never negative; None without a ``timeout``."""
        return None if self._deadline is None else timedelta(seconds=max(0.0, self._deadline - monotonic()))

    @property
    def out_of_time(self) -> bool:
        """Whether the run has used up its ``timeout``."""
        return self._deadline is not None and monotonic() >= self._deadline

    def next_move(self) -> Move:
        """Return what comes next."""
        return cursor.next_move(self.plan, self._committed)

    def scope_of(self, step: PlanStep) -> Mapping[str, Any]:
        """Return what the expressions of a step see now; nothing where it has none."""
        return self.scope() if step.condition is not None or step.arguments.roots else _NOTHING

    def scope(self) -> dict[str, Any]:
        """Return what expressions see now."""
        self._scope = self._scope or self._fixed()
        return {**self._scope, "steps": cursor.results(self.plan, self._committed.values())}

    def _fixed(self) -> dict[str, Any]:
        """Return what stays the same for the whole run."""
        work = self.work
        events = work.events
        return {
            "params": work.params,
            "run": {
                "id": work.run,
                "trigger": work.trigger,
                "scheduledTime": work.scheduled_at and format_instant(work.scheduled_at),
                "createdTime": format_instant(work.created_at),
                "attempt": work.attempt,
            },
            "task": {"name": work.task, "namespace": work.namespace},
            "event": events and events[-1],
            "events": events,
        }

    def record(self, move: Execute, outcome: Outcome, *, phase: StepPhase | None = None) -> None:
        """Take an outcome in as the step's result; ``phase`` overrides the outcome's."""
        step, phase = move.step, phase or outcome.phase
        self._committed[step.seq] = Committed(step.seq, phase, move.attempt, outcome.output, outcome.error)
        # A step that is skipped needs no commit of its own: if it is lost, the condition is evaluated again.
        self.must_commit = self.must_commit or phase is not StepPhase.SKIPPED
        self.unsent.append(
            StepResult(
                seq=step.seq,
                step_id=step.id,
                phase=phase,
                attempt=move.attempt,
                started=outcome.started,
                finished=outcome.finished,
                output=outcome.encoded,
                error=outcome.error,
                tool_digest=outcome.tool_digest,
            )
        )

    def take_unsent(self) -> list[StepResult]:
        """Return the results that no commit holds yet, for the commit that will."""
        taken, self.unsent, self.must_commit = self.unsent, [], False
        return taken

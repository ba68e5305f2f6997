"""
Carrying out one run: step by step, each result committed before the next step starts.

The loop calls :meth:`Executor.begin` for each leased run, and runs what that leaves as a task: a run of one immediate
step needs none. What comes next is decided by ``engine.cursor``, a step is tried by ``attempt``, and every result goes
to the settler. A step's result is waited for; the one with which a run leaves the worker is not, as nothing here
depends on it. A run that must wait for a retry is settled as Waiting.
"""

import random
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import Any

from ordinaut import metrics, spans
from ordinaut.engine.cursor import Committed, Execute, Finish
from ordinaut.engine.plan import first_mistakes
from ordinaut.engine.retry import NO_RETRY, next_delay
from ordinaut.errors import Invalid, LeaseLost, OrdinautError
from ordinaut.states import RunPhase, StepPhase, Trigger, WaitReason
from ordinaut.store import runs
from ordinaut.store.pool import Pool
from ordinaut.store.settle import RunResult, Settlement, StepResult
from ordinaut.store.work import LeasedWork
from ordinaut_worker import announce, patience
from ordinaut_worker.attempt import Limits, Outcome, Toolbox, attempt, attempt_now
from ordinaut_worker.output import encode
from ordinaut_worker.plans import Plans
from ordinaut_worker.progress import Progress
from ordinaut_worker.settle import Settler
from ordinaut_worker.tools import Tool


class Executor:
    """Carries out runs; one for the whole worker."""

    def __init__(self, pool: Pool, *, settler: Settler, plans: Plans, toolbox: Toolbox, limits: Limits) -> None:
        self._pool = pool
        self._settler = settler
        self._plans = plans
        self._toolbox = toolbox
        self._limits = limits

    def begin(self, work: LeasedWork) -> Coroutine[Any, Any, None] | None:
        """
        Carry out as much of a run as needs no waiting.

        Returns what is left, to be run as a task; None where nothing is: the run has been handed to the settler.
        """
        plan = self._plans.known(work.revision)
        if plan is None or not _is_new(work):
            return self.carry_out(work)
        progress = Progress(work, plan, committed={})
        return None if self._advance(progress) is None else self._go_on(progress)

    async def carry_out(self, work: LeasedWork) -> None:
        """
        Run what is left of a run until it ends or waits.

        Raises:
            LeaseLost: the work is no longer this worker's; nothing more of it was committed.
        """
        try:
            plan = await self._plans.get(work.revision)
        except Invalid as invalid:
            error = first_mistakes(invalid.errors)
            self._leave(work, RunResult(RunPhase.FAILED, reason="InvalidPipeline", error=error))
            return
        await self._go_on(Progress(work, plan, committed=await self._committed(work)))

    async def _go_on(self, progress: Progress) -> None:
        """Carry out what has to be waited for, and what lies between."""
        while (move := self._advance(progress)) is not None:
            if progress.must_commit:
                await self._commit(progress)
            elif (left := self._take_in(progress, move, await self._try(progress, move))) is not None:
                self._leave(progress.work, left, steps=progress.take_unsent())
                return

    def _advance(self, progress: Progress) -> Execute | None:
        """
        Make all moves that need no waiting; None: the run has been handed to the settler.

        A move is returned that has to be waited for, or before which a result has to be committed.
        """
        while isinstance(move := progress.next_move(), Execute):
            if progress.must_commit:
                return move
            if progress.out_of_time:
                progress.record(move, _not_tried())
                left: RunResult | None = _out_of_time(progress)
            elif (tool := self._toolbox.at_hand(move.step.uses)) is not None:
                left = self._take_in(progress, move, self._try_now(progress, move, tool))
            else:
                return move
            if left is not None:
                self._leave(progress.work, left, steps=progress.take_unsent())
                return None
        self._leave(progress.work, self._result(progress, move), steps=progress.take_unsent())
        return None

    async def _committed(self, work: LeasedWork) -> dict[int, Committed]:
        """Return the results so far."""
        if _is_new(work):
            return {}
        rows = await patience.read(self._pool, lambda connection: runs.steps(connection, run_id=work.run_id))
        return {row.seq: Committed(row.seq, StepPhase(row.phase), row.attempt, row.output, row.error) for row in rows}

    def _take_in(self, progress: Progress, move: Execute, outcome: Outcome) -> RunResult | None:
        """Record what came of a step; return the run's result if it can't go on now."""
        if outcome.phase is StepPhase.SKIPPED:
            progress.record(move, outcome)
            return None
        metrics.observe_step(move.step.uses, outcome.seconds)
        if outcome.phase is StepPhase.TIMED_OUT and progress.out_of_time:
            progress.record(move, outcome)
            return _out_of_time(progress)
        if outcome.may_pass and (delay := _retry_delay(progress, move, outcome)) is not None:
            progress.record(move, outcome, phase=StepPhase.WAITING)
            # A run whose time ends while it waits is woken then, to end.
            wait = delay if progress.remaining is None else min(delay, progress.remaining)
            return RunResult(RunPhase.WAITING, reason=WaitReason.RETRY, delay=wait)
        progress.record(move, outcome)
        return None

    async def _try(self, progress: Progress, move: Execute) -> Outcome:
        """Try a step, as a part of the run's trace where there are traces."""
        with _traced(progress.work, move) as span:
            outcome = span.outcome = await attempt(
                move.step,
                work=progress.work,
                scope=progress.scope_of(move.step),
                toolbox=self._toolbox,
                limits=self._limits,
                remaining=progress.remaining,
                traced=span.traced,
            )
        return outcome

    def _try_now(self, progress: Progress, move: Execute, tool: Tool) -> Outcome:
        """As :meth:`_try`, with an immediate tool."""
        step, work, scope = move.step, progress.work, progress.scope_of(move.step)
        if spans.receiver is None:
            return attempt_now(step, tool, work=work, scope=scope, limits=self._limits)
        with _traced(work, move) as span:
            outcome = span.outcome = attempt_now(
                step, tool, work=work, scope=scope, limits=self._limits, traced=span.traced
            )
        return outcome

    def _result(self, progress: Progress, move: Finish) -> RunResult:
        """Return the result of a run that is over, its output rendered."""
        if move.phase is not RunPhase.SUCCEEDED or progress.plan.output is None:
            return RunResult(move.phase, reason=move.reason, error=move.error)
        try:
            rendered = progress.plan.output.render(progress.scope())
            return RunResult(move.phase, output=encode(rendered, limit=self._limits.max_output_bytes))
        except OrdinautError as error:
            return RunResult(RunPhase.FAILED, reason="OutputFailed", error=str(error))

    async def _commit(self, progress: Progress) -> None:
        """Commit the results so far."""
        work, steps = progress.work, progress.take_unsent()
        if not await self._settler.commit(Settlement(work, steps, events=announce.events(work, steps=steps, run=None))):
            raise LeaseLost

    def _leave(self, work: LeasedWork, run: RunResult, *, steps: Sequence[StepResult] = ()) -> None:
        """Hand over with what a run leaves this worker."""
        self._settler.hand_over(Settlement(work, steps, run, events=announce.events(work, steps=steps, run=run)))


class _Span:
    """What a try is in the run's trace."""

    traced: spans.Try | None = None
    outcome: Outcome | None = None


@contextmanager
def _traced(work: LeasedWork, move: Execute) -> Iterator[_Span]:
    """Record a try where there are traces; one that has no outcome was cancelled."""
    span = _Span()
    if spans.receiver is None:
        yield span
        return
    span.traced = spans.Try(work.run, move.step.id, lease=work.lease_id, number=move.attempt)
    started = monotonic()
    try:
        yield span
    finally:
        phase = StepPhase.CANCELLED if span.outcome is None else span.outcome.phase
        if phase is not StepPhase.SKIPPED and spans.receiver is not None:
            _record(span.traced, move, work=work, phase=phase, started=started, to=spans.receiver)


def _record(
    traced: spans.Try, move: Execute, *, work: LeasedWork, phase: StepPhase, started: float, to: spans.Receiver
) -> None:
    span = spans.tried(
        traced,
        namespace=work.namespace,
        task=work.task,
        tool=move.step.uses,
        phase=phase,
        error=None if phase is StepPhase.SUCCEEDED else phase,
        started=to.at(started),
        ended=to.now(),
    )
    to.record([span])


def _is_new(work: LeasedWork) -> bool:
    """Whether no step of a run has a result; those that a retry begins with are there already."""
    return work.started_at is None and work.trigger != Trigger.RETRY


def _not_tried() -> Outcome:
    now = monotonic()
    return Outcome(StepPhase.TIMED_OUT, started=now, finished=now, error="the run's time was over before this try")


def _out_of_time(progress: Progress) -> RunResult:
    timeout = progress.plan.timeout or timedelta(0)
    return RunResult(
        RunPhase.TIMED_OUT,
        reason="DeadlineExceeded",
        error=f"took longer than its timeout of {timeout.total_seconds():g} s",
    )


def _retry_delay(progress: Progress, move: Execute, outcome: Outcome) -> timedelta | None:
    strategy = move.step.retry or outcome.tool_retry or progress.plan.retry or NO_RETRY
    return next_delay(strategy, failures=move.attempt, asked=outcome.asked_delay, draw=random.random)

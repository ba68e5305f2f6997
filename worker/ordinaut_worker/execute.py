"""
Carrying out one run: step by step, each result committed before the next step starts.

The loop starts :meth:`Executor.carry_out` as a task for each leased run. What comes next is decided by
``engine.cursor``, a step is tried by ``attempt``, and every result goes to the settler. A run that must wait for a
retry is settled as Waiting and leaves the worker.
"""

import random
from datetime import UTC, datetime, timedelta
from time import monotonic

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
from ordinaut_worker.attempt import Limits, Outcome, Toolbox, attempt
from ordinaut_worker.output import encode
from ordinaut_worker.plans import Plans
from ordinaut_worker.progress import Progress
from ordinaut_worker.settle import Settler


class Executor:
    """Carries out runs; one for the whole worker."""

    def __init__(self, pool: Pool, *, settler: Settler, plans: Plans, toolbox: Toolbox, limits: Limits) -> None:
        self._pool = pool
        self._settler = settler
        self._plans = plans
        self._toolbox = toolbox
        self._limits = limits

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
            await self._commit(work, run=RunResult(RunPhase.FAILED, reason="InvalidPipeline", error=error))
            return
        progress = Progress(work, plan, committed=await self._committed(work))
        while isinstance(move := progress.next_move(), Execute):
            if (left := await self._step(progress, move)) is not None:
                await self._commit(work, steps=progress.take_unsent(), run=left)
                return
        await self._commit(work, steps=progress.take_unsent(), run=self._result(progress, move))

    async def _committed(self, work: LeasedWork) -> dict[int, Committed]:
        """Return the results so far; a run that never started has none, but for those that a retry begins with."""
        if work.started_at is None and work.trigger != Trigger.RETRY:
            return {}
        rows = await patience.read(self._pool, lambda connection: runs.steps(connection, run_id=work.run_id))
        return {row.seq: Committed(row.seq, StepPhase(row.phase), row.attempt, row.output, row.error) for row in rows}

    async def _step(self, progress: Progress, move: Execute) -> RunResult | None:
        """Carry out one step; return the run's result if it can't go on now."""
        if progress.out_of_time:
            progress.record(move, _not_tried())
            return _out_of_time(progress)
        outcome = await self._try(progress, move)
        if outcome.phase is StepPhase.SKIPPED:
            # Needs no commit of its own: if it is lost, the condition is evaluated again.
            progress.record(move, outcome)
            return None
        metrics.STEP_DURATION.labels(metrics.TOOL(move.step.uses)).observe(outcome.seconds)
        if outcome.phase is StepPhase.TIMED_OUT and progress.out_of_time:
            progress.record(move, outcome)
            return _out_of_time(progress)
        if (delay := _retry_delay(progress, move, outcome)) is not None:
            progress.record(move, outcome, phase=StepPhase.WAITING)
            # A run whose time ends while it waits is woken then, to end.
            wait = delay if progress.remaining is None else min(delay, progress.remaining)
            return RunResult(RunPhase.WAITING, reason=WaitReason.RETRY, delay=wait)
        progress.record(move, outcome)
        if isinstance(progress.next_move(), Execute):
            await self._commit(progress.work, steps=progress.take_unsent())
        return None

    async def _try(self, progress: Progress, move: Execute) -> Outcome:
        """Try a step, as a part of the run's trace where there are traces."""
        if spans.receiver is None:
            return await self._attempt(progress, move, traced=None)
        work = progress.work
        traced = spans.Try(work.run, move.step.id, lease=work.lease_id, number=move.attempt)
        started, phase = monotonic(), StepPhase.CANCELLED
        try:
            outcome = await self._attempt(progress, move, traced=traced)
            phase = outcome.phase
        finally:
            if phase is not StepPhase.SKIPPED and spans.receiver is not None:
                _record(traced, move, work=work, phase=phase, started=started, to=spans.receiver)
        return outcome

    async def _attempt(self, progress: Progress, move: Execute, *, traced: spans.Try | None) -> Outcome:
        return await attempt(
            move.step,
            work=progress.work,
            scope=progress.scope(),
            toolbox=self._toolbox,
            limits=self._limits,
            remaining=progress.remaining,
            traced=traced,
        )

    def _result(self, progress: Progress, move: Finish) -> RunResult:
        """Return the result of a run that is over, its output rendered."""
        if move.phase is not RunPhase.SUCCEEDED or progress.plan.output is None:
            return RunResult(move.phase, reason=move.reason, error=move.error)
        try:
            rendered = progress.plan.output.render(progress.scope())
            return RunResult(move.phase, output=encode(rendered, limit=self._limits.max_output_bytes))
        except OrdinautError as error:
            return RunResult(RunPhase.FAILED, reason="OutputFailed", error=str(error))

    async def _commit(
        self, work: LeasedWork, *, steps: list[StepResult] | None = None, run: RunResult | None = None
    ) -> None:
        steps = steps or []
        settlement = Settlement(work, steps=steps, run=run, events=announce.events(work, steps=steps, run=run))
        if not await self._settler.commit(settlement):
            raise LeaseLost
        if run is not None and run.phase is not RunPhase.WAITING:
            # Both clocks are off by the same: only spans within this process are measured.
            started = work.started_at or work.leased_at
            metrics.RUN_DURATION.observe(max(0.0, (datetime.now(UTC) - started).total_seconds()))


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
    if not outcome.may_pass:
        return None
    strategy = move.step.retry or outcome.tool_retry or progress.plan.retry or NO_RETRY
    return next_delay(strategy, failures=move.attempt, asked=outcome.asked_delay, draw=random.random)

"""
One try of one step: condition, input, call, output.

The order is fixed: evaluate `if`, render `with`, check the input, call, check the output. Whatever goes wrong becomes
an :class:`Outcome`; only cancellation passes through. The executor decides what the outcome means for the run.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Any, NamedTuple, Protocol

from ordinaut.engine.expression import is_true
from ordinaut.engine.plan import PlanStep, first_mistakes
from ordinaut.errors import Invalid, OrdinautError, Transient
from ordinaut.resources.retry import RetryStrategy
from ordinaut.spans import Try
from ordinaut.states import StepPhase
from ordinaut.store.work import LeasedWork
from ordinaut_worker.output import encode
from ordinaut_worker.tools import Call, Tool


class Outcome(NamedTuple):
    """
    What came of a try.

    ``started`` and ``finished`` are readings of ``time.monotonic()``; ``may_pass`` says whether another try may
    succeed, ``asked_delay`` how long the tool wants to be left alone, ``tool_retry`` is the tool's own strategy.
    """

    phase: StepPhase
    started: float
    finished: float
    output: Any = None
    encoded: bytes | None = None
    error: str | None = None
    may_pass: bool = False
    asked_delay: timedelta | None = None
    tool_digest: bytes | None = None
    tool_retry: RetryStrategy | None = None

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.finished - self.started


class Toolbox(Protocol):
    """Where tools come from."""

    def at_hand(self, name: str) -> Tool | None:
        """Return a tool that needs neither a look-up nor any waiting, None for all others."""

    async def get(self, *, namespace: str, name: str) -> Tool:
        """Return a tool as it is now; ``Permanent`` when it is missing or not valid."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker allows a step."""

    step_timeout: timedelta
    max_output_bytes: int


async def attempt(
    step: PlanStep,
    *,
    work: LeasedWork,
    scope: Mapping[str, Any],
    toolbox: Toolbox,
    limits: Limits,
    remaining: timedelta | None,
    traced: Try | None = None,
) -> Outcome:
    """
    Try a step once.

    Args:
        step: to be tried.
        work: the run it belongs to.
        scope: what expressions see.
        toolbox: where its tool is found.
        limits: of this worker.
        remaining: until the whole run's time is over; None without an end.
        traced: what this try is in the trace of the run, where there are traces.
    """
    started = monotonic()
    tool: Tool | None = None
    try:
        if not _applies(step, scope):
            return Outcome(StepPhase.SKIPPED, started, monotonic())
        tool = await toolbox.get(namespace=work.namespace, name=step.uses)
        call = _call(step, tool, work=work, scope=scope, traced=traced)
        if tool.immediate:
            output = tool.call(call)
        else:
            allowed = step.timeout or tool.timeout or limits.step_timeout
            allowed = allowed if remaining is None else min(allowed, remaining)
            output = await _answer(tool, call, allowed=allowed, uses=step.uses)
        return _succeeded(tool, output, started=started, limits=limits)
    except OrdinautError as error:
        return _failed(tool, error, started=started)


def attempt_now(
    step: PlanStep,
    tool: Tool,
    *,
    work: LeasedWork,
    scope: Mapping[str, Any],
    limits: Limits,
    traced: Try | None = None,
) -> Outcome:
    """Try a step once whose tool is at hand and immediate; as :func:`attempt`, but nothing is waited for."""
    started = monotonic()
    try:
        if not _applies(step, scope):
            return Outcome(StepPhase.SKIPPED, started, monotonic())
        output = tool.call(_call(step, tool, work=work, scope=scope, traced=traced))
        return _succeeded(tool, output, started=started, limits=limits)
    except OrdinautError as error:
        return _failed(tool, error, started=started)


class _TookTooLong(OrdinautError):
    """The tool did not answer in time."""


def _applies(step: PlanStep, scope: Mapping[str, Any]) -> bool:
    return step.condition is None or is_true(step.condition.evaluate(scope))


def _call(step: PlanStep, tool: Tool, *, work: LeasedWork, scope: Mapping[str, Any], traced: Try | None) -> Call:
    arguments = step.arguments.render(scope)
    if tool.input is not None:
        tool.input.check(arguments, field="with")
    key = f"{work.run}/{step.id}"
    return Call(arguments, key, work.namespace, work.task, work.run, step.id, traced)


async def _answer(tool: Tool, call: Call, *, allowed: timedelta, uses: str) -> Any:
    seconds = allowed.total_seconds()
    try:
        async with asyncio.timeout(seconds):
            return await tool.call(call)
    except TimeoutError:
        raise _TookTooLong(f"no answer from {uses} within {seconds:g} s") from None


def _succeeded(tool: Tool, output: Any, *, started: float, limits: Limits) -> Outcome:
    if tool.output is not None:
        tool.output.check(output, field="output")
    encoded = encode(output, limit=limits.max_output_bytes)
    return Outcome(
        StepPhase.SUCCEEDED,
        started,
        monotonic(),
        output=output,
        encoded=encoded,
        tool_digest=tool.digest,
        tool_retry=tool.retry,
    )


def _failed(tool: Tool | None, error: OrdinautError, *, started: float) -> Outcome:
    outcome = Outcome(
        StepPhase.TIMED_OUT if isinstance(error, _TookTooLong) else StepPhase.FAILED,
        started,
        monotonic(),
        error=first_mistakes(error.errors) if isinstance(error, Invalid) else str(error),
        may_pass=isinstance(error, _TookTooLong | Transient),
        asked_delay=error.delay if isinstance(error, Transient) else None,
    )
    return outcome if tool is None else outcome._replace(tool_digest=tool.digest, tool_retry=tool.retry)

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
from typing import Any, Protocol

from ordinaut.engine.expression import is_true
from ordinaut.engine.plan import PlanStep, first_mistakes
from ordinaut.errors import Invalid, OrdinautError, Transient
from ordinaut.resources.retry import RetryStrategy
from ordinaut.spans import Try
from ordinaut.states import StepPhase
from ordinaut.store.work import LeasedWork
from ordinaut_worker.output import encode
from ordinaut_worker.tools import Call, Tool


@dataclass(frozen=True, slots=True)
class Outcome:
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

    def outcome(phase: StepPhase, **more: Any) -> Outcome:
        digest, retry = (tool.digest, tool.retry) if tool else (None, None)
        return Outcome(phase, started, monotonic(), tool_digest=digest, tool_retry=retry, **more)

    try:
        if step.condition is not None and not is_true(step.condition.evaluate(scope)):
            return outcome(StepPhase.SKIPPED)
        tool = await toolbox.get(namespace=work.namespace, name=step.uses)
        allowed = step.timeout or tool.timeout or limits.step_timeout
        if remaining is not None:
            allowed = min(allowed, remaining)
        output = await _call(step, tool, work=work, scope=scope, allowed=allowed, traced=traced)
        return outcome(StepPhase.SUCCEEDED, output=output, encoded=encode(output, limit=limits.max_output_bytes))
    except _TookTooLong as late:
        return outcome(StepPhase.TIMED_OUT, error=str(late), may_pass=True)
    except Transient as error:
        return outcome(StepPhase.FAILED, error=str(error), may_pass=True, asked_delay=error.delay)
    except Invalid as invalid:
        return outcome(StepPhase.FAILED, error=first_mistakes(invalid.errors))
    except OrdinautError as error:
        return outcome(StepPhase.FAILED, error=str(error))


class _TookTooLong(OrdinautError):
    """The tool did not answer in time."""


async def _call(
    step: PlanStep, tool: Tool, *, work: LeasedWork, scope: Mapping[str, Any], allowed: timedelta, traced: Try | None
) -> Any:
    arguments = step.arguments.render(scope)
    if tool.input is not None:
        tool.input.check(arguments, field="with")
    call = Call(
        arguments=arguments,
        idempotency_key=f"{work.run}/{step.id}",
        namespace=work.namespace,
        task=work.task,
        run=work.run,
        step=step.id,
        traced=traced,
    )
    seconds = allowed.total_seconds()
    try:
        async with asyncio.timeout(seconds):
            output = await tool.call(call)
    except TimeoutError:
        raise _TookTooLong(f"no answer from {step.uses} within {seconds:g} s") from None
    if tool.output is not None:
        tool.output.check(output, field="output")
    return output

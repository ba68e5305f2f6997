"""One try of one step: the order of condition, input, call and output, and what becomes of each failure."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from ordinaut.engine.schema import compile_schema
from ordinaut.errors import Permanent, StepFailed, Transient
from ordinaut.resources.retry import RetryStrategy
from ordinaut.states import StepPhase
from ordinaut_worker.attempt import Limits, Outcome, attempt
from ordinaut_worker.tools import Call, Tool
from tests.unit.worker.works import leased, plan

LIMITS = Limits(step_timeout=timedelta(seconds=30), max_output_bytes=1000)


class Tools:
    """A toolbox of one tool."""

    def __init__(self, call: Callable[[Call], Awaitable[Any]], **more: Any) -> None:
        self.calls: list[Call] = []
        self.tool = Tool(self._remembering(call), **more)

    def _remembering(self, call: Callable[[Call], Awaitable[Any]]) -> Callable[[Call], Awaitable[Any]]:
        async def remember(given: Call) -> Any:
            self.calls.append(given)
            return await call(given)

        return remember

    def at_hand(self, name: str) -> Tool | None:
        raise AssertionError(f"nobody asks for {name} here")

    async def get(self, *, namespace: str, name: str) -> Tool:
        assert (namespace, name) == ("default", "weather")
        return self.tool


async def echo(call: Call) -> Any:
    return call.arguments


def answering(answer: Any) -> Callable[[Call], Awaitable[Any]]:
    async def call(_call: Call) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call


async def forever(_call: Call) -> Any:
    await asyncio.Event().wait()


async def tried(
    tools: Tools,
    *,
    scope: Mapping[str, Any] | None = None,
    remaining: timedelta | None = None,
    limits: Limits = LIMITS,
    **step: Any,
) -> Outcome:
    """Try a step that uses the tool."""
    steps = plan({"id": "a", "uses": "weather", **step}).steps
    everything = {"params": {"city": "Chisinau"}, "steps": {}, **(scope or {})}
    return await attempt(steps[0], work=leased(), scope=everything, toolbox=tools, limits=limits, remaining=remaining)


async def test_a_tool_gets_rendered_input_and_the_key_of_its_step() -> None:
    tools = Tools(echo)

    outcome = await tried(tools, **{"with": {"place": "${params.city}"}})

    (call,) = tools.calls
    assert call == Call(
        arguments={"place": "Chisinau"},
        idempotency_key="00000000-0000-0000-0000-000000000001/a",
        namespace="default",
        task="briefing",
        run="00000000-0000-0000-0000-000000000001",
        step="a",
    )
    assert (outcome.phase, outcome.output, outcome.encoded) == (
        StepPhase.SUCCEEDED,
        {"place": "Chisinau"},
        b'{"place":"Chisinau"}',
    )
    assert outcome.seconds >= 0


@pytest.mark.parametrize(("condition", "called"), [("params.city", True), ("params.city == 'Balti'", False)])
async def test_a_condition_decides_whether_a_tool_is_called(condition: str, called: bool) -> None:
    tools = Tools(echo)

    outcome = await tried(tools, **{"if": condition})

    assert outcome.phase is (StepPhase.SUCCEEDED if called else StepPhase.SKIPPED)
    assert len(tools.calls) == called


@pytest.mark.parametrize(
    ("error", "may_pass", "delay"),
    [
        (Transient("busy", delay=timedelta(seconds=7)), True, timedelta(seconds=7)),
        (Transient("busy"), True, None),
        (StepFailed("busy"), False, None),
        (Permanent("busy"), False, None),
    ],
)
async def test_the_type_of_an_error_says_whether_another_try_may_help(
    error: Exception, may_pass: bool, delay: timedelta | None
) -> None:
    outcome = await tried(Tools(answering(error)))

    assert (outcome.phase, outcome.error) == (StepPhase.FAILED, "busy")
    assert (outcome.may_pass, outcome.asked_delay) == (may_pass, delay)


async def test_input_that_the_tool_does_not_take_never_reaches_it() -> None:
    schema = compile_schema({"type": "object", "required": ["city"]}, field="inputSchema")
    tools = Tools(echo, input=schema)

    outcome = await tried(tools, **{"with": {"town": "Balti"}})

    assert tools.calls == []
    assert (outcome.phase, outcome.may_pass) == (StepPhase.FAILED, False)
    assert "with.city" in (outcome.error or "")


async def test_an_answer_that_breaks_the_tools_promise_fails_the_step() -> None:
    schema = compile_schema({"type": "object", "properties": {"degrees": {"type": "number"}}}, field="outputSchema")

    outcome = await tried(Tools(answering({"degrees": "warm"}), output=schema))

    assert (outcome.phase, outcome.may_pass, outcome.output) == (StepPhase.FAILED, False, None)
    assert "output.degrees" in (outcome.error or "")


async def test_an_answer_that_is_too_large_fails_the_step() -> None:
    outcome = await tried(Tools(answering("x" * 1001)))

    assert (outcome.phase, outcome.may_pass) == (StepPhase.FAILED, False)
    assert "more than the 1000 allowed" in (outcome.error or "")


@pytest.mark.parametrize("written", [{"with": {"x": "${params.town}"}}, {"if": "length(`5`)"}])
async def test_an_expression_without_a_value_fails_the_step(written: dict[str, Any]) -> None:
    tools = Tools(echo)

    outcome = await tried(tools, **written)

    assert (outcome.phase, outcome.may_pass, tools.calls) == (StepPhase.FAILED, False, [])
    assert outcome.error


SHORT, LONG = timedelta(milliseconds=20), timedelta(seconds=30)


@pytest.mark.parametrize(
    ("step", "tool", "worker", "run", "said"),
    [
        ("20ms", LONG, LONG, None, "0.02"),
        (None, SHORT, LONG, None, "0.02"),
        (None, None, SHORT, None, "0.02"),
        ("30s", SHORT, SHORT, timedelta(milliseconds=30), "0.03"),
        ("30s", None, LONG, timedelta(0), "0"),
    ],
)
async def test_the_nearest_limit_ends_a_step_that_takes_too_long(
    step: str | None, tool: timedelta | None, worker: timedelta, run: timedelta | None, said: str
) -> None:
    written = {} if step is None else {"timeout": step}
    limits = Limits(step_timeout=worker, max_output_bytes=1000)

    async with asyncio.timeout(20):
        outcome = await tried(Tools(forever, timeout=tool), remaining=run, limits=limits, **written)

    assert (outcome.phase, outcome.may_pass) == (StepPhase.TIMED_OUT, True)
    assert outcome.error == f"no answer from weather within {said} s"


async def test_a_cancelled_try_has_no_outcome() -> None:
    trying = asyncio.create_task(tried(Tools(forever)))
    await asyncio.sleep(0)
    trying.cancel()

    with pytest.raises(asyncio.CancelledError):
        await trying


async def test_the_outcome_names_the_tool_as_it_was_and_its_own_strategy() -> None:
    strategy = RetryStrategy(limit=7)
    tools = Tools(answering(Transient("busy")), digest=b"d", retry=strategy)

    outcome = await tried(tools)

    assert (outcome.tool_digest, outcome.tool_retry) == (b"d", strategy)

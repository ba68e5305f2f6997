"""A worker process carries out runs: results, retries, time limits, conditions, failures."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from ordinaut.states import ENDED_RUN_PHASES
from ordinaut.store import runs
from ordinaut.store.pool import Pool
from ordinaut.store.runs import Run, Step
from tests.declaring import cancel, declare, run_now, task, tool
from tests.relaying import in_outbox
from tests.running import Processes
from tests.toolserver import Answer, ToolServer

FAST = {"limit": 2, "backoff": {"duration": "1ms", "jitter": "None"}}


async def finished(pool: Pool, run_id: UUID, *, seconds: float = 60) -> tuple[Run, list[Step]]:
    """Return a run and its steps once it has ended."""
    async with asyncio.timeout(seconds):
        while True:
            async with pool.connection() as connection:
                run = await runs.get(connection, namespace="default", run_id=run_id)
                assert run is not None
                if run.phase in ENDED_RUN_PHASES:
                    return run, await runs.steps(connection, run_id=run_id)
            await asyncio.sleep(0.02)


async def carried_out(
    pool: Pool, *documents: dict[str, Any], params: dict[str, Any] | None = None
) -> tuple[Run, list[Step]]:
    """Declare documents, of which the last is a task, run it, and return what came of it."""
    await declare(pool, *documents)
    run_id = await run_now(pool, namespace="default", name=documents[-1]["metadata"]["name"], params=params)
    return await finished(pool, run_id)


@pytest.fixture
def worker(processes: Processes) -> None:
    """A running worker."""
    processes.start("worker", poll_seconds=0.2)


@pytest.mark.usefixtures("worker")
async def test_results_flow_from_step_to_step_and_into_the_output(pool: Pool, toolserver: ToolServer) -> None:
    toolserver.answers["calendar"] = lambda effect: Answer({"day": effect.input["day"], "events": [{"at": "09:00"}]})
    run, steps = await carried_out(
        pool,
        tool("calendar", toolserver.url),
        tool("notify", toolserver.url),
        task(
            "briefing",
            {"id": "calendar", "uses": "calendar", "with": {"day": "${params.day}"}, "saveAs": "cal"},
            {
                "id": "notify",
                "uses": "notify",
                "with": {"events": "${steps.cal.events}", "text": "On ${steps.cal.day}: ${steps.cal.events}"},
            },
            params={"day": "Monday"},
        ),
    )

    assert (run.phase, run.error) == ("Succeeded", None)
    assert [step.phase for step in steps] == ["Succeeded", "Succeeded"]
    (sent,) = toolserver.calls("notify")
    assert sent.input == {"events": [{"at": "09:00"}], "text": 'On Monday: [{"at":"09:00"}]'}
    assert sent.key == f"{run.run_id}/notify"
    assert steps[1].output == sent.input


@pytest.mark.usefixtures("worker")
async def test_a_failing_step_is_tried_again_without_holding_a_slot(pool: Pool, toolserver: ToolServer) -> None:
    answers = iter([Answer(status=503), Answer(status=429, headers={"Retry-After": "0"}), Answer({"ok": True})])
    toolserver.answers["flaky"] = lambda _: next(answers)
    run, steps = await carried_out(
        pool, tool("flaky", toolserver.url), task("t", {"id": "a", "uses": "flaky", "retryStrategy": FAST})
    )

    assert run.phase == "Succeeded"
    assert [(step.phase, step.attempt) for step in steps] == [("Succeeded", 3)]
    assert {effect.key for effect in toolserver.calls("flaky")} == {f"{run.run_id}/a"}
    async with pool.connection() as connection:
        types = [event["type"] for event in await in_outbox(connection)]
    assert types == [
        "task.applied",
        "run.created",
        "step.waiting",
        "run.waiting",
        "step.waiting",
        "run.waiting",
        "step.succeeded",
        "run.succeeded",
    ]


@pytest.mark.usefixtures("worker")
async def test_retries_end_and_the_error_says_what_the_tool_answered(pool: Pool, toolserver: ToolServer) -> None:
    toolserver.answers["down"] = lambda _: Answer({"why": "maintenance"}, status=503)
    run, steps = await carried_out(
        pool, tool("down", toolserver.url), task("t", {"id": "a", "uses": "down", "retryStrategy": FAST})
    )

    assert (run.phase, run.reason) == ("Failed", "StepFailed")
    assert "answered 503 Service Unavailable" in (run.error or "")
    assert "maintenance" in (run.error or "")
    assert steps[0].attempt == 3


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer({"why": "no such city"}, status=404), "answered 404 Not Found"),
        (Answer(status=302, headers={"Location": "http://elsewhere/"}), "redirects are not followed"),
        (Answer(raw=b"{broken", headers={}), "calls JSON and is not"),
        (Answer({"text": "a\x00b"}), "NUL character"),
        (Answer({"degrees": "warm"}), "degrees"),
    ],
)
async def test_what_would_not_help_is_not_tried_again(
    pool: Pool, toolserver: ToolServer, answer: Answer, message: str
) -> None:
    toolserver.answers["weather"] = lambda _: answer
    schema = {"type": "object", "properties": {"degrees": {"type": "number"}}}
    run, _ = await carried_out(
        pool,
        tool("weather", toolserver.url, outputSchema=schema),
        task("t", {"id": "a", "uses": "weather", "retryStrategy": FAST}),
    )

    assert run.phase == "Failed"
    assert message in (run.error or "")
    assert len(toolserver.calls("weather")) == 1


@pytest.mark.usefixtures("worker")
async def test_wrong_input_never_reaches_the_tool(pool: Pool, toolserver: ToolServer) -> None:
    schema = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
    run, _ = await carried_out(
        pool,
        tool("weather", toolserver.url, inputSchema=schema),
        task("t", {"id": "a", "uses": "weather", "with": {"city": 7}}),
    )

    assert run.phase == "Failed"
    assert "with.city" in (run.error or "")
    assert toolserver.calls("weather") == []


@pytest.mark.usefixtures("worker")
async def test_conditions_skip_and_lenient_steps_go_on(pool: Pool) -> None:
    run, steps = await carried_out(
        pool,
        task(
            "t",
            {"id": "never", "uses": "std.fail", "if": "params.broken"},
            {"id": "lenient", "uses": "std.fail", "with": {"message": "oops"}, "onError": "Continue"},
            {"id": "last", "uses": "std.log", "with": {"message": "${steps.never || 'nothing'}"}},
            params={"broken": False},
        ),
    )

    assert run.phase == "Succeeded"
    assert [step.phase for step in steps] == ["Skipped", "Failed", "Succeeded"]
    assert steps[2].output == {"message": "nothing"}


@pytest.mark.usefixtures("worker")
async def test_a_step_that_takes_too_long_is_given_up(pool: Pool, toolserver: ToolServer) -> None:
    toolserver.gate("slow")
    run, steps = await carried_out(
        pool, tool("slow", toolserver.url), task("t", {"id": "a", "uses": "slow", "timeout": "50ms"})
    )

    assert (run.phase, run.reason) == ("Failed", "StepTimedOut")
    assert steps[0].phase == "TimedOut"
    assert "no answer from slow within 0.05 s" in (run.error or "")


@pytest.mark.usefixtures("worker")
async def test_a_run_that_takes_too_long_is_given_up(pool: Pool, toolserver: ToolServer) -> None:
    toolserver.gate("slow")
    forever = {"limit": 99, "backoff": {"duration": "10ms", "jitter": "None"}}
    run, steps = await carried_out(
        pool,
        tool("slow", toolserver.url),
        task("t", {"id": "a", "uses": "slow", "timeout": "100ms", "retryStrategy": forever}, timeout="300ms"),
    )

    assert (run.phase, run.reason) == ("TimedOut", "DeadlineExceeded")
    assert steps[0].phase == "TimedOut"


@pytest.mark.usefixtures("worker")
async def test_cancelling_a_run_stops_it_at_once_and_frees_the_worker(pool: Pool, toolserver: ToolServer) -> None:
    toolserver.gate("slow")
    await declare(pool, tool("slow", toolserver.url), task("t", {"id": "a", "uses": "slow"}))
    run_id = await run_now(pool, namespace="default", name="t")
    while not toolserver.calls("slow"):
        await asyncio.sleep(0.01)

    await cancel(pool, namespace="default", run_id=run_id)

    run, steps = await finished(pool, run_id)
    assert (run.phase, run.reason, steps) == ("Cancelled", "Requested", [])
    async with asyncio.timeout(60):
        while True:
            async with pool.connection() as connection:
                if not await (await connection.execute("SELECT 1 FROM work_lease")).fetchone():
                    break
            await asyncio.sleep(0.02)


@pytest.mark.usefixtures("worker")
async def test_an_edited_tool_counts_from_the_next_step_on(pool: Pool, toolserver: ToolServer) -> None:
    gate = toolserver.gate("first")
    await declare(
        pool,
        tool("first", toolserver.url),
        tool("second", toolserver.url),
        task("t", {"id": "a", "uses": "first"}, {"id": "b", "uses": "second"}),
    )
    run_id = await run_now(pool, namespace="default", name="t")
    while not toolserver.calls("first"):
        await asyncio.sleep(0.01)
    moved = tool("second", toolserver.url)
    moved["spec"]["http"]["url"] += "-moved"
    await declare(pool, moved)
    gate.set()

    run, _ = await finished(pool, run_id)

    assert run.phase == "Succeeded"
    assert len(toolserver.calls("second-moved")) == 1


@pytest.mark.usefixtures("worker")
async def test_an_edited_pipeline_leaves_a_run_under_way_on_its_revision(pool: Pool, toolserver: ToolServer) -> None:
    gate = toolserver.gate("first")
    old = task("t", {"id": "a", "uses": "first"}, {"id": "b", "uses": "std.log", "with": {"message": "old"}})
    new = task("t", {"id": "a", "uses": "first"}, {"id": "b", "uses": "std.log", "with": {"message": "new"}})
    await declare(pool, tool("first", toolserver.url), old)
    before = await run_now(pool, namespace="default", name="t")
    while not toolserver.calls("first"):
        await asyncio.sleep(0.01)
    await declare(pool, new)
    after = await run_now(pool, namespace="default", name="t")
    gate.set()

    outputs = [(await finished(pool, run_id))[1][1].output for run_id in (before, after)]

    assert outputs == [{"message": "old"}, {"message": "new"}]


@pytest.mark.usefixtures("worker")
async def test_params_get_defaults_and_the_output_is_rendered(pool: Pool) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string", "default": "Chisinau"}, "n": {"type": "integer"}},
    }
    spec = {"params": schema, "steps": [{"id": "a", "uses": "std.log", "with": {"message": "${params.city}"}}]}
    document = task("t", pipeline={**spec, "output": {"said": "${steps.a.message}", "n": "${params.n}"}})
    run, _ = await carried_out(pool, document, params={"n": 3})

    assert run.params == {"city": "Chisinau", "n": 3}
    assert run.output == {"said": "Chisinau", "n": 3}

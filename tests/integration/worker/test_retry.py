"""Retrying a run: it goes on where the old one failed, with the same revision and params, and the old one stays."""

import pytest

from ordinaut.declaration.apply import remove
from ordinaut.errors import Conflict, NotFound
from ordinaut.states import Origin
from ordinaut.store import declared
from ordinaut.store.ids import new_run_id
from ordinaut.store.pool import Pool
from tests.declaring import cancel, declare, pipeline, retry, run_now, task, tool
from tests.integration.rows import run_of
from tests.integration.worker.test_runs import finished
from tests.relaying import in_outbox
from tests.running import Processes
from tests.toolserver import Answer, ToolServer

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}


@pytest.fixture
def worker(processes: Processes) -> None:
    """A running worker."""
    processes.start("worker", poll_seconds=0.2)


@pytest.mark.usefixtures("worker")
async def test_a_retry_goes_on_at_the_step_that_failed(pool: Pool, toolserver: ToolServer) -> None:
    toolserver.answers["second"] = lambda _: Answer({"error": "broken"}, status=400)
    steps = pipeline(
        "steps",
        {"id": "first", "uses": "first", "with": {"city": "${params.city}"}},
        {"id": "never", "uses": "first", "if": "params.city == 'nowhere'"},
        {"id": "second", "uses": "second", "with": {"got": "${steps.first}"}},
        {"id": "third", "uses": "third", "with": {"got": "${steps.second}"}},
        output="${steps.third}",
        params={"type": "object"},
    )
    tools = [tool(name, toolserver.url) for name in ("first", "second", "third")]
    await declare(pool, *tools, steps, task("t", pipelineRef={"name": "steps"}))
    first = await run_now(pool, namespace="default", name="t", params={"city": "Chisinau"})
    failed, failed_steps = await finished(pool, first)
    assert failed.phase == "Failed"
    # What is edited meanwhile is not what the run executes.
    await declare(pool, pipeline("steps", LOG))
    toolserver.answers["second"] = lambda effect: Answer({"seen": effect.input})

    again = await retry(pool, run_id=first)

    retried, all_steps = await finished(pool, again)
    assert (retried.phase, retried.error) == ("Succeeded", None)
    assert (retried.trigger, retried.retry_of) == ("retry", first)
    assert (retried.revision, retried.params) == (failed.revision, {"city": "Chisinau"})
    assert [step.phase for step in all_steps] == ["Succeeded", "Skipped", "Succeeded", "Succeeded"]
    assert all_steps[:2] == failed_steps[:2]
    assert [effect.tool for effect in toolserver.effects].count("first") == 1
    assert await run_of(pool, first) == failed


@pytest.mark.usefixtures("worker")
async def test_a_retry_of_a_run_whose_output_failed_calls_nothing_again(pool: Pool, toolserver: ToolServer) -> None:
    document = task("t", {"id": "only", "uses": "only"})
    document["spec"]["pipeline"]["output"] = "${steps.only.missing}"
    await declare(pool, tool("only", toolserver.url), document)
    first = await run_now(pool, namespace="default", name="t")
    failed, _ = await finished(pool, first)
    assert failed.reason == "OutputFailed"

    retried, steps = await finished(pool, await retry(pool, run_id=first))

    assert retried.reason == "OutputFailed"
    assert [step.phase for step in steps] == ["Succeeded"]
    assert len(toolserver.effects) == 1


async def test_a_run_is_retried_only_once_it_has_ended_and_not_succeeded(pool: Pool) -> None:
    await declare(pool, task("t", LOG))
    run_id = await run_now(pool, namespace="default", name="t")
    with pytest.raises(Conflict, match="is not over: it is Pending"):
        await retry(pool, run_id=run_id)

    await cancel(pool, namespace="default", run_id=run_id)
    again = await retry(pool, run_id=run_id)

    created = [event for event in await told(pool) if event["type"] == "run.created"][-1]
    assert (created["run"], created["data"]) == (str(again), {"trigger": "retry", "retryOf": str(run_id)})
    async with pool.connection() as connection:
        await connection.execute("UPDATE run SET phase = 'Succeeded', finished_at = now() WHERE run_id = %s", [again])
    with pytest.raises(Conflict, match="has succeeded; run Task default/t to do it again"):
        await retry(pool, run_id=again)


async def told(pool: Pool) -> list[dict[str, object]]:
    async with pool.connection() as connection:
        return await in_outbox(connection)


async def test_a_run_of_another_namespace_does_not_exist(pool: Pool) -> None:
    await declare(pool, task("t", LOG))
    run_id = await run_now(pool, namespace="default", name="t")
    unknown = new_run_id((await run_of(pool, run_id)).created_at)
    with pytest.raises(NotFound, match=f"there is no run {run_id} in namespace other"):
        await retry(pool, run_id=run_id, namespace="other")
    with pytest.raises(NotFound, match=f"there is no run {unknown} in namespace default"):
        await retry(pool, run_id=unknown)


async def test_a_task_that_cannot_run_has_no_run_retried(pool: Pool) -> None:
    steps = pipeline("steps", LOG)
    await declare(pool, steps, task("t", pipelineRef={"name": "steps"}, concurrencyPolicy="Forbid"))
    run_id = await run_now(pool, namespace="default", name="t")
    await cancel(pool, namespace="default", run_id=run_id)
    again = await retry(pool, run_id=run_id)

    with pytest.raises(Conflict, match="concurrencyPolicy is Forbid"):
        await retry(pool, run_id=run_id)
    await cancel(pool, namespace="default", run_id=again)

    await forget(pool, "Pipeline")
    with pytest.raises(Conflict, match="is not ready: PipelineNotFound"):
        await retry(pool, run_id=run_id)

    # A task of the same name is another one.
    await forget(pool, "Task")
    await declare(pool, steps, task("t", pipelineRef={"name": "steps"}))
    with pytest.raises(Conflict, match="was deleted"):
        await retry(pool, run_id=run_id)


async def forget(pool: Pool, kind: str) -> None:
    async with pool.connection() as connection:
        found = await declared.incarnations(connection, origin=Origin.API)
    await remove(pool, [one for one in found if one.key.kind == kind], origin=Origin.API)


async def test_replacing_ends_the_run_that_is_active(pool: Pool) -> None:
    await declare(pool, task("t", LOG, concurrencyPolicy="Replace"))
    run_id = await run_now(pool, namespace="default", name="t")
    await cancel(pool, namespace="default", run_id=run_id)
    other = await run_now(pool, namespace="default", name="t")

    await retry(pool, run_id=run_id)

    assert (await run_of(pool, other)).reason == "Replaced"

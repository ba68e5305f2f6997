"""Traces: one for each run, whoever takes part in it, and none where nobody asked for them."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ordinaut import spans
from ordinaut.store import runs
from ordinaut.store.pool import Pool
from ordinaut.store.runs import Run
from tests.cluster.processes import free_port
from tests.collector import Collector
from tests.declaring import declare, manifest, pipeline, task, tool
from tests.integration.serving import RUNS, TASKS
from tests.running import Processes, Running, until
from tests.toolserver import Answer, ToolServer

pytestmark = pytest.mark.integration

CANARY = "canary-7f3a"
CLIENT = 3
AGAIN = {"limit": 1, "backoff": {"duration": "100ms"}}
ELSEWHERE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


def start(processes: Processes, folder: Path, collector: Collector) -> tuple[Running, Running]:
    """Start an operator and a worker that send traces."""
    processes.environment |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20collector",
    }
    return processes.start("operator", source="directory", directory=folder), processes.start("worker")


def http(name: str, url: str, headers: dict[str, str]) -> dict[str, Any]:
    """A tool with headers of its own."""
    return manifest("Tool", name, {"http": {"url": url, "headers": headers}})


def soon() -> str:
    return (datetime.now(UTC) + timedelta(seconds=3)).isoformat(timespec="seconds").replace("+00:00", "Z")


async def ended_runs(pool: Pool, *, count: int = 1) -> list[Run]:
    async with asyncio.timeout(60):
        while True:
            async with pool.connection() as connection:
                found = await runs.list_(connection, namespace="default", limit=99)
            if len(found) >= count and all(run.finished_at for run in found):
                return found
            await asyncio.sleep(0.05)


async def received(collector: Collector, run: str, names: set[str]) -> None:
    def all_there() -> bool:
        return names <= set(collector.trace(run))

    await asyncio.to_thread(until, all_there, what=lambda: f"{names}; there are {collector.of(run)}")


async def test_a_run_is_one_trace_from_its_fire_to_the_calls_of_its_tools(
    pool: Pool, processes: Processes, toolserver: ToolServer, collector: Collector, tmp_path: Path
) -> None:
    start(processes, tmp_path, collector)
    failures = iter([Answer({"why": CANARY}, status=503)])
    toolserver.answers["second"] = lambda _: next(failures, Answer({"secret": CANARY}))
    await declare(
        pool,
        http("first", f"{toolserver.url}/first?key={CANARY}", {"X-Key": CANARY}),
        tool("second", toolserver.url),
        pipeline(
            "p",
            {"id": "one", "uses": "first", "with": {"at": "${params.secret}"}},
            {
                "id": "two",
                "uses": "second",
                "with": {},
                "retryStrategy": {"limit": 1, "backoff": {"duration": "100ms"}},
            },
        ),
        task("briefing", pipelineRef={"name": "p"}, schedules=[{"at": soon()}], params={"secret": CANARY}),
    )

    (run,) = await ended_runs(pool)
    assert run.phase == "Succeeded"
    run_id = str(run.run_id)
    await received(collector, run_id, {"fire briefing", "run briefing", "step one", "step two", "POST"})
    await asyncio.to_thread(until, lambda: len(collector.of(run_id)) == 8, what=lambda: str(collector.of(run_id)))

    found = collector.of(run_id)
    assert {one.trace for one in found} == {f"{spans.trace_id(run_id):032x}"}
    assert len({one.id for one in found}) == 8
    (fire,) = [one for one in found if one.name == "fire briefing"]
    (whole,) = [one for one in found if one.name == "run briefing"]
    steps = sorted((one for one in found if one.name.startswith("step ")), key=lambda one: one.started)
    calls = sorted((one for one in found if one.name == "POST"), key=lambda one: one.started)
    assert (fire.parent, fire.service) == ("", "ordinaut-operator")
    assert (whole.parent, whole.service) == (fire.id, "ordinaut-worker")
    assert [one.parent for one in steps] == [whole.id] * 3
    assert [one.parent for one in calls] == [one.id for one in steps]
    assert [one.name for one in steps] == ["step one", "step two", "step two"]
    assert [one.failed for one in steps] == [False, True, False]
    assert [one.kind for one in calls] == [CLIENT] * 3
    assert [one.attributes["http.response.status_code"] for one in calls] == [200, 503, 200]
    assert [one.attributes["ordinaut.step.attempt"] for one in steps] == [1, 1, 2]
    assert fire.attributes["ordinaut.fire.lag_seconds"] < 60
    assert {one.attributes["ordinaut.task"] for one in (fire, whole, *steps)} == {"briefing"}
    assert whole.attributes["ordinaut.run.phase"] == "Succeeded"
    assert all(one.ended >= one.started for one in found)
    assert run.started_at is not None
    assert abs(whole.started / 1e9 - run.started_at.timestamp()) < 0.001
    # The tool goes on under the span of its own call.
    sent = [effect.headers["traceparent"] for name in ("first", "second") for effect in toolserver.calls(name)]
    assert sent == [f"00-{one.trace}-{one.id}-01" for one in calls]
    assert {headers["authorization"] for headers in collector.headers} == {"Bearer collector"}
    assert CANARY.encode() not in b"".join(collector.raw)


async def test_runs_that_others_end_and_ask_for_have_whole_traces_too(
    pool: Pool, processes: Processes, toolserver: ToolServer, collector: Collector, tmp_path: Path
) -> None:
    start(processes, tmp_path, collector)
    port = free_port()
    processes.start("api", api_port=port)
    toolserver.gate("slow")
    await declare(
        pool,
        http("slow", f"{toolserver.url}/slow", {"Traceparent": ELSEWHERE}),
        pipeline("p", {"id": "one", "uses": "slow", "with": {}}),
        task("t", pipelineRef={"name": "p"}),
    )

    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        made = (await client.post(f"{TASKS}/t/run", json={})).raise_for_status().json()
        run_id = made["metadata"]["name"]
        await asyncio.to_thread(until, lambda: toolserver.calls("slow"), what="the call")
        (await client.post(f"{RUNS}/{run_id}/cancel")).raise_for_status()

    await received(collector, run_id, {"request t", "run t", "step one", "POST"})
    trace = collector.trace(run_id)
    assert trace["run t"].parent == trace["request t"].id
    assert trace["request t"].service == trace["run t"].service == "ordinaut-api"
    assert (trace["run t"].failed, trace["run t"].message) == (True, "Requested")
    assert trace["POST"].parent == trace["step one"].id
    assert trace["step one"].message == "Cancelled"
    assert trace["POST"].attributes["error.type"] == "CancelledError"
    # A header of the tool's own declaration is left as it is.
    (effect,) = toolserver.calls("slow")
    assert effect.headers["Traceparent"] == ELSEWHERE
    assert "traceparent" not in effect.headers


async def test_a_collector_that_is_away_is_noticed_once_and_by_nobody_else(
    pool: Pool, processes: Processes, collector: Collector, tmp_path: Path
) -> None:
    processes.environment |= {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    operator = processes.start("operator", source="directory", directory=tmp_path)
    worker = processes.start("worker")
    await declare(pool, *(task(f"t-{n}", LOG, schedules=[{"at": soon()}]) for n in range(20)))

    await ended_runs(pool, count=20)
    await asyncio.to_thread(until, lambda: worker.metric("ordinaut_spans_dropped_total") >= 40, what=worker.log)
    for one in (operator, worker):
        one.send(signal.SIGTERM)
        await asyncio.to_thread(until, lambda one=one: one.process.poll() is not None, what=one.log, seconds=15)

    assert [one.process.returncode for one in (operator, worker)] == [0, 0]
    for one in (operator, worker):
        assert one.log().count("traces are lost") == 1
        assert "Traceback" not in one.log()


def test_without_a_collector_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    program = """
import os, sys, ordinaut_operator.app, ordinaut_worker.app, ordinaut_api.server
from ordinaut import process

process.metrics.begin = lambda *given, **named: None  # it may be called once only

def tell(**environment):
    os.environ.update(environment)
    process.start("worker", process.settings.ProcessSettings, nothing)
    # The client of Redis loads a part of OpenTelemetry by itself, where it finds it.
    parts = "ordinaut.tracing", "opentelemetry.exporter", "opentelemetry.sdk.trace", "google.protobuf"
    print([part for part in parts if part in sys.modules])

async def nothing(configured):
    pass

tell()
tell(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", OTEL_SDK_DISABLED="true")
tell(OTEL_SDK_DISABLED="", OTEL_TRACES_EXPORTER="none")
"""
    told = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": os.environ["PATH"], "PGHOST": "nowhere"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert (told.stdout.splitlines(), told.returncode) == (["[]"] * 3, 0), told.stderr


async def test_traces_that_are_not_sampled_are_left_out_by_all_processes_alike(
    pool: Pool, processes: Processes, toolserver: ToolServer, collector: Collector, tmp_path: Path
) -> None:
    processes.environment |= {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    start(processes, tmp_path, collector)
    await declare(
        pool,
        tool("say", toolserver.url),
        *(task(f"t-{n}", {"id": "a", "uses": "say", "with": {}}, schedules=[{"at": soon()}]) for n in range(24)),
    )

    made = await ended_runs(pool, count=24)
    kept: dict[str, Any] = {str(run.run_id): None for run in made}
    for effect in [one for one in toolserver.calls("say") if one.headers["traceparent"].endswith("-00")]:
        del kept[effect.key.partition("/")[0]]
    assert 0 < len(kept) < 24
    for run_id in kept:
        await asyncio.to_thread(until, lambda run_id=run_id: len(collector.of(run_id)) == 4, what="four spans")
    assert {one.trace for one in collector.spans} == {f"{spans.trace_id(run_id):032x}" for run_id in kept}

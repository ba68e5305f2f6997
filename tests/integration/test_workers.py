"""Live workers as people see them: what they take, what they hold, and that they end."""

import asyncio
import json
import signal
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import psycopg
import pytest
from typer.testing import CliRunner

from ordinaut.client import Client
from ordinaut_cli.app import app
from tests.cluster.processes import free_port
from tests.declaring import API_VERSION, declare_at, task, tool
from tests.running import Processes, until
from tests.toolserver import ToolServer

STEP = {"id": "a", "uses": "work"}


@pytest.fixture
def url(processes: Processes) -> str:
    """Where a running API is."""
    port = free_port()
    processes.start("api", api_port=port)
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def workers(url: str) -> Iterator[Callable[..., dict[str, Any]]]:
    """Return the live workers by name, as a namespace sees them."""
    with httpx2.Client(base_url=url) as client:
        yield lambda namespace="default": {
            one["name"]: one for one in client.get(f"/v1/namespaces/{namespace}/workers").json()["items"]
        }


def run(url: str, name: str) -> str:
    answer = httpx2.post(f"{url}/v1/namespaces/default/tasks/{name}/run")
    assert answer.status_code == 202, answer.text
    return str(answer.json()["metadata"]["name"])


def test_runs_go_to_the_workers_of_their_queue(
    processes: Processes, database: str, toolserver: ToolServer, url: str, workers: Callable[..., dict[str, Any]]
) -> None:
    steps = tool("work", toolserver.url), task("usual", STEP), task("train", STEP, queue="gpu")
    # Each hears of new work by notifications only.
    processes.start("worker", worker_name="plain", poll_seconds=60)
    processes.start("worker", worker_name="gpu", worker_queues="gpu,later", worker_slots=2, poll_seconds=60)
    gate = toolserver.gate("work")
    declare_at(database, *steps)

    train, usual = run(url, "train"), run(url, "usual")
    until(lambda: len(toolserver.calls("work")) == 2, what=processes.logs)

    until(lambda: len(workers()) == 2, what=processes.logs)
    found = workers()
    assert {name: (one["queues"], one["slots"], one["busy"]) for name, one in found.items()} == {
        "plain": (["default"], 16, 1),
        "gpu": (["gpu", "later"], 2, 1),
    }
    held = {name: [(one["id"], one["task"]) for one in worker["runs"]] for name, worker in found.items()}
    assert held == {"plain": [(usual, "usual")], "gpu": [(train, "train")]}

    # A queue that comes later than its worker; and one of which there is none.
    declare_at(database, task("t", STEP, queue="later"), task("nobody", STEP, queue="lonely"))
    last, lonely = run(url, "t"), run(url, "nobody")
    gate.set()
    until(lambda: phase(database, last) == "Succeeded", what=processes.logs)
    assert phase(database, lonely) == "Pending"

    # Whoever takes from all takes from it as well.
    processes.start("worker", worker_name="all", worker_queues="*")
    until(lambda: phase(database, lonely) == "Succeeded", what=processes.logs)
    declare_at(database, task("newer", STEP, queue="made-since"))
    newer = run(url, "newer")
    until(lambda: phase(database, newer) == "Succeeded", what=processes.logs)


def phase(database: str, run_id: str) -> str:
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT phase FROM ordinaut.run WHERE run_id = %s", [run_id]).fetchone()
        assert row is not None
        return str(row[0])


def test_another_namespace_is_told_a_number_and_no_names(
    processes: Processes, database: str, toolserver: ToolServer, url: str, workers: Callable[..., dict[str, Any]]
) -> None:
    processes.start("worker", worker_name="w")
    gate = toolserver.gate("work")
    declare_at(database, tool("work", toolserver.url), task("secret-plan", STEP))
    run(url, "secret-plan")
    until(lambda: toolserver.calls("work") and workers(), what=processes.logs)

    (ours,) = workers().values()
    theirs = workers("other")["w"]
    assert (ours["busy"], ours["held"], len(ours["runs"])) == (1, 1, 1)
    assert (theirs["busy"], theirs["held"], theirs["runs"]) == (1, 0, [])
    assert "secret" not in json.dumps(theirs)
    gate.set()


def test_a_worker_that_drains_says_so_until_it_is_gone(
    processes: Processes, database: str, toolserver: ToolServer, url: str, workers: Callable[..., dict[str, Any]]
) -> None:
    # The next heartbeat that is due anyway would come in twenty minutes.
    worker = processes.start("worker", worker_name="w", lease_seconds=3600)
    gate = toolserver.gate("work")
    declare_at(database, tool("work", toolserver.url), task("t", STEP))
    run(url, "t")
    until(lambda: toolserver.calls("work") and workers(), what=processes.logs)
    assert not workers()["w"]["draining"]

    worker.send(signal.SIGTERM)
    until(lambda: workers()["w"]["draining"], what=processes.logs)
    gate.set()
    until(lambda: worker.process.poll() is not None, what=processes.logs)
    assert workers() == {}


def test_a_lost_worker_is_listed_no_more_when_its_lease_has_run_out(
    processes: Processes, url: str, workers: Callable[..., dict[str, Any]]
) -> None:
    worker = processes.start("worker", worker_name="w", lease_seconds=1)
    until(workers, what=processes.logs)
    worker.kill()
    until(lambda: not workers(), what="the worker to be forgotten")

    # One of the same name begins anew.
    processes.start("worker", worker_name="w", worker_slots=3)
    assert until(workers, what=processes.logs)["w"]["slots"] == 3


def test_the_command_line_and_the_client_list_workers(
    processes: Processes, database: str, toolserver: ToolServer, url: str
) -> None:
    def called(*arguments: str) -> str:
        result = CliRunner(env={"ORDINAUT_API_URL": url, "COLUMNS": "200"}).invoke(app, ["workers", *arguments])
        assert result.exit_code == 0, result.output
        return result.output

    assert called().strip() == "no worker lives"
    processes.start("worker", worker_name="one", worker_queues="*")
    processes.start("worker", worker_name="two", worker_slots=4)
    gate = toolserver.gate("work")
    declare_at(database, tool("work", toolserver.url), task("report", STEP))
    made = run(url, "report")
    until(lambda: toolserver.calls("work") and called().count("live") == 2, what=processes.logs)

    table = called().splitlines()
    assert table[0].split() == ["WORKER", "QUEUES", "BUSY", "HERE", "VERSION", "AGE", "SEEN", "STATE"]
    assert [line.split()[:2] for line in table[1:3]] == [["one", "*"], ["two", "default"]]
    (held,) = [line.split() for line in table if made in line]
    assert held[1] == "report"
    assert held[2] in {"one", "two"}
    assert [one["name"] for one in json.loads(called("-o", "json"))["items"]] == ["one", "two"]

    async def listed() -> list[str]:
        async with Client(url) as client:
            return [one.name async for one in client.workers.list()]

    assert asyncio.run(listed()) == ["one", "two"]
    gate.set()


def test_a_task_shows_its_queue_its_priority_and_its_keys(processes: Processes, url: str) -> None:
    manifest = {
        "apiVersion": API_VERSION,
        "kind": "Task",
        "metadata": {"name": "t"},
        "spec": {
            "queue": "gpu",
            "priority": 7,
            "concurrency": [{"key": "box", "limit": 2}, {"key": "all"}],
            "pipeline": {"steps": [{"id": "a", "uses": "std.log", "with": {"message": "x"}}]},
        },
    }
    made = httpx2.post(f"{url}/v1/namespaces/default/tasks", json=manifest)
    assert made.status_code == 201, made.text
    assert made.json()["spec"]["queue"] == "gpu"

    shown = CliRunner(env={"ORDINAUT_API_URL": url}).invoke(app, ["describe", "task", "t"])
    lines = [line.split(maxsplit=1) for line in shown.output.splitlines()]
    assert [one for one in lines if one[:1] in (["Keys"], ["Priority"], ["Queue"])] == [
        ["Keys", "box (at most 2), all (at most 1)"],
        ["Priority", "7"],
        ["Queue", "gpu"],
    ]

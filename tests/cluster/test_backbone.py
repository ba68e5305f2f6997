"""The whole way on real parts: kubectl, API server, operator, PostgreSQL, clock, worker, tool, history, status."""

import asyncio
import json
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from ordinaut.store import runs, status
from ordinaut.store.pool import Pool, open_pool
from ordinaut.store.runs import Run
from tests.cluster import operating
from tests.cluster.controlplane import ControlPlane
from tests.declaring import manifest
from tests.running import Processes, Running, until
from tests.timing import at_most
from tests.toolserver import ToolServer

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}


class Cluster:
    """A namespace of a real API server with an operator and a worker that serve it."""

    def __init__(self, control_plane: ControlPlane, namespace: str, processes: Processes, database: str) -> None:
        self._control_plane = control_plane
        self._processes = processes
        self.namespace = namespace
        self.database = database

    def start_operator(self) -> Running:
        """Start an operator with the rights that the README gives it, and no others."""
        return self._processes.start(
            "operator",
            watch_namespaces=json.dumps([self.namespace]),
            lease_namespace=self.namespace,
            recovery_seconds=1,
        )

    def start_worker(self) -> Running:
        """Start a worker."""
        return self._processes.start("worker", poll_seconds=0.5)

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl in the namespace and return what it printed."""
        done = self._control_plane.kubectl("--namespace", self.namespace, *arguments, stdin=stdin, check=check)
        return done.stdout + done.stderr

    def apply(self, *documents: dict[str, Any]) -> None:
        """Apply manifests."""
        for document in documents:
            document["metadata"].pop("namespace", None)
        self.kubectl("apply", "--filename", "-", stdin=yaml.safe_dump_all(documents))

    def task(self, name: str) -> dict[str, Any]:
        """Return a Task as the API server has it."""
        return dict(json.loads(self.kubectl("get", "task", name, "--output", "json")))

    def ready(self, name: str) -> tuple[str, str] | None:
        """Return status and reason of a Task's Ready condition."""
        return operating.condition(self.task(name).get("status", {}), "Ready")

    def ask(self, question: Callable[[Pool], Any]) -> Any:
        """Return what an async function of a pool returns."""

        async def run() -> Any:
            async with open_pool(self.database, application="test", size=2) as pool:
                return await question(pool)

        return asyncio.run(run())

    def runs(self, task: str | None = None) -> list[Run]:
        """Return the runs of a task, or all of them, newest first."""

        async def listed(pool: Pool) -> list[Run]:
            async with pool.connection() as connection:
                return await runs.list_(connection, namespace=self.namespace, limit=500, task=task)

        return list(self.ask(listed))


@pytest.fixture
def cluster(control_plane: ControlPlane, namespace: str, processes: Processes, database: str) -> Cluster:
    """A namespace with the CRDs and an operator's service account; nothing runs yet."""
    operating.install_definitions(control_plane)
    operating.allow(control_plane, "operator", namespace)
    processes.environment["KUBECONFIG"] = str(control_plane.kubeconfig_for("operator", namespace))
    return Cluster(control_plane, namespace, processes, database)


def in_seconds(seconds: float) -> str:
    """Return a moment as a manifest writes it."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    return moment.replace(microsecond=0).isoformat().replace("+00:00", "Z")


def test_what_kubectl_applies_runs_on_time_and_says_so(cluster: Cluster, toolserver: ToolServer) -> None:
    cluster.start_operator()
    cluster.start_worker()
    cluster.apply(
        manifest("Tool", "weather", {"http": {"url": f"{toolserver.url}/weather"}}),
        manifest(
            "Pipeline", "briefing", {"steps": [{"id": "weather", "uses": "weather", "with": {"city": "Chisinau"}}]}
        ),
        manifest("Task", "morning", {"schedules": [{"cron": "*/10 * * * * *"}], "pipelineRef": {"name": "briefing"}}),
    )

    until(lambda: cluster.ready("morning") == ("True", "Resolved"), what="the task to be ready", seconds=at_most(5))
    until(lambda: [run for run in cluster.runs("morning") if run.phase == "Succeeded"], what="a run")

    (run, *_) = [run for run in cluster.runs("morning") if run.phase == "Succeeded"]
    assert run.trigger == "schedule"
    assert toolserver.calls("weather")[0].input == {"city": "Chisinau"}
    until(lambda: cluster.task("morning")["status"].get("lastRun", {}).get("phase") == "Succeeded", what="the status")
    table = cluster.kubectl("get", "otask", "morning")
    heading, row = table.splitlines()
    assert heading.split() == ["NAME", "SCHEDULE", "TIMEZONE", "SUSPEND", "NEXT", "LAST", "PHASE", "AGE"]
    assert row.startswith("morning   */10 * * * * *   UTC        false     20")
    assert row.split()[-2] in {"Scheduled", "Running"}
    found = cluster.task("morning")["status"]
    assert found["observedGeneration"] == 1
    assert found["lastScheduleTime"] <= found["nextScheduleTime"]
    assert len(found["upcoming"]) == 5
    assert found["upcoming"][0] == found["nextScheduleTime"]
    for condition in found["conditions"]:
        assert {"type", "status", "reason", "message", "lastTransitionTime", "observedGeneration"} == set(condition)
    metadata = cluster.task("morning")["metadata"]
    assert "finalizers" not in metadata
    assert set(metadata["annotations"]) == {"kubectl.kubernetes.io/last-applied-configuration"}


def test_a_hundred_fires_start_within_a_quarter_second(cluster: Cluster) -> None:
    cluster.start_operator()
    cluster.start_worker()
    # The first run compiles, connects and imports; it is not what is measured.
    cluster.apply(manifest("Task", "warm", {"schedules": [{"at": in_seconds(5)}], "pipeline": {"steps": [LOG]}}))
    until(lambda: [run for run in cluster.runs("warm") if run.finished_at], what="the first run")
    cluster.apply(
        *(
            manifest("Task", f"t{n}", {"schedules": [{"at": in_seconds(12 + n // 10)}], "pipeline": {"steps": [LOG]}})
            for n in range(100)
        )
    )

    until(lambda: len([run for run in cluster.runs() if run.phase == "Succeeded"]) == 101, what="all runs", seconds=60)

    lags = sorted(
        (run.started_at - run.scheduled_at).total_seconds()
        for run in cluster.runs()
        if run.task != "warm" and run.started_at and run.scheduled_at
    )
    assert len(lags) == 100
    assert lags[0] >= 0
    assert lags[98] < at_most(0.25), lags[-5:]


def test_an_edited_schedule_moves_next_and_fires_nothing_of_the_past(cluster: Cluster) -> None:
    cluster.start_operator()
    spec = {"schedules": [{"cron": "0 3 * * *"}], "pipeline": {"steps": [LOG]}}
    cluster.apply(manifest("Task", "t", spec))
    until(lambda: "T03:00:00Z" in cluster.task("t").get("status", {}).get("nextScheduleTime", ""), what="NEXT")

    cluster.apply(manifest("Task", "t", {**spec, "schedules": [{"cron": "0 4 * * *"}]}))

    until(lambda: "T04:00:00Z" in cluster.task("t")["status"]["nextScheduleTime"], what="NEXT to move")
    assert cluster.task("t")["status"]["observedGeneration"] == 2
    assert cluster.runs() == []


def test_deleting_a_task_cancels_its_run(cluster: Cluster, toolserver: ToolServer) -> None:
    cluster.start_operator()
    cluster.start_worker()
    toolserver.gate("slow")
    cluster.apply(
        manifest("Tool", "slow", {"http": {"url": f"{toolserver.url}/slow"}}),
        manifest(
            "Task", "t", {"schedules": [{"at": in_seconds(5)}], "pipeline": {"steps": [{"id": "a", "uses": "slow"}]}}
        ),
    )
    until(lambda: toolserver.calls("slow"), what="the run to be under way")

    cluster.kubectl("delete", "task", "t", "--timeout=60s")

    (run,) = until(
        lambda: [run for run in cluster.runs("t") if run.finished_at],
        what="the run to be cancelled",
        seconds=at_most(10),
    )
    assert (run.phase, run.reason) == ("Cancelled", "TaskDeleted")


def test_without_the_operator_nothing_is_stuck_and_it_catches_up_with_deletes(cluster: Cluster) -> None:
    operator = cluster.start_operator()
    spec = {"schedules": [{"cron": "0 3 * * *"}], "pipeline": {"steps": [LOG]}}
    cluster.apply(*(manifest("Task", name, spec) for name in ("gone", "kept")))
    until(lambda: cluster.ready("kept") == ("True", "Resolved"), what="the tasks to be ready")

    operator.kill()
    cluster.kubectl("delete", "task", "gone", "--timeout=60s")
    cluster.start_operator()

    async def names(pool: Pool) -> list[str]:
        async with pool.connection() as connection:
            return [row.name for row in await status.list_tasks(connection, namespace=cluster.namespace, limit=9)]

    until(lambda: cluster.ask(names) == ["kept"], what="the delete to be found")
    cluster.kubectl("delete", "tasks,pipelines,tools", "--all", "--timeout=60s")
    assert "No resources found" in cluster.kubectl("get", "ordinaut")


def test_an_operator_that_goes_leaves_the_lease_to_the_others_at_once(
    cluster: Cluster, control_plane: ControlPlane
) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{cluster.namespace}/leases/ordinaut-operator"

    def holder() -> str:
        return str(control_plane.call("GET", path)["spec"].get("holderIdentity", ""))

    operator = cluster.start_operator()
    until(lambda: operator.metric("ordinaut_leader") == 1, what="the operator to lead")
    assert operator.metric("ordinaut_leader_since_timestamp_seconds") > 0
    assert holder()

    operator.send(signal.SIGTERM)

    # Far less than the lease lasts (15 s), and than the time that Kubernetes leaves it (30 s).
    until(lambda: operator.process.poll() is not None, what=operator.log, seconds=at_most(12))
    assert operator.process.returncode == 0
    assert holder() == ""
    assert "Traceback" not in operator.log()

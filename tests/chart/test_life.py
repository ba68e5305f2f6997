"""The life of a release: installed, upgraded and rolled back while work goes on, tested, and taken away tracelessly."""

from datetime import timedelta
from typing import Any

import pytest

from tests.chart.conftest import Releases
from tests.chart.ledger import Ledger
from tests.chart.release import Release, everything
from tests.chart.users import Users, working
from tests.cluster.controlplane import ControlPlane
from tests.running import until
from tests.toolserver import ToolServer

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("chart"), pytest.mark.timeout(600)]

STEPS = ["one", "two"]
TASKS = [f"t{number}" for number in range(5)]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
CRDS = {(DEFINITIONS, "", f"{plural}.ordinaut.io") for plural in ("tasks", "pipelines", "tools", "hooks")}
KEPT = CRDS | {("/apis/apiregistration.k8s.io/v1/apiservices", "", "v1alpha1.ordinaut.io")}
"""The CRDs, and what the API server makes of them."""


def accounts(release: Release) -> dict[str, str]:
    """Return the uids of the service accounts: tokens are bound to them, and end with them."""
    names = [f"ordinaut-{component}" for component in ("operator", "worker", "api")]
    return {name: release.object(f"v1/serviceaccounts/{name}")["metadata"]["uid"] for name in names}


def restarts(release: Release) -> list[tuple[str, int]]:
    found = [(pod["metadata"]["name"], pod["status"]["containerStatuses"]) for pod in release.pods(of_jobs=False)]
    return [(name, one["restartCount"]) for name, statuses in found for one in statuses if one["restartCount"]]


def name_of(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["name"])


@pytest.mark.parametrize("helm", ["helm3", "helm4"])
def test_a_release_is_upgraded_and_rolled_back_at_work_and_leaves_nothing_but_what_it_says(
    helm: str, control_plane: ControlPlane, releases: Releases, users: Users, toolserver: ToolServer
) -> None:
    with releases(helm) as release:
        until(lambda: not release.pods(), what="the pods of the tests before to be gone", seconds=60)
        before = everything(control_plane)
        release.install()
        assert restarts(release) == []
        made = accounts(release)
        users.apply(*working(STEPS, tools=toolserver.url, tasks=TASKS))
        until(lambda: len(toolserver.calls("one")) > 1, what="runs")

        # A step is under way while its worker is replaced.
        held = toolserver.gate("two")
        until(lambda: len(toolserver.calls("two")) > 1, what="a step that is held up")
        operator, worker = release.pod("operator"), release.pod("worker")
        release.upgrade({"worker": {"concurrency": 4}, "api": {"replicas": 2}})
        assert name_of(release.pod("worker")) != name_of(worker)
        assert name_of(release.pod("operator")) == name_of(operator)
        held.set()
        assert [(one.exit_code, one.killed) for one in release.left(worker)] == [(0, False)]

        release.rollback(1)
        assert len([pod for pod in release.pods("api") if "deletionTimestamp" not in pod["metadata"]]) == 1
        assert accounts(release) == made
        assert restarts(release) == []
        assert "Succeeded" in release.helm("test", "ordinaut")

        users.suspend(*TASKS)
        ledger = Ledger(release.database)
        until(lambda: not ledger.unfinished(), what="all runs to end")
        until(lambda: ledger.one("SELECT count(*) FROM outbox") == 0, what="all events to be sent")
        runs = ledger.check(steps=STEPS, every=timedelta(seconds=10), effects=toolserver.effects, once=True)
        assert runs > len(TASKS)

        release.uninstall()

        def left() -> set[tuple[str, str, str]]:
            return {one for one in everything(control_plane) - before if one[1] != users.namespace}

        until(lambda: left() <= KEPT, what=lambda: f"nothing to be left but the CRDs: {left() - KEPT}")
        assert everything(control_plane) >= CRDS
        assert users.object("Task", TASKS[0])["spec"]["suspend"]

        # What was kept is no obstacle to the next release, which finds the tasks that are still there.
        release.install({"api": {"enabled": False}, "worker": {"replicas": 0}, "migrations": {"mode": "none"}})
        until(lambda: users.ready("Task", TASKS[0]), what="the operator to have found the task")

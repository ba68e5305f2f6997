"""The steps of `make e2e`, which runs them on a cluster with nodes, on an API server here."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from e2e import steps
from e2e.programs import StepFailed
from e2e.steps import Installation
from tests.chart import release
from tests.chart.conftest import Releases
from tests.chart.users import Users
from tests.cluster import binaries
from tests.cluster.controlplane import ControlPlane

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("chart"), pytest.mark.timeout(300)]


@pytest.fixture
def installation(control_plane: ControlPlane, helms: Mapping[str, Path], tmp_path: Path) -> Installation:
    """An installation that nothing of the developer's own helm and kubectl has to do with."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("HELM_", "KUBE"))}
    return Installation(
        control_plane.kubeconfig,
        namespace=release.NAMESPACE,
        release=release.NAME,
        helm=helms["helm4"],
        kubectl=binaries.provide(["kubectl"])["kubectl"],
        timeout="3m",
        environment=own | {"HOME": str(tmp_path)},
    )


@pytest.fixture
def often(tmp_path: Path) -> Path:
    """The example, every ten seconds and not each minute."""
    text = (steps.EXAMPLE / "task.yaml").read_text()
    path = tmp_path / "task.yaml"
    path.write_text(text.replace('"* * * * *"', '"*/10 * * * * *"'))
    assert path.read_text() != text
    return path


def test_the_steps_of_the_end_to_end_test_pass_where_neither_docker_nor_nodes_are(
    releases: Releases, installation: Installation, users: Users, often: Path, tmp_path: Path
) -> None:
    values = tmp_path / "values.json"
    values.write_text(json.dumps(release.SMALL))
    with releases("helm4"):
        steps.install(installation, values)
        steps.health(installation)
        steps.example(installation, manifests=often, namespace=users.namespace)
        steps.install(installation, values, "worker.concurrency=4")
        steps.example(installation, manifests=often, namespace=users.namespace)
        left = steps.leftovers(installation)
        assert "deployment.apps/ordinaut-operator" in left
        assert "clusterrole.rbac.authorization.k8s.io/ordinaut-operator" in left
        steps.uninstall(installation)
        steps.forget_definitions(installation)
        with pytest.raises(StepFailed, match="not found"):
            installation.with_kubectl("get", "customresourcedefinitions", *steps.DEFINITIONS)

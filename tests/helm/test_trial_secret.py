"""The Job of the trial stores, with the rights that the chart gives it, against a real API server."""

import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from ordinaut.settings import ProcessSettings
from ordinaut_operator import trial
from tests.cluster.controlplane import ControlPlane
from tests.helm.rendering import Helm, containers

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("helm")]

ACCOUNT = "ordinaut-trial-secret"


@pytest.fixture
def namespace(cluster_with_everything: ControlPlane) -> str:
    """A fresh namespace."""
    return cluster_with_everything.namespace("trial")


def run(cluster: ControlPlane, command: list[str], namespace: str) -> subprocess.CompletedProcess[str]:
    """Run the command of the Job's container as its service account."""
    kubeconfig = cluster.kubeconfig_for(ACCOUNT, namespace)
    return subprocess.run(
        [sys.executable, *command[1:]],
        env={"KUBECONFIG": str(kubeconfig), "PATH": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_job_makes_the_passwords_once_and_may_do_nothing_else(
    cluster_with_everything: ControlPlane, namespace: str, helms: dict[str, Helm]
) -> None:
    cluster = cluster_with_everything
    objects = helms["helm4"].objects("trial", namespace=namespace)
    job = next(one for one in objects if one["kind"] == "Job" and one["metadata"]["name"].startswith(ACCOUNT))
    (container,) = containers(job["spec"]["template"])
    secret = f"/api/v1/namespaces/{namespace}/secrets/ordinaut-trial"

    refused = run(cluster, container["command"], namespace)
    assert refused.returncode == 1
    assert f"Secret {namespace}/ordinaut-trial: 403" in refused.stderr
    assert "Traceback" not in refused.stderr

    for one in objects:
        if one["kind"] in {"Role", "RoleBinding"} and one["metadata"]["name"] == ACCOUNT:
            plural = f"{one['kind'].lower()}s"
            cluster.call("POST", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{plural}", one)
    made = run(cluster, container["command"], namespace)
    assert (made.returncode, made.stderr) == (0, f"Secret {namespace}/ordinaut-trial: made\n")
    first = cluster.call("GET", secret)["data"]

    again = run(cluster, container["command"], namespace)
    assert again.returncode == 0
    assert "is there already, and stays as it is" in again.stderr
    assert cluster.call("GET", secret)["data"] == first

    kubeconfig = str(cluster.kubeconfig_for(ACCOUNT, namespace))
    for verb in ("get", "list", "update", "patch", "delete"):
        can = cluster.kubectl("--kubeconfig", kubeconfig, "auth", "can-i", verb, "secrets", check=False)
        assert can.stdout.strip() == "no", verb


def test_the_addresses_hold_the_passwords_and_are_ones_that_the_processes_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = trial.secret("ns", "name", postgres="pg.ns.svc", valkey="vk.ns.svc")["stringData"]
    database, events = urlsplit(made["database-uri"]), urlsplit(made["redis-uri"])
    assert (database.username, database.password, database.hostname) == (
        "ordinaut",
        made["database-password"],
        "pg.ns.svc",
    )
    assert (events.password, events.hostname) == (made["redis-password"], "vk.ns.svc")
    assert made["database-password"] != made["redis-password"]
    monkeypatch.setenv("ORDINAUT_DATABASE_URL", made["database-uri"])
    monkeypatch.setenv("ORDINAUT_REDIS_URL", made["redis-uri"])
    ProcessSettings()
    assert (
        trial.secret("ns", "name", postgres="p", valkey="v")["stringData"]["database-password"]
        != made["database-password"]
    )


def test_without_an_api_server_the_job_says_so(tmp_path: object) -> None:
    command = [sys.executable, "-m", "ordinaut_operator.trial", "ns", "name", "pg", "vk"]
    done = subprocess.run(command, env={"HOME": str(tmp_path)}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Secret ns/name: no API server")

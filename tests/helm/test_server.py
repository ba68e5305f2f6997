"""A real API server takes every object of every values file: known fields only, and pods as restricted as can be."""

import json

import pytest
import yaml

from tests.cluster.controlplane import ControlPlane
from tests.helm.rendering import CI, DUMPER, NAMESPACE, Helm, Object, pick

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("helm")]

_NAMESPACES = (NAMESPACE, "conducting", "monitoring", "team-a", "team-b")


@pytest.fixture(scope="module")
def cluster(cluster_with_everything: ControlPlane) -> ControlPlane:
    """A control plane with the kinds of other projects and the namespaces of the values files."""
    for name in _NAMESPACES:
        labels = {"pod-security.kubernetes.io/warn": "restricted", "pod-security.kubernetes.io/enforce": "restricted"}
        cluster_with_everything.call("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
        # No controller makes it here, and without it no pod is let in.
        path = f"/api/v1/namespaces/{name}/serviceaccounts"
        cluster_with_everything.call("POST", path, {"metadata": {"name": "default"}})
    return cluster_with_everything


def apply(cluster: ControlPlane, objects: list[Object], *, check: bool = True) -> tuple[list[str], str]:
    """Let the API server look at objects without keeping them; returns what it took and what it said about them."""
    stdin = yaml.dump_all(objects, Dumper=DUMPER)
    arguments = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename=-"]
    done = cluster.kubectl(*arguments, stdin=stdin, check=check)
    return done.stdout.splitlines(), done.stderr


def test_the_api_server_takes_every_object_of_every_values_file(cluster: ControlPlane, helms: dict[str, Helm]) -> None:
    # In one go, and what several files render alike only once: CRDs alone take a second each.
    rendered = [
        one
        for values in CI
        for one in helms["helm4"].objects(values)
        if values == "minimal" or one["kind"] != "CustomResourceDefinition"
    ]
    objects = {json.dumps(one, sort_keys=True): one for one in rendered}
    taken, said = apply(cluster, list(objects.values()))
    assert len(taken) == len(objects) > len(CI)
    assert "PodSecurity" not in said
    assert "unknown field" not in said


def test_the_api_server_would_have_said_something(cluster: ControlPlane, helms: dict[str, Helm]) -> None:
    deployment = pick(helms["helm4"].objects("minimal"), "Deployment", "ordinaut-worker")
    deployment["spec"]["template"]["spec"]["securityContext"] = {}
    _, said = apply(cluster, [deployment])
    assert 'would violate PodSecurity "restricted:latest"' in said
    deployment["spec"]["template"]["spec"]["misspelt"] = 1
    _, said = apply(cluster, [deployment], check=False)
    assert ".spec.template.spec.misspelt: field not declared in schema" in said

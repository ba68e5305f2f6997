"""What holds for every values file in `ci/`: both helms render it, always alike, and its objects fit each other."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.helm.rendering import CHART, CI, MAJORS, Helm, Object, Refused, containers, pod_templates

COMPONENTS = {
    "operator",
    "worker",
    "api",
    "migrate",
    "test",
    "postgres",
    "trial-postgres",
    "trial-valkey",
    "trial-secret",
}
CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}


@pytest.fixture(params=CI)
def objects(request: pytest.FixtureRequest, helms: dict[str, Helm]) -> list[Object]:
    """The objects of each values file in turn, rendered with the newer helm."""
    return helms["helm4"].objects(request.param)


def hook(one: Object) -> str:
    """Return the moments of the release at which an object is made; empty: it is a part of it."""
    return str(one["metadata"].get("annotations", {}).get("helm.sh/hook", ""))


def component_of(workload: Object) -> str:
    """Return the component that a Deployment or a StatefulSet runs."""
    return str(workload["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"])


def selectors(objects: list[Object]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the name and the selector of everything that chooses our pods."""
    for one in objects:
        name = f"{one['kind']}/{one['metadata']['name']}"
        spec = one.get("spec", {})
        match one["kind"]:
            case "Deployment" | "StatefulSet" | "PodDisruptionBudget":
                yield name, spec["selector"]["matchLabels"]
            case "Service":
                yield name, spec["selector"]
            case "NetworkPolicy":
                yield name, spec["podSelector"]["matchLabels"]
            case "CiliumNetworkPolicy":
                yield name, spec["endpointSelector"]["matchLabels"]


# ---------------------------------------------------------------- the two helms


@pytest.mark.parametrize("values", CI)
def test_helm_has_nothing_to_object(any_helm: Helm, values: str) -> None:
    assert "0 chart(s) failed" in any_helm.lint(values)


@pytest.mark.parametrize("values", CI)
def test_every_rendering_is_the_same(helms: dict[str, Helm], values: str) -> None:
    assert helms["helm4"].text(values, again=1) == helms["helm4"].text(values)


@pytest.mark.parametrize("values", CI)
def test_both_helms_render_the_same_objects(helms: dict[str, Helm], values: str) -> None:
    old, new = (
        {
            (one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]): one
            for one in helms[major].objects(values)
        }
        for major in MAJORS
    )
    assert old == new


def test_the_oldest_kubernetes_gets_the_same_and_an_older_one_nothing(any_helm: Helm) -> None:
    assert any_helm.objects("minimal", kubernetes="1.29.0") == any_helm.objects("minimal")
    with pytest.raises(Refused, match=r"requires kubeVersion: >=1\.29\.0-0"):
        any_helm.text("minimal", kubernetes="1.28.9")


def test_every_template_is_rendered_for_some_values_file(helms: dict[str, Helm]) -> None:
    rendered = {
        line for values in CI for line in helms["helm4"].text(values).splitlines() if line.startswith("# Source")
    }
    templates = {path.relative_to(CHART).as_posix() for path in (CHART / "templates").rglob("*.yaml")}
    assert {f"# Source: ordinaut/{path}" for path in templates - {"templates/validate.yaml"}} == rendered


def test_upgrading_changes_no_object(helms: dict[str, Helm]) -> None:
    assert helms["helm4"].text("minimal", upgrade=True) == helms["helm4"].text("minimal")


# ---------------------------------------------------------------- names and labels


def test_every_object_is_one_of_its_kind(objects: list[Object]) -> None:
    names = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in objects]
    assert len(set(names)) == len(names)
    assert max(len(name) for *_, name in names) <= 63


def test_every_object_has_its_namespace_and_the_labels_of_the_release(objects: list[Object]) -> None:
    for one in objects:
        metadata = one["metadata"]
        if one["kind"] == "ConfigMap" and metadata.get("labels") is None:
            continue  # an extra object of a user, as it was written
        assert ("namespace" in metadata) != (one["kind"] in CLUSTER_WIDE), metadata["name"]
        labels = metadata["labels"]
        assert labels["app.kubernetes.io/name"] == labels["app.kubernetes.io/part-of"] == "ordinaut"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["app.kubernetes.io/instance"] == "ordinaut"
        assert labels["helm.sh/chart"].startswith("ordinaut-")
        component = labels.get("app.kubernetes.io/component", "worker")
        assert component in COMPONENTS or component.startswith("worker-")  # a pool


@pytest.mark.parametrize("values", CI)
def test_selectors_are_name_instance_and_component_for_ever(helms: dict[str, Helm], values: str) -> None:
    objects = helms["helm4"].objects(values)
    for name, selector in selectors(objects):
        component = selector["app.kubernetes.io/component"]
        assert selector == {
            "app.kubernetes.io/name": "ordinaut",
            "app.kubernetes.io/instance": "ordinaut",
            "app.kubernetes.io/component": component,
        }, name
        assert component in COMPONENTS or component.startswith("worker-"), name
    chosen = {
        one["metadata"]["name"].removeprefix("conductor-").removeprefix("ordinaut-"): component_of(one)
        for one in objects
        if one["kind"] in {"Deployment", "StatefulSet"}
    }
    assert all(name == component for name, component in chosen.items())


def test_what_selects_finds_pods(objects: list[Object]) -> None:
    pods = [template["metadata"]["labels"] for _, template in pod_templates(objects)]
    for name, selector in selectors(objects):
        assert any(selector.items() <= labels.items() for labels in pods), name


# ---------------------------------------------------------------- pods


def test_every_pod_is_as_restricted_as_can_be(objects: list[Object]) -> None:
    for name, template in pod_templates(objects):
        pod = template["spec"]["securityContext"]
        assert pod["runAsNonRoot"] is True, name
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod.get("runAsUser", 1) != 0
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(template["spec"]), name
        assert all({"emptyDir", "secret", "configMap"} & set(one) for one in template["spec"].get("volumes", [])), name
        for container in containers(template):
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert security["readOnlyRootFilesystem"] is True, name
            assert not {"privileged", "runAsUser"} & set(security), name
            assert not any("hostPort" in port for port in container.get("ports", [])), name


def test_only_who_talks_to_the_api_server_has_a_token(objects: list[Object]) -> None:
    with_token = {
        template["metadata"]["labels"]["app.kubernetes.io/component"]
        for _, template in pod_templates(objects)
        if template["spec"]["automountServiceAccountToken"]
    }
    assert with_token <= {"operator", "api", "trial-secret"}


def test_every_container_asks_for_what_it_needs_and_has_no_limit_of_cpu(objects: list[Object]) -> None:
    for name, template in pod_templates(objects):
        for container in containers(template):
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert set(container["resources"]["limits"]) == {"memory"}, name


def test_every_volume_that_is_mounted_exists_and_every_other_too(objects: list[Object]) -> None:
    for name, template in pod_templates(objects):
        mounted = {mount["name"] for one in containers(template) for mount in one["volumeMounts"]}
        claimed = {"data"} if name.startswith("StatefulSet/") else set()
        assert mounted == {volume["name"] for volume in template["spec"]["volumes"]} | claimed, name


def test_every_service_account_is_made_or_brought(objects: list[Object]) -> None:
    made = {one["metadata"]["name"] for one in objects if one["kind"] == "ServiceAccount"}
    for _, template in pod_templates(objects):
        account = template["spec"].get("serviceAccountName")
        assert account is None or account in made or account.startswith("brought-")


def test_an_image_is_never_just_the_latest(objects: list[Object]) -> None:
    for name, template in pod_templates(objects):
        for container in containers(template):
            assert re.search(r"(:[\w.-]+|@sha256:[0-9a-f]{64})$", container["image"]), name
            assert not container["image"].endswith(":latest"), name


def test_every_image_comes_from_the_mirror(render: Any) -> None:
    images = {one["image"] for _, template in pod_templates(render("air-gapped")) for one in containers(template)}
    assert len(images) == 3
    assert all(image.startswith("mirror.example/images/") for image in images)
    for name, template in pod_templates(render("air-gapped")):
        assert template["spec"]["imagePullSecrets"] == [{"name": "mirror"}], name


# ---------------------------------------------------------------- objects that could fight


def test_nobody_but_the_autoscaler_sets_the_number_of_pods(objects: list[Object]) -> None:
    scaled = {
        one["spec"]["scaleTargetRef"]["name"]
        for one in objects
        if one["kind"] in {"HorizontalPodAutoscaler", "ScaledObject"}
    }
    deployments = {one["metadata"]["name"]: one["spec"] for one in objects if one["kind"] == "Deployment"}
    assert scaled <= set(deployments)
    for name, spec in deployments.items():
        assert ("replicas" in spec) != (name in scaled), name


def test_a_disruption_budget_stands_only_where_a_pod_may_go(objects: list[Object]) -> None:
    least = {
        one["metadata"]["name"]: one["spec"].get("replicas", 0)
        for one in objects
        if one["kind"] in {"Deployment", "StatefulSet"}
    }
    for one in objects:
        if one["kind"] == "HorizontalPodAutoscaler":
            least[one["spec"]["scaleTargetRef"]["name"]] = one["spec"]["minReplicas"]
        if one["kind"] == "ScaledObject":
            least[one["spec"]["scaleTargetRef"]["name"]] = one["spec"]["minReplicaCount"]
    budgets = {one["metadata"]["name"]: one["spec"] for one in objects if one["kind"] == "PodDisruptionBudget"}
    assert set(budgets) == {name for name, replicas in least.items() if replicas > 1}
    assert all(budget["maxUnavailable"] == 1 and "minAvailable" not in budget for budget in budgets.values())


def test_every_hook_needs_only_what_was_there_before(objects: list[Object]) -> None:
    ours = {(one["kind"], one["metadata"]["name"]) for one in objects if not hook(one)}
    for name, template in pod_templates([one for one in objects if "pre-install" in hook(one)]):
        assert "serviceAccountName" not in template["spec"], name
        needed = json.dumps(template)
        for kind, other in ours:
            if kind in {"Secret", "ConfigMap", "ServiceAccount"}:
                assert f'"{other}"' not in needed, (name, other)

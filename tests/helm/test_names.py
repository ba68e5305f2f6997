"""Names, labels and images of what the chart makes."""

import pytest

from tests.helm.looking import CLUSTERWIDE, COMPONENTS, Render, Values, given
from tests.helm.rendering import pick, pod_templates

MESHES = ("sidecar.istio.io/inject", "linkerd.io/inject")


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("ordinaut", {}, "ordinaut-api"),
        ("my-ordinaut", {}, "my-ordinaut-api"),
        ("prod", {}, "prod-ordinaut-api"),
        ("prod", {"nameOverride": "conductor"}, "prod-conductor-api"),
        ("prod", {"fullnameOverride": "conductor"}, "conductor-api"),
    ],
)
def test_objects_are_named_after_the_release(render: Render, release: str, values: Values, name: str) -> None:
    assert pick(render(given(**values), release=release), "Service")["metadata"]["name"] == name


def test_names_stay_within_the_limit_however_long_the_release_is_called(render: Render) -> None:
    objects = render({"trial": {"enabled": True}}, release="r" * 53)
    assert max(len(one["metadata"]["name"]) for one in objects if one["kind"] not in CLUSTERWIDE) <= 63
    assert pick(objects, "Service", "r" * 40 + "-api")


def test_everything_goes_to_the_named_namespace(render: Render) -> None:
    objects = render(given(namespaceOverride="elsewhere"))
    assert {one["metadata"].get("namespace", "elsewhere") for one in objects} == {"elsewhere"}
    subjects = [subject for one in objects for subject in one.get("subjects", ())]
    assert {subject["namespace"] for subject in subjects} == {"elsewhere"}


def test_common_labels_are_on_every_object_and_pod_and_in_no_selector(render: Render) -> None:
    common = {"commonLabels": {"team": "platform", "app.kubernetes.io/name": "mine"}, "commonAnnotations": {"a": "b"}}
    objects = render(given(**common))
    assert all(one["metadata"]["labels"]["team"] == "platform" for one in objects)
    assert all(one["metadata"]["annotations"]["a"] == "b" for one in objects)
    assert {one["metadata"]["labels"]["app.kubernetes.io/name"] for one in objects} == {"ordinaut"}
    assert all(template["metadata"]["labels"]["team"] == "platform" for _, template in pod_templates(objects))
    assert "team" not in pick(objects, "Service")["spec"]["selector"]


def test_nothing_can_be_written_as_null(render: Render) -> None:
    emptied = {
        "commonLabels": None,
        "commonAnnotations": None,
        "watchNamespaces": None,
        "crds": {"annotations": None},
        "defaults": {"podAnnotations": None},
        "migrations": {"podAnnotations": None},
        "tests": {"podAnnotations": None},
        "metrics": {"prometheusRule": {"enabled": True, "additionalRuleLabels": None, "thresholds": None}},
    }
    empty = {
        "migrations": {"podAnnotations": dict.fromkeys(MESHES)},
        "tests": {"podAnnotations": dict.fromkeys(MESHES)},
        "metrics": {"prometheusRule": {"enabled": True}},
    }
    assert render(given(**emptied)) == render(given(**empty))


def test_a_new_version_of_the_chart_alone_starts_no_pod_anew(render: Render) -> None:
    labels = pod_templates(render(given()))
    assert all("helm.sh/chart" not in template["metadata"]["labels"] for name, template in labels if "Pod/" not in name)


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ({}, "ghcr.io/ordinaut/ordinaut:0.1.0"),
        ({"image": {"tag": "1.2.3"}}, "ghcr.io/ordinaut/ordinaut:1.2.3"),
        (
            {"image": {"tag": "1.2.3", "digest": f"sha256:{'a' * 64}"}},
            f"ghcr.io/ordinaut/ordinaut@sha256:{'a' * 64}",
        ),
        ({"global": {"imageRegistry": "mirror.example:5000"}}, "mirror.example:5000/ordinaut/ordinaut:0.1.0"),
        ({"image": {"registry": ""}}, "ordinaut/ordinaut:0.1.0"),
    ],
)
def test_one_image_is_for_all_pods(render: Render, values: Values, image: str) -> None:
    templates = list(pod_templates(render(given(**values))))
    assert len(templates) == len([*COMPONENTS, "migrate", "test"])
    assert {one["image"] for _, template in templates for one in template["spec"]["containers"]} == {image}


def test_pull_secrets_are_in_all_pods(render: Render) -> None:
    objects = render(given(**{"global": {"imagePullSecrets": [{"name": "regcred"}]}}))
    assert all(one["spec"]["imagePullSecrets"] == [{"name": "regcred"}] for _, one in pod_templates(objects))

"""Monitors, alerts and dashboards: found by who selects them, changed only where the values say so."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.helm.rendering import CHART, FOREIGN, Object, kinds, pick, pod_templates

DATABASE = {"database": {"existingSecret": "db"}}

Render = Callable[..., list[Object]]


def metrics(**sections: Any) -> dict[str, Any]:
    return DATABASE | {"metrics": sections}


@pytest.fixture(scope="module")
def rules() -> dict[str, Object]:
    """The alerts as they stand in the chart's file, by name."""
    groups = yaml.safe_load((CHART / "files/rules/ordinaut.yaml").read_text())["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


def alerts(objects: list[Object]) -> dict[str, Object]:
    groups = pick(objects, "PrometheusRule")["spec"]["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


# ---------------------------------------------------------------- monitors


@pytest.mark.parametrize(("kind", "source"), [("PodMonitor", "pod"), ("ServiceMonitor", "service")])
def test_a_monitor_gives_the_same_jobs_whatever_the_release_is_called(render: Render, kind: str, source: str) -> None:
    section = kind[0].lower() + kind[1:]
    added = {"relabelings": [{"targetLabel": "cluster", "replacement": "x"}], "labels": {"release": "prometheus"}}
    monitor = pick(render(metrics(**{section: {"enabled": True} | added}), release="prod"), kind)
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"]["podMetricsEndpoints" if kind == "PodMonitor" else "endpoints"]
    assert endpoint["port"] == "probes"
    component, own = endpoint["relabelings"]
    assert component == {
        "sourceLabels": [f"__meta_kubernetes_{source}_label_app_kubernetes_io_component"],
        "regex": "(operator|worker|api)(-.+)?",
        "targetLabel": "job",
        "replacement": "ordinaut-$1",
    }
    assert own == added["relabelings"][0]


def test_a_pod_monitor_finds_every_process_and_nothing_else(render: Render) -> None:
    objects = render(metrics(podMonitor={"enabled": True}))
    selector = pick(objects, "PodMonitor")["spec"]["selector"]
    (components,) = selector["matchExpressions"]
    found = {
        labels["app.kubernetes.io/component"]
        for _, template in pod_templates(objects)
        if selector["matchLabels"].items() <= (labels := template["metadata"]["labels"]).items()
        and labels["app.kubernetes.io/component"] in components["values"]
    }
    assert found == set(components["values"]) == {"operator", "worker", "api"}
    scraped = [one["spec"]["containers"][0] for _, one in pod_templates(objects) if "serviceAccountName" in one["spec"]]
    assert all({"name": "probes", "containerPort": 9090} in one["ports"] for one in scraped)


def test_a_service_monitor_comes_with_a_service_for_each_process(render: Render) -> None:
    objects = render(metrics(serviceMonitor={"enabled": True}))
    selector = pick(objects, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    services = [
        one for one in objects if one["kind"] == "Service" and selector.items() <= one["metadata"]["labels"].items()
    ]
    assert {one["metadata"]["name"] for one in services} == {
        f"ordinaut-{one}-metrics" for one in ("operator", "worker", "api")
    }
    for service in services:
        assert service["spec"]["clusterIP"] == "None"
        assert service["spec"]["publishNotReadyAddresses"] is True
        assert [port["name"] for port in service["spec"]["ports"]] == ["probes"]
        component = service["metadata"]["labels"]["app.kubernetes.io/component"]
        assert service["spec"]["selector"]["app.kubernetes.io/component"] == component


def test_no_api_is_not_scraped(render: Render) -> None:
    without = {"api": {"enabled": False}}
    (components,) = pick(render(metrics(podMonitor={"enabled": True}) | without), "PodMonitor")["spec"]["selector"][
        "matchExpressions"
    ]
    assert components["values"] == ["operator", "worker"]
    services = [one for one in render(metrics(serviceMonitor={"enabled": True}) | without) if one["kind"] == "Service"]
    assert len(services) == 2


# ---------------------------------------------------------------- what the cluster lacks

KINDS = {
    "PodMonitor": ({"podMonitor": {"enabled": True}}, "metrics.podMonitor.enabled"),
    "ServiceMonitor": ({"serviceMonitor": {"enabled": True}}, "metrics.serviceMonitor.enabled"),
    "PrometheusRule": ({"prometheusRule": {"enabled": True}}, "metrics.prometheusRule.enabled"),
    "GrafanaDashboard": (
        {"dashboards": {"enabled": True, "grafanaOperator": {"enabled": True}}},
        "metrics.dashboards.grafanaOperator.enabled",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_that_the_cluster_lacks_is_a_failure_a_skip_or_rendered_all_the_same(
    render: Render, refused: Callable[..., str], kind: str
) -> None:
    values, key = KINDS[kind]
    message = refused(metrics(**values), foreign=())
    assert key in message
    assert kind in message
    assert "metrics.renderMode=alwaysRender" in message
    skipped = render(metrics(**values, renderMode="skipIfMissing"), foreign=())
    assert skipped == [one for one in render(DATABASE, foreign=()) if one]
    assert kind in kinds(render(metrics(**values, renderMode="alwaysRender"), foreign=()))


@pytest.mark.parametrize("form", ["monitoring.coreos.com/v1", "monitoring.coreos.com/v1/PodMonitor"])
def test_a_kind_is_known_by_its_group_or_by_its_own_name(render: Render, form: str) -> None:
    assert "PodMonitor" in kinds(render(metrics(podMonitor={"enabled": True}), foreign=(form,)))


# ---------------------------------------------------------------- alerts


def test_alerts_are_those_of_the_file(render: Render, rules: dict[str, Object]) -> None:
    rendered = alerts(render(metrics(prometheusRule={"enabled": True})))
    assert list(rendered) == list(rules)
    for name, rule in rendered.items():
        assert rule["expr"] == rules[name]["expr"]
        assert rule["for"] == rules[name]["for"]
        assert rule["labels"] == rules[name]["labels"]
        for annotation in ("summary", "description"):  # braces of Prometheus' own are left as they are
            assert rule["annotations"][annotation] == rules[name]["annotations"][annotation]


def test_runbooks_are_those_of_the_same_version(render: Render) -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    for name, rule in alerts(render(metrics(prometheusRule={"enabled": True}))).items():
        assert rule["annotations"]["runbook_url"].endswith(f"/blob/v{version}/docs/runbooks/{name}.md")


def test_alerts_are_changed_as_the_values_say(render: Render, rules: dict[str, Object]) -> None:
    objects = render("monitoring")
    rule = pick(objects, "PrometheusRule")
    assert rule["metadata"]["namespace"] == "monitoring"
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    rendered = alerts(objects)
    assert set(rules) - set(rendered) == {"OrdinautTZDataMoved"}
    assert all(one["labels"]["team"] == "platform" for one in rendered.values())
    assert {one["labels"]["severity"] for one in rendered.values()} == {"critical", "warning"}
    assert rendered["OrdinautDown"]["annotations"]["runbook_url"] == "https://runbooks.example/ordinaut/OrdinautDown"


@pytest.mark.parametrize("threshold", [60, 0.25, 1000000])
def test_every_threshold_can_be_another(render: Render, rules: dict[str, Object], threshold: float) -> None:
    values = {"enabled": True, "thresholds": dict.fromkeys(rules, threshold)}
    for name, rule in alerts(render(metrics(prometheusRule=values))).items():
        before, _, number = rule["expr"].rpartition(" ")
        assert float(number) == threshold
        assert rules[name]["expr"].startswith(f"{before} ")
        assert before.endswith((">", "<", ">=", "<="))


@pytest.mark.parametrize("values", [{"disabled": ["OrdinautLate"]}, {"thresholds": {"OrdinautLate": 1}}])
def test_an_alert_that_does_not_exist_is_refused(refused: Callable[..., str], values: dict[str, Any]) -> None:
    message = refused(metrics(prometheusRule=values))
    assert f"metrics.prometheusRule.{next(iter(values))}" in message
    assert "OrdinautSchedulerLate" in message


# ---------------------------------------------------------------- dashboards


def dashboards() -> dict[str, Any]:
    return {path.name: json.loads(path.read_text()) for path in (CHART / "files/dashboards").glob("*.json")}


def test_dashboards_are_config_maps_that_the_sidecar_finds(render: Render) -> None:
    maps = [one for one in render("monitoring") if one["kind"] == "ConfigMap"]
    assert {name: json.loads(text) for one in maps for name, text in one["data"].items()} == dashboards()
    assert dashboards()
    for one in maps:
        assert one["metadata"]["namespace"] == "monitoring"
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert one["metadata"]["annotations"] == {"grafana_folder": "Ordinaut"}
        assert len(json.dumps(one)) < 1_000_000  # what an object may weigh


def test_dashboards_are_objects_of_the_grafana_operator(render: Render) -> None:
    objects = render("servicemonitor")
    made = [one for one in objects if one["kind"] == "GrafanaDashboard"]
    assert [json.loads(one["spec"]["json"]) for one in made] == list(dashboards().values())
    assert all(one["spec"]["instanceSelector"] == {"matchLabels": {"dashboards": "grafana"}} for one in made)
    assert "ConfigMap" not in kinds(objects)


def test_nothing_is_monitored_unless_it_is_asked_for(render: Render) -> None:
    foreign = {one.rpartition("/")[2] for one in FOREIGN}
    assert not kinds(render(DATABASE)) & (foreign | {"ConfigMap"})

"""Network policies: everything a process needs is let through, and nothing else, in the words of both flavours."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.helm.rendering import Object, component_of_pod, kinds, pick, pod_templates

DATABASE = {"database": {"existingSecret": "db"}}
DNS = [{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]

Render = Callable[..., list[Object]]


def policy(objects: list[Object], component: str) -> Any:
    kind = "CiliumNetworkPolicy" if "CiliumNetworkPolicy" in kinds(objects) else "NetworkPolicy"
    return pick(objects, kind, f"ordinaut-{component}")["spec"]


def ports(rules: list[Object]) -> set[int]:
    """The TCP ports of the rules of either flavour."""
    listed = [one.get("ports", []) + [p for to in one.get("toPorts", []) for p in to["ports"]] for one in rules]
    return {int(port["port"]) for found in listed for port in found if port["protocol"] == "TCP"}


def to(rules: list[Object], port: int) -> list[Object]:
    """The peers that the rule of a port names; empty: everybody."""
    (rule,) = [one for one in rules if port in ports([one])]
    peers = rule.get("to", rule.get("from", []))
    assert isinstance(peers, list)
    return peers


def component(name: str) -> Object:
    labels = {"name": "ordinaut", "instance": "ordinaut", "component": name}
    return {"podSelector": {"matchLabels": {f"app.kubernetes.io/{key}": value for key, value in labels.items()}}}


@pytest.mark.parametrize("values", ["networkpolicy", "cilium", "cnpg", "trial-all"])
def test_every_pod_of_ours_has_a_policy(render: Render, values: str) -> None:
    objects = render(values)
    selected = {
        (one["spec"].get("podSelector") or one["spec"]["endpointSelector"])["matchLabels"][
            "app.kubernetes.io/component"
        ]
        for one in objects
        if one["kind"].endswith("NetworkPolicy")
    }
    pods = {component_of_pod(template) for _, template in pod_templates(objects)}
    assert selected == pods - {"test"}  # it is there for a moment, and only asks the api


def test_both_directions_are_decided(render: Render) -> None:
    for one in render("networkpolicy"):
        if one["kind"] == "NetworkPolicy":
            assert one["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_nobody_calls_a_job(render: Render) -> None:
    assert policy(render("networkpolicy"), "migrate")["ingress"] == []
    # To Cilium an empty list would decide nothing; an empty rule allows nothing and refuses the rest.
    assert policy(render("cilium"), "migrate")["ingress"] == [{}]


def test_the_operator_reaches_its_stores_the_api_server_and_the_collector(render: Render) -> None:
    rules = policy(render("networkpolicy"), "operator")
    assert ports(rules["egress"]) == {53, 5353, 5432, 6432, 6379, 6443, 4318}
    assert to(rules["egress"], 6443) == [{"ipBlock": {"cidr": "10.0.0.1/32"}}]
    assert to(rules["egress"], 5432) == [{"ipBlock": {"cidr": "10.1.0.0/24"}}]
    assert to(rules["egress"], 6379) == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "redis"}}}
    ]
    assert to(rules["egress"], 4318) == []
    assert ports(rules["ingress"]) == {9090}


def test_names_are_asked_for_by_both_protocols(render: Render) -> None:
    for rules in (policy(render("networkpolicy"), one)["egress"] for one in ("operator", "worker", "api", "migrate")):
        (rule,) = [one for one in rules if 53 in ports([one])]
        assert [port for port in rule["ports"] if port["port"] == 53] == DNS


def test_without_redis_and_traces_nothing_of_them_is_let_through(render: Render) -> None:
    objects = render(DATABASE | {"networkPolicy": {"enabled": True}})
    assert ports(policy(objects, "operator")["egress"]) == {53, 5353, 5432, 443, 6443}
    assert to(policy(objects, "operator")["egress"], 443) == []
    assert ports(policy(objects, "migrate")["egress"]) == {53, 5353, 5432}


def test_workers_call_what_tasks_name_or_what_is_listed(render: Render) -> None:
    anywhere = policy(render(DATABASE | {"networkPolicy": {"enabled": True}}), "worker")
    assert anywhere["egress"] == [{}]
    listed = policy(render("networkpolicy"), "worker")["egress"]
    assert ports(listed) == {53, 5353, 5432, 6432, 4318, 8080}
    assert listed[-1]["to"] == [{"podSelector": {"matchLabels": {"role": "tools"}}}]
    assert {} not in listed


def test_the_api_is_called_by_whom_the_values_name_and_by_the_test_of_helm(render: Render) -> None:
    rules = policy(render("networkpolicy"), "api")
    ingress = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}
    assert to(rules["ingress"], 8080) == [ingress, component("test")]
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert to(rules["ingress"], 9090) == [monitoring]
    assert to(policy(render(DATABASE | {"networkPolicy": {"enabled": True}}), "api")["ingress"], 8080) == []


def test_the_api_reaches_who_vouches_for_callers(render: Render) -> None:
    allowed = {"networkPolicy": {"enabled": True}}
    file = {"existingSecret": "access"}
    tokens = DATABASE | allowed | {"authentication": {"modes": ["tokens"], "accessFile": file}}
    assert ports(policy(render(tokens), "api")["egress"]) == {53, 5353, 5432}
    issuer = {"issuer": "https://issuer.example:8443/realm", "audience": "ordinaut"}
    oidc = DATABASE | allowed | {"authentication": {"modes": ["oidc"], "accessFile": file, "oidc": issuer}}
    assert ports(policy(render(oidc), "api")["egress"]) == {53, 5353, 5432, 8443}


@pytest.mark.parametrize(
    ("endpoint", "port"), [("http://c:4318", 4318), ("https://c", 443), ("http://c/v1", 80), ("https://[::1]:99/x", 99)]
)
def test_the_port_of_an_address_is_known(render: Render, endpoint: str, port: int) -> None:
    values = DATABASE | {"networkPolicy": {"enabled": True}, "tracing": {"otlpEndpoint": endpoint}}
    assert port in ports(policy(render(values), "migrate")["egress"])


def test_a_hook_has_its_policy_before_it_and_takes_it_along(render: Render) -> None:
    annotations = pick(render("networkpolicy"), "NetworkPolicy", "ordinaut-migrate")["metadata"]["annotations"]
    job = pick(render("networkpolicy"), "Job")["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == job["helm.sh/hook"]
    assert int(annotations["helm.sh/hook-weight"]) < int(job["helm.sh/hook-weight"])
    assert "hook-succeeded" in annotations["helm.sh/hook-delete-policy"]
    plain = pick(render("cnpg"), "NetworkPolicy", "ordinaut-migrate")
    assert "annotations" not in plain["metadata"]


def test_the_trial_stores_are_reached_by_ours_and_by_keda(render: Render) -> None:
    objects = render("trial-all")
    peers = [peer for rule in policy(objects, "trial-postgres")["ingress"] for peer in rule["from"]]
    keda = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}
    assert peers == [*(component(name) for name in ("operator", "worker", "api", "migrate")), keda]
    assert to(policy(objects, "trial-valkey")["ingress"], 6379) == [component("operator")]
    for process in ("operator", "api", "migrate"):
        assert to(policy(objects, process)["egress"], 5432) == [component("trial-postgres")]
    assert policy(objects, "trial-postgres")["egress"] == []
    assert ports(policy(objects, "trial-secret")["egress"]) == {53, 5353, 443, 6443}


def test_a_cluster_of_cloudnativepg_is_found_by_its_name(render: Render) -> None:
    objects = render("cnpg")
    cluster = pick(objects, "Cluster")["metadata"]["name"]
    expected = [{"podSelector": {"matchLabels": {"cnpg.io/cluster": cluster}}}]
    assert to(policy(objects, "api")["egress"], 5432) == expected


def test_cilium_knows_the_api_server_without_its_address(render: Render) -> None:
    objects = render("cilium")
    assert "NetworkPolicy" not in kinds(objects)
    for process in ("operator", "api"):
        assert {"toEntities": ["kube-apiserver"]} in policy(objects, process)["egress"]
    operator = policy(objects, "operator")
    assert ports(operator["egress"]) == {53, 5353, 5432, 6379}
    assert operator["ingress"][0]["fromEndpoints"] == [
        {"matchLabels": {"k8s:io.kubernetes.pod.namespace": "monitoring"}}
    ]
    assert ports(policy(objects, "api")["egress"]) == {53, 5353, 5432, 443}
    assert policy(objects, "worker")["egress"][-1]["toFQDNs"] == [{"matchName": "tools.example"}]
    anywhere = {"networkPolicy": {"enabled": True, "flavor": "cilium"}}
    assert policy(render(DATABASE | anywhere), "worker")["egress"] == [{"toEntities": ["all"]}]
    assert policy(render(DATABASE | anywhere), "api")["ingress"][0]["fromEntities"] == ["all"]


def test_cilium_sees_the_answers_of_name_servers_where_rules_say_names(render: Render) -> None:
    def names(component: str) -> list[Any]:
        rules = [one for one in policy(render("cilium"), component)["egress"] if 53 in ports([one])]
        return [to_ports.get("rules") for one in rules for to_ports in one["toPorts"]]

    assert names("worker") == [{"dns": [{"matchPattern": "*"}]}]
    assert names("api") == [None]

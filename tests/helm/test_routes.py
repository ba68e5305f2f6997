"""Ways from outside to the API: an Ingress or an HTTPRoute, for what the API serves and nothing else."""

from collections.abc import Callable
from typing import Any

from tests.helm.rendering import Object, kinds, pick

DATABASE = {"database": {"existingSecret": "db"}}

Render = Callable[..., list[Object]]


def test_an_ingress_leads_to_the_api(render: Render) -> None:
    objects = render("ingress")
    ingress = pick(objects, "Ingress", "ordinaut-api")
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["spec"]["tls"][0]["secretName"] == "ordinaut-tls"
    assert ingress["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] == "letsencrypt"
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == ["ordinaut.example", "ordinaut.intern.example"]
    for rule in ingress["spec"]["rules"]:
        paths = {one["path"]: one["pathType"] for one in rule["http"]["paths"]}
        assert paths == {"/v1": "Prefix", "/openapi.json": "Exact"}  # neither health nor metrics
        for one in rule["http"]["paths"]:
            service = one["backend"]["service"]
            ports = pick(objects, "Service", service["name"])["spec"]["ports"]
            assert service["port"]["name"] in [port["name"] for port in ports]


def test_an_ingress_takes_the_clusters_class_by_default(render: Render) -> None:
    ingress = {"enabled": True, "hosts": ["a.example"]}
    spec = pick(render(DATABASE | {"api": {"ingress": ingress}}), "Ingress")["spec"]
    assert not {"ingressClassName", "tls"} & set(spec)


def test_a_route_leads_from_the_gateway_to_the_api(render: Render) -> None:
    spec = pick(render("httproute"), "HTTPRoute", "ordinaut-api")["spec"]
    assert spec["parentRefs"] == [{"name": "public", "namespace": "gateways", "sectionName": "https"}]
    assert spec["hostnames"] == ["ordinaut.example"]
    (rule,) = spec["rules"]
    assert [one["path"] for one in rule["matches"]] == [
        {"type": "PathPrefix", "value": "/v1"},
        {"type": "Exact", "value": "/openapi.json"},
    ]
    assert rule["backendRefs"] == [{"name": "ordinaut-api", "port": 80}]
    assert rule["timeouts"] == {"request": "0s"}


def test_a_route_follows_the_port_of_the_service(render: Render) -> None:
    api: dict[str, Any] = {"service": {"port": 8443}, "httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}]}}
    objects = render(DATABASE | {"api": api})
    (rule,) = pick(objects, "HTTPRoute")["spec"]["rules"]
    assert rule["backendRefs"][0]["port"] == 8443 == pick(objects, "Service")["spec"]["ports"][0]["port"]
    assert "timeouts" not in rule


def test_nothing_leads_in_unless_it_is_asked_for(render: Render) -> None:
    assert not kinds(render(DATABASE)) & {"Ingress", "HTTPRoute"}

"""What is refused before anything is installed: misspelt keys, wrong values, and what cannot work around the core."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.helm.looking import assert_told, given
from tests.helm.rendering import CHART, Helm, Refused

KEDA = {"enabled": True}

Values = dict[str, Any]


# ---------------------------------------------------------------- by the schema

MISSPELT = {
    "/": ({"wroker": {"replicas": 2}}, "wroker"),
    "/worker": ({"worker": {"replica": 2}}, "replica"),
    "/worker/keda": ({"worker": {"keda": {"minReplica": 2}}}, "minReplica"),
    "/worker/keda/fallback": ({"worker": {"keda": {"fallback": {"replica": 2}}}}, "replica"),
    "/database/cnpg/storage": ({"database": {"cnpg": {"storage": {"Size": "1Gi"}}}}, "Size"),
    "/trial/valkey/image": ({"trial": {"valkey": {"image": {"repo": "x"}}}}, "repo"),
    "/metrics/podMonitor": ({"metrics": {"podMonitor": {"enable": True}}}, "enable"),
    "/metrics/prometheusRule/thresholds": (
        {"metrics": {"prometheusRule": {"thresholds": {"SchedulerLate": 1}}}},
        "SchedulerLate",
    ),
    "/networkPolicy/extraEgress": ({"networkPolicy": {"extraEgress": {"workers": []}}}, "workers"),
    "/api/httpRoute": ({"api": {"httpRoute": {"parentRef": []}}}, "parentRef"),
}


@pytest.mark.parametrize("place", MISSPELT)
def test_a_misspelt_key_is_named_with_its_place(any_helm: Helm, place: str) -> None:
    values, key = MISSPELT[place]
    with pytest.raises(Refused) as refused:
        any_helm.text(values)
    assert f"at '{'' if place == '/' else place}'" in str(refused.value)
    assert f"'{key}'" in str(refused.value)


WRONG = {
    "/worker/keda/minReplicas": {"worker": {"keda": {"minReplicas": -1}}},
    "/worker/keda/fallback/behavior": {"worker": {"keda": {"fallback": {"behavior": "guess"}}}},
    "/worker/autoscaling/minReplicas": {"worker": {"autoscaling": {"minReplicas": 0}}},
    "/networkPolicy/flavor": {"networkPolicy": {"flavor": "calico"}},
    "/networkPolicy/workerEgress": {"networkPolicy": {"workerEgress": "none"}},
    "/networkPolicy/dnsPorts/0": {"networkPolicy": {"dnsPorts": ["53"]}},
    "/networkPolicy/apiServer/cidrs/0": {"networkPolicy": {"apiServer": {"cidrs": ["10.0.0.1"]}}},
    "/metrics/renderMode": {"metrics": {"renderMode": "always"}},
    "/metrics/podMonitor/interval": {"metrics": {"podMonitor": {"interval": "30"}}},
    "/metrics/prometheusRule/thresholds/OrdinautDown": {
        "metrics": {"prometheusRule": {"thresholds": {"OrdinautDown": "5m"}}}
    },
    "/api/ingress/hosts/0": {"api": {"ingress": {"hosts": [{"host": "a.example"}]}}},
    "/trial/postgres/podSecurityContext/runAsUser": {"trial": {"postgres": {"podSecurityContext": {"runAsUser": 0}}}},
    "/trial/postgres/storage/size": {"trial": {"postgres": {"storage": {"size": 1}}}},
    "/database/cnpg/instances": {"database": {"cnpg": {"instances": 0}}},
}


@pytest.mark.parametrize("place", WRONG)
def test_a_wrong_value_is_named_by_its_place(refused: Callable[..., str], place: str) -> None:
    assert f"at '{place}'" in refused(WRONG[place])


# ---------------------------------------------------------------- by the templates

MISTAKES: dict[str, tuple[Values, str, str]] = {
    "two autoscalers": (
        given(worker={"keda": KEDA, "autoscaling": {"enabled": True}}),
        "worker.autoscaling, worker.keda: both would set the number of workers",
        "enabled: true in one of them",
    ),
    "more at least than at most": (
        given(worker={"autoscaling": {"enabled": True, "minReplicas": 11}}),
        "worker.autoscaling.minReplicas: 11 is more than maxReplicas (10)",
        "at most maxReplicas",
    ),
    "more at least than at most, by KEDA": (
        given(worker={"keda": KEDA | {"minReplicas": 3, "maxReplicas": 2}}),
        "worker.keda.minReplicas: 3 is more than maxReplicas (2)",
        "at most maxReplicas",
    ),
    "more at least than at most, of the api": (
        given(api={"autoscaling": {"enabled": True, "minReplicas": 7}}),
        "api.autoscaling.minReplicas: 7",
        "at most maxReplicas",
    ),
    "a part of nothing": (
        given(api={"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}}),
        "api.resources.requests.cpu: autoscaling measures CPU as a part of what is requested",
        "a request",
    ),
    "a fallback beyond the limit": (
        given(worker={"keda": KEDA | {"maxReplicas": 3, "fallback": {"replicas": 4}}}),
        "worker.keda.fallback.replicas: 4",
        "at most maxReplicas",
    ),
    "an ingress to nobody": (
        given(api={"enabled": False, "ingress": {"enabled": True, "hosts": ["a.example"]}}),
        "api.ingress.enabled: there is no api to send requests to",
        "api.enabled=true",
    ),
    "a route to nobody": (
        given(api={"enabled": False, "httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}]}}),
        "api.httpRoute.enabled: there is no api to send requests to",
        "api.enabled=true",
    ),
    "an ingress for every name": (
        given(api={"ingress": {"enabled": True}}),
        "api.ingress.hosts: without a host the Ingress would answer",
        "[ordinaut.example]",
    ),
    "a route of no gateway": (
        given(api={"httpRoute": {"enabled": True}}),
        "api.httpRoute.parentRefs: a route without a gateway",
        "gateways",
    ),
    "scraped twice": (
        given(metrics={"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}),
        "metrics.podMonitor, metrics.serviceMonitor: every pod would be scraped twice",
        "enabled: true in one of them",
    ),
    "a scrape that goes on beyond the next": (
        given(metrics={"podMonitor": {"enabled": True, "interval": "1m", "scrapeTimeout": "61s"}}),
        "metrics.podMonitor.scrapeTimeout: 61s is longer than the interval (1m)",
        "at most the interval",
    ),
    "dashboards that nobody makes": (
        given(metrics={"dashboards": {"grafanaOperator": {"enabled": True}}}),
        "metrics.dashboards.grafanaOperator.enabled: it says how dashboards are made",
        "metrics.dashboards.enabled=true",
    ),
    "an alert that does not exist": (
        given(metrics={"prometheusRule": {"disabled": ["OrdinautLate"]}}),
        "metrics.prometheusRule.disabled: there is no alert OrdinautLate",
        "OrdinautSchedulerLate",
    ),
    "a threshold of nothing": (
        given(metrics={"prometheusRule": {"thresholds": {"OrdinautLate": 3}}}),
        "metrics.prometheusRule.thresholds.OrdinautLate: there is no such alert",
        "OrdinautSchedulerLate",
    ),
    "networks that Cilium does not look at": (
        given(networkPolicy={"enabled": True, "flavor": "cilium", "apiServer": {"cidrs": ["10.0.0.1/32"]}}),
        "networkPolicy.apiServer.cidrs: Cilium knows the API server",
        "flavor: kubernetes",
    ),
    "more than everything": (
        given(networkPolicy={"enabled": True, "extraEgress": {"worker": [{}]}}),
        "networkPolicy.extraEgress.worker: with workerEgress any",
        "workerEgress: listed",
    ),
    "a Job that may do nothing": (
        {"trial": {"enabled": True}, "rbac": {"create": False}},
        "trial.enabled: a Job makes the passwords",
        "rbac.create=true",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_refused_with_key_reason_and_remedy(refused: Callable[..., str], mistake: str) -> None:
    values, reason, remedy = MISTAKES[mistake]
    assert_told(refused(values), reason=reason, remedy=remedy)


def test_every_mistake_that_the_templates_know_is_shown_here() -> None:
    text = (CHART / "templates/_helpers/_validate-around.tpl").read_text()
    known = re.findall(r'"why" \(?(?:printf )?"(?:%\w)?([^"%]+)', text)
    shown = [reason for _, reason, _ in MISTAKES.values()]
    assert len(known) == text.count('{{- include "ordinaut.mistake"')
    assert [why for why in known if not any(why[:20] in reason for reason in shown)] == []

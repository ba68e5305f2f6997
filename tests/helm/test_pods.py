"""The pods of the chart: what runs in them, what users may change and add, and how they come and go."""

import pytest

from tests.helm.looking import COMPONENTS, Render, given, pod, variables
from tests.helm.rendering import pick, pod_templates


@pytest.mark.parametrize(
    ("component", "command"),
    [
        ("operator", ["python", "-m", "ordinaut_operator"]),
        ("worker", ["python", "-m", "ordinaut_worker"]),
        ("api", ["python", "-m", "ordinaut_api"]),
        ("migrate", ["ordinaut", "migrate"]),
    ],
)
def test_each_pod_runs_its_program(render: Render, component: str, command: list[str]) -> None:
    container = pod(render(given()), component)["containers"][0]
    assert (container["name"], container["command"]) == (component, command)


@pytest.mark.parametrize("component", COMPONENTS)
def test_processes_are_probed_where_they_say_how_they_are(render: Render, component: str) -> None:
    container = pod(render(given()), component)["containers"][0]
    assert {"name": "probes", "containerPort": 9090} in container["ports"]
    paths = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {one["port"] for one in paths.values()} == {"probes"}
    assert {name: one["path"] for name, one in paths.items()} == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }


@pytest.mark.parametrize(("component", "mounted"), [("operator", True), ("api", True), ("worker", False)])
def test_only_who_talks_to_the_api_server_gets_a_token(render: Render, component: str, *, mounted: bool) -> None:
    assert pod(render(given()), component)["automountServiceAccountToken"] is mounted


def test_the_api_gets_no_token_where_it_asks_the_api_server_nothing(render: Render) -> None:
    tokens = {"modes": ["tokens"], "accessFile": {"existingSecret": "access"}}
    assert pod(render(given(authentication=tokens)), "api")["automountServiceAccountToken"] is False


@pytest.mark.parametrize("component", ["migrate", "test"])
def test_pods_that_end_have_no_service_account_and_no_token(render: Render, component: str) -> None:
    spec = pod(render(given()), component)
    assert spec["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in spec


@pytest.mark.parametrize("component", COMPONENTS)
def test_what_a_component_says_counts_instead_of_the_defaults(render: Render, component: str) -> None:
    defaults = {"tolerations": [{"key": "all"}], "podLabels": {"whose": "all"}, "priorityClassName": "all"}
    own = {
        "tolerations": [{"key": "own"}],
        "podLabels": {"own": "yes"},
        "probes": {"readiness": {"periodSeconds": 7}},
    }
    objects = render(given(defaults=defaults, **{component: own}))
    spec = pod(objects, component)
    assert spec["tolerations"] == [{"key": "own"}]
    assert spec["priorityClassName"] == "all"
    assert spec["containers"][0]["readinessProbe"]["periodSeconds"] == 7
    assert spec["containers"][0]["readinessProbe"]["timeoutSeconds"] == 5, "merged over the defaults"
    for other in {*COMPONENTS, "migrate", "test"} - {component}:
        assert pod(objects, other)["tolerations"] == [{"key": "all"}]
    labels = {name: template["metadata"]["labels"] for name, template in pod_templates(objects)}
    assert labels[f"Deployment/ordinaut-{component}"]["own"] == "yes"
    assert "whose" not in labels[f"Deployment/ordinaut-{component}"]


def test_a_variable_of_the_users_replaces_that_of_the_chart(render: Render) -> None:
    extra = [{"name": "ORDINAUT_WORKER_SLOTS", "value": "{{ len .Release.Name }}"}, {"name": "MINE", "value": "1"}]
    found = variables(pod(render(given(worker={"extraEnv": extra})), "worker"))
    assert (found["ORDINAUT_WORKER_SLOTS"], found["MINE"]) == ("8", "1")


def test_what_is_added_beside_is_in_pods_that_stay_and_not_in_those_that_end(render: Render) -> None:
    added = {
        "extraContainers": [{"name": "beside", "image": "x"}],
        "extraInitContainers": [{"name": "before", "image": "x"}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "extraEnvFrom": [{"secretRef": {"name": "{{ .Release.Name }}-more"}}],
        "extraPodSpec": {"runtimeClassName": "{{ .Release.Name }}"},
    }
    objects = render(given(defaults=added))
    for component in (*COMPONENTS, "migrate"):
        spec = pod(objects, component)
        names = [one["name"] for one in spec["containers"]]
        assert names == ([component] if component == "migrate" else [component, "beside"])
        assert [one["name"] for one in spec["initContainers"]] == ["before"]
        assert spec["runtimeClassName"] == "ordinaut"
        assert spec["containers"][0]["envFrom"] == [{"secretRef": {"name": "ordinaut-more"}}]
        assert {"name": "more", "mountPath": "/more"} in spec["containers"][0]["volumeMounts"]


def test_a_spread_of_the_users_gets_the_selector_that_it_lacks(render: Render) -> None:
    mine = {"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}
    whole = mine | {"labelSelector": {"matchLabels": {"a": "b"}}}
    spread = pod(render(given(worker={"topologySpreadConstraints": [mine, whole]})), "worker")
    filled, kept = spread["topologySpreadConstraints"]
    assert filled["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] == "worker"
    assert kept == whole


@pytest.mark.parametrize("component", COMPONENTS)
def test_an_old_pod_stays_until_a_new_one_is_ready(render: Render, component: str) -> None:
    strategy = pick(render(given()), "Deployment", f"ordinaut-{component}")["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}}


def test_recreate_takes_no_details_of_rolling_along(render: Render) -> None:
    objects = render(given(defaults={"updateStrategy": {"type": "Recreate"}}))
    assert pick(objects, "Deployment", "ordinaut-worker")["spec"]["strategy"] == {"type": "Recreate"}


def test_workers_have_longer_than_their_drain_before_they_are_killed(render: Render) -> None:
    spec = pod(render(given(worker={"drainSeconds": 600})), "worker")
    assert spec["terminationGracePeriodSeconds"] == 615
    assert variables(spec)["ORDINAUT_GRACE_SECONDS"] == "600"


def test_the_api_waits_until_nobody_sends_requests_any_more(render: Render) -> None:
    container = pod(render(given(api={"preStopSleepSeconds": 7})), "api")["containers"][0]
    assert container["lifecycle"] == {"preStop": {"exec": {"command": ["sleep", "7"]}}}


def test_without_the_api_nothing_of_it_is_left(render: Render) -> None:
    objects = render(given(api={"enabled": False}))
    assert not [one for one in objects if "-api" in one["metadata"]["name"]]


def test_helm_test_asks_the_api_through_its_service(render: Render) -> None:
    objects = render(given(api={"service": {"port": 8081}}))
    test = pick(objects, "Pod")
    assert test["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert test["spec"]["restartPolicy"] == "Never"
    service = pick(objects, "Service")
    url = f"http://{service['metadata']['name']}.{service['metadata']['namespace']}:8081/healthz"
    assert test["spec"]["containers"][0]["command"][-1] == url


def test_objects_of_the_users_are_templates(render: Render) -> None:
    extra = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-a"}},
        'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ include "ordinaut.fullname" . }}-b\n',
    ]
    found = [one["metadata"]["name"] for one in render(given(extraObjects=extra)) if one["kind"] == "ConfigMap"]
    assert found == ["ordinaut-a", "ordinaut-b"]

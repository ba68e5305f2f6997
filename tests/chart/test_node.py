"""Shows that the stand-in for a node does what a kubelet does, as far as the tests of the chart rely on it."""

import base64
import json
from typing import Any

import httpx2
import pytest

from tests.chart.conftest import IMAGE
from tests.cluster.controlplane import ControlPlane
from tests.cluster.kubelet.node import Node
from tests.running import until

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("chart")]

SERVE = """
import http.server, os, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        good = os.path.exists("good") or self.path == "/alive"
        self.send_response(200 if good else 503)
        self.end_headers()
        self.wfile.write(b"here")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.HTTPServer((os.environ["ORDINAUT_PROBE_HOST"], 9090), Handler).serve_forever()
"""

SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def container(code: str, **more: Any) -> dict[str, Any]:
    return {"name": "main", "image": IMAGE, "command": ["python", "-c", code], "securityContext": SECURITY, **more}


def pod(*containers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"terminationGracePeriodSeconds": 10, "containers": list(containers), **more}


def make(control_plane: ControlPlane, namespace: str, name: str, spec: dict[str, Any]) -> None:
    body = {"metadata": {"name": name, "labels": {"app": name}}, "spec": spec}
    control_plane.call("POST", f"/api/v1/namespaces/{namespace}/pods", body)


def read(control_plane: ControlPlane, namespace: str, name: str) -> dict[str, Any]:
    return dict(control_plane.call("GET", f"/api/v1/namespaces/{namespace}/pods/{name}"))


def state(control_plane: ControlPlane, namespace: str, name: str) -> dict[str, Any]:
    found = read(control_plane, namespace, name)["status"].get("containerStatuses", [{}])[0]
    return dict(found.get("state", {}))


def is_ready(found: dict[str, Any]) -> bool:
    return {"type": "Ready", "status": "True"}.items() <= {
        key: value
        for one in found["status"].get("conditions", ())
        if one["type"] == "Ready"
        for key, value in one.items()
    }.items()


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    """A fresh namespace with its default service account."""
    name = control_plane.namespace()
    path = f"/api/v1/namespaces/{name}/serviceaccounts/default"

    def there() -> bool:
        try:
            return bool(control_plane.call("GET", path))
        except httpx2.HTTPStatusError:
            return False

    until(there, what="the default service account")
    return name


def test_a_deployment_is_rolled_out_as_its_probes_answer_and_its_pods_end_in_order(
    control_plane: ControlPlane, node: Node, namespace: str
) -> None:
    probe = {"periodSeconds": 1, "failureThreshold": 60}
    serving = container(
        SERVE,
        ports=[{"name": "probes", "containerPort": 9090}],
        startupProbe={"httpGet": {"path": "/alive", "port": "probes"}, **probe},
        readinessProbe={"httpGet": {"path": "/ready", "port": "probes"}, **probe},
        lifecycle={"preStop": {"exec": {"command": ["python", "-c", "open('said', 'w')"]}}},
    )
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": pod(serving)},
    }
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    control_plane.call("POST", path, {"metadata": {"name": "web"}, "spec": spec})
    service = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "probes"}]}
    services = f"/api/v1/namespaces/{namespace}/services"
    control_plane.call("POST", services, {"metadata": {"name": "web"}, "spec": service})

    def pods() -> list[dict[str, Any]]:
        return list(control_plane.call("GET", f"/api/v1/namespaces/{namespace}/pods?labelSelector=app=web")["items"])

    def started() -> bool:
        return [one["status"].get("containerStatuses", [{}])[0].get("started") for one in pods()] == [True, True]

    until(started, what="two started pods")
    assert not any(is_ready(one) for one in pods())
    addresses = {one["status"]["podIP"] for one in pods()}
    assert len(addresses) == 2

    for one in pods():
        (node.directory(namespace, one["metadata"]["name"]) / "good").touch()
    until(lambda: control_plane.call("GET", f"{path}/web")["status"].get("readyReplicas") == 2, what="two ready pods")
    assert {node.services.resolve(f"web.{namespace}.svc", 80) for _ in range(4)} == {(one, 9090) for one in addresses}

    asking = "import sys, urllib.request as r; assert r.urlopen(sys.argv[1]).read() == b'here'"
    spec = pod(container(asking, args=[f"http://web.{namespace}/"]), restartPolicy="Never")
    make(control_plane, namespace, "asking", spec)
    until(lambda: read(control_plane, namespace, "asking")["status"]["phase"] == "Succeeded", what="an answer")

    names = [one["metadata"]["name"] for one in pods()]
    control_plane.call("DELETE", f"{path}/web", {"propagationPolicy": "Foreground"})
    until(lambda: not pods(), what="the pods to be gone")
    left = [node.ended(namespace, name) for name in names]
    assert [(one.exit_code, one.killed) for (one,) in left] == [(0, False), (0, False)]
    assert all((node.directory(namespace, name) / "said").exists() for name in names)


def test_a_job_is_tried_again_until_it_succeeds(control_plane: ControlPlane, node: Node, namespace: str) -> None:
    trying = "import os, sys; os.path.exists('tried') or (open('tried', 'w'), sys.exit(3))"
    template = {"spec": pod(container(trying), restartPolicy="OnFailure", automountServiceAccountToken=False)}
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    control_plane.call("POST", path, {"metadata": {"name": "job"}, "spec": {"template": template}})
    until(lambda: control_plane.call("GET", f"{path}/job")["status"].get("succeeded") == 1, what="the job")
    (found,) = control_plane.call("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
    (status,) = found["status"]["containerStatuses"]
    assert (found["status"]["phase"], status["restartCount"]) == ("Succeeded", 1)
    assert status["lastState"]["terminated"]["exitCode"] == 3


def test_a_process_is_told_what_its_pod_says(control_plane: ControlPlane, node: Node, namespace: str) -> None:
    secret = {"metadata": {"name": "s"}, "data": {"password": base64.b64encode(b"secret").decode()}}
    control_plane.call("POST", f"/api/v1/namespaces/{namespace}/secrets", secret)
    config = {"metadata": {"name": "c"}, "data": {"file": "hello", "LEVEL": "high"}}
    control_plane.call("POST", f"/api/v1/namespaces/{namespace}/configmaps", config)
    code = """
import json, os, pathlib, sys
names = ["URL", "NAME", "LABEL", "LEVEL", "MISSING", "IP"]
told = {name: os.environ.get(name) for name in names} | {"argument": sys.argv[1]}
told |= {"file": pathlib.Path(os.environ["FILE"]).read_text(), "kubeconfig": "KUBECONFIG" in os.environ}
told |= {"tests": [one for one in os.environ if one.startswith("PYTEST")]}
pathlib.Path("told").write_text(json.dumps(told))
"""
    reading = container(
        code,
        args=["$(NAME)-$$(NAME)-$(NOBODY)"],
        envFrom=[{"configMapRef": {"name": "none", "optional": True}}, {"configMapRef": {"name": "c"}}],
        env=[
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "password"}}},
            {"name": "URL", "value": "db://me:$(PASSWORD)@host"},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "MISSING", "valueFrom": {"secretKeyRef": {"name": "none", "key": "x", "optional": True}}},
            {"name": "FILE", "value": "/etc/app/file"},
        ],
        volumeMounts=[{"name": "config", "mountPath": "/etc/app", "readOnly": True}],
    )
    volume = {"name": "config", "configMap": {"name": "c", "items": [{"key": "file", "path": "file"}]}}
    spec = pod(reading, restartPolicy="Never", automountServiceAccountToken=False, volumes=[volume])
    make(control_plane, namespace, "teller", spec)
    until(lambda: read(control_plane, namespace, "teller")["status"]["phase"] == "Succeeded", what="the pod to end")
    assert json.loads((node.directory(namespace, "teller") / "told").read_text()) == {
        "URL": "db://me:secret@host",
        "NAME": "teller",
        "LABEL": "teller",
        "LEVEL": "high",
        "MISSING": None,
        "IP": read(control_plane, namespace, "teller")["status"]["podIP"],
        "argument": "teller-$(NAME)-$(NOBODY)",
        "file": "hello",
        "kubeconfig": False,
        "tests": [],
    }


def test_what_is_not_there_is_waited_for_and_told(control_plane: ControlPlane, node: Node, namespace: str) -> None:
    variable = {"name": "A", "valueFrom": {"secretKeyRef": {"name": "late", "key": "a"}}}
    spec = pod(container("pass", env=[variable]), restartPolicy="Never")
    make(control_plane, namespace, "waiting", spec)
    until(
        lambda: (
            state(control_plane, namespace, "waiting")
            == {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "late" not found'}}
        ),
        what="the reason",
    )
    control_plane.call(
        "POST", f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": "late"}, "data": {"a": ""}}
    )
    until(lambda: "terminated" in state(control_plane, namespace, "waiting"), what="the pod to run")

    unknown = container("pass") | {"image": "nowhere.example/none:1"}
    make(control_plane, namespace, "imageless", pod(unknown))
    until(lambda: state(control_plane, namespace, "imageless").get("waiting"), what="a reason")
    assert state(control_plane, namespace, "imageless")["waiting"]["reason"] == "ErrImagePull"


def test_a_token_is_that_of_the_pods_account_and_bound_to_the_pod(
    control_plane: ControlPlane, node: Node, namespace: str
) -> None:
    make(control_plane, namespace, "asking", pod(container(SERVE)))
    path = node.directory(namespace, "asking") / "kubeconfig"
    until(path.exists, what="the kubeconfig")
    token = json.loads(path.read_text())["users"][0]["user"]["token"]

    url = f"{control_plane.url}/apis/authentication.k8s.io/v1/selfsubjectreviews"
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx2.post(url, json={}, headers=headers, verify=control_plane.tls(), trust_env=False)
    user = answer.json()["status"]["userInfo"]
    assert user["username"] == f"system:serviceaccount:{namespace}:default"
    assert user["extra"]["authentication.kubernetes.io/pod-name"] == ["asking"]


def test_who_does_not_listen_to_sigterm_is_killed_after_the_grace_period(
    control_plane: ControlPlane, node: Node, namespace: str
) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('deaf', 'w'); signal.pause()"
    make(control_plane, namespace, "deaf", pod(container(deaf)))
    directory = node.directory(namespace, "deaf")
    until((directory / "deaf").exists, what="the pod to be deaf")
    control_plane.call("DELETE", f"/api/v1/namespaces/{namespace}/pods/deaf", {"gracePeriodSeconds": 1})
    (ended,) = node.ended(namespace, "deaf")
    assert (ended.exit_code, ended.killed) == (137, True)

"""Shows that the control plane of the cluster tests is a real one, and that its faults are what they are called."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests.cluster.controlplane import ControlPlane
from tests.cluster.faultproxy import FaultProxy, Mode

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("cluster")]

_ROOT = Path(__file__).parents[2]

_WINDOWS_CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "windows.test.ordinaut.io"},
    "spec": {
        "group": "test.ordinaut.io",
        "scope": "Namespaced",
        "names": {"kind": "Window", "plural": "windows"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["opens", "closes"],
                                "properties": {"opens": {"type": "integer"}, "closes": {"type": "integer"}},
                                "x-kubernetes-validations": [
                                    {"rule": "self.opens < self.closes", "message": "opens must be before closes"}
                                ],
                            }
                        },
                    }
                },
            }
        ],
    },
}


@pytest.fixture
def proxy(control_plane: ControlPlane) -> Iterator[FaultProxy]:
    with FaultProxy(control_plane) as proxy:
        yield proxy


def eventually(condition: Callable[[], bool], *, within: float = 30) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def window(name: str, *, opens: int, closes: int) -> str:
    spec = {"opens": opens, "closes": closes}
    return json.dumps({"apiVersion": "test.ordinaut.io/v1", "kind": "Window", "metadata": {"name": name}, "spec": spec})


def configmap(control_plane: ControlPlane, namespace: str, name: str) -> None:
    control_plane.call("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": name}})


def let_read_configmaps(control_plane: ControlPlane, namespace: str, service_account: str) -> None:
    create = ("create", f"--namespace={namespace}")
    control_plane.kubectl(*create, "role", "reader", "--verb=get,list,watch", "--resource=configmaps")
    subject = f"--serviceaccount={namespace}:{service_account}"
    control_plane.kubectl(*create, "rolebinding", "reader", "--role=reader", subject)


def test_it_is_ready_and_says_its_version(control_plane: ControlPlane) -> None:
    assert control_plane.kubectl("get", "--raw=/readyz").stdout == "ok"
    # A build without its version stamp says v0.0.0, which charts with a `kubeVersion` refuse.
    assert control_plane.call("GET", "/version")["major"] == "1"


def test_a_service_account_may_do_only_what_a_role_grants(control_plane: ControlPlane, namespace: str) -> None:
    kubeconfig = control_plane.kubeconfig_for("stranger", namespace)

    def as_stranger(*arguments: str) -> subprocess.CompletedProcess[str]:
        return control_plane.kubectl(f"--kubeconfig={kubeconfig}", *arguments, check=False)

    denied = as_stranger("get", "configmaps")
    assert denied.returncode == 1
    assert f'User "system:serviceaccount:{namespace}:stranger" cannot list resource "configmaps"' in denied.stderr

    let_read_configmaps(control_plane, namespace, "stranger")
    eventually(lambda: as_stranger("get", "configmaps").returncode == 0)
    assert as_stranger("create", "configmap", "made-by-stranger").returncode == 1


def test_a_rule_of_a_crd_rejects_what_breaks_it(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("apply", "--filename=-", stdin=json.dumps(_WINDOWS_CRD))
    control_plane.wait_for_definitions("windows.test.ordinaut.io")
    apply = ("apply", f"--namespace={namespace}", "--filename=-")

    control_plane.kubectl(*apply, stdin=window("day", opens=8, closes=20))
    refused = control_plane.kubectl(*apply, stdin=window("night", opens=20, closes=8), check=False)

    assert refused.returncode == 1
    assert "opens must be before closes" in refused.stderr
    listed = control_plane.kubectl("get", "windows", f"--namespace={namespace}", "--output=name")
    assert listed.stdout.split() == ["window.test.ordinaut.io/day"]


def test_a_token_is_valid_for_its_audience_only(control_plane: ControlPlane, namespace: str) -> None:
    token = control_plane.token_for("agent", namespace, audience="ordinaut")

    def review(audience: str) -> bool:
        spec = {"token": token, "audiences": [audience]}
        answer = control_plane.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": spec})
        return bool(answer["status"].get("authenticated", False))

    assert review("ordinaut")
    assert not review("another")


def test_a_killed_api_server_comes_back_with_its_data(control_plane: ControlPlane, namespace: str) -> None:
    configmap(control_plane, namespace, "kept")
    control_plane.stop_apiserver()
    with pytest.raises(httpx2.ConnectError):
        control_plane.call("GET", "/readyz")
    control_plane.start_apiserver()
    kept = control_plane.call("GET", f"/api/v1/namespaces/{namespace}/configmaps/kept")
    assert kept["metadata"]["name"] == "kept"


def test_a_paused_api_server_hangs_until_it_goes_on(control_plane: ControlPlane, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}"
    control_plane.pause_apiserver()
    try:
        admin = control_plane.tls(client=True)
        with httpx2.Client(verify=admin, timeout=0.5) as impatient, pytest.raises(httpx2.TimeoutException):
            impatient.get(control_plane.url + path)
    finally:
        control_plane.resume_apiserver()
    assert control_plane.call("GET", path)["metadata"]["name"] == namespace


def test_writes_are_counted_by_resource(control_plane: ControlPlane, namespace: str) -> None:
    before = control_plane.requests("configmaps"), control_plane.requests("configmaps", verb="GET")
    configmap(control_plane, namespace, "counted")
    control_plane.call("GET", f"/api/v1/namespaces/{namespace}/configmaps/counted")
    after = control_plane.requests("configmaps"), control_plane.requests("configmaps", verb="GET")
    assert (after[0] - before[0], after[1] - before[1]) == (1, 1)


def test_the_proxy_fails_as_told_and_passes_again(
    control_plane: ControlPlane, proxy: FaultProxy, namespace: str
) -> None:
    path = f"{proxy.url}/api/v1/namespaces/{namespace}"
    token = control_plane.token_for("client", namespace)
    with httpx2.Client(verify=control_plane.tls(), headers={"Authorization": f"Bearer {token}"}) as client:
        assert client.get(path).json()["message"].endswith(f'in the namespace "{namespace}"')

        proxy.switch(Mode.UNAVAILABLE)
        assert client.get(path).status_code == 503

        proxy.switch(Mode.REFUSING)
        with pytest.raises(httpx2.ConnectError):
            client.get(path)

        proxy.switch(Mode.PASSING)
        assert client.get(path).status_code == 403
    assert proxy.answered == {Mode.PASSING: 2, Mode.UNAVAILABLE: 1}


def test_kubectl_works_through_the_proxy(control_plane: ControlPlane, proxy: FaultProxy, namespace: str) -> None:
    kubeconfig = proxy.kubeconfig_for("client", namespace)
    who = control_plane.kubectl(f"--kubeconfig={kubeconfig}", "auth", "whoami", "--output=json")
    assert json.loads(who.stdout)["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:client"


def test_a_watch_streams_through_the_proxy_and_ends_with_a_fault(
    control_plane: ControlPlane, proxy: FaultProxy, namespace: str
) -> None:
    let_read_configmaps(control_plane, namespace, "watcher")
    token = control_plane.token_for("watcher", namespace)
    url = f"{proxy.url}/api/v1/namespaces/{namespace}/configmaps"
    with httpx2.Client(verify=control_plane.tls(), headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
        eventually(lambda: client.get(url).is_success)
        with client.stream("GET", url, params={"watch": "1"}) as watch:
            events = watch.iter_lines()
            configmap(control_plane, namespace, "seen")
            assert json.loads(next(events))["object"]["metadata"]["name"] == "seen"
            proxy.switch(Mode.UNAVAILABLE)
            with pytest.raises(httpx2.TransportError):
                next(events)


def test_the_controller_manager_collects_garbage() -> None:
    with ControlPlane(controller_manager=True) as control_plane:
        namespace = control_plane.namespace()
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        owner = control_plane.call("POST", path, {"metadata": {"name": "owner"}})
        reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
        control_plane.call("POST", path, {"metadata": {"name": "owned", "ownerReferences": [reference]}})
        control_plane.call("DELETE", f"{path}/owner")

        def names() -> set[str]:
            return {item["metadata"]["name"] for item in control_plane.call("GET", path)["items"]}

        eventually(lambda: "owned" not in names(), within=60)


def test_nothing_is_left_of_a_control_plane_whose_test_run_was_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.cluster"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout
        kubeconfig = Path(runner.stdout.readline().strip().removeprefix("export KUBECONFIG="))
        url = httpx2.URL(json.loads(kubeconfig.read_text())["clusters"][0]["cluster"]["server"])
        runner.kill()

    def listening() -> bool:
        with socket.socket() as connection:
            return connection.connect_ex((url.host, url.port)) == 0

    eventually(lambda: not listening())
    eventually(lambda: not list(tmp_path.iterdir()))

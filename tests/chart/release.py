"""
The chart as a release: installed, upgraded, rolled back, tested and taken away by a real helm on a real API server.

Tests get one by the fixture `releases` and look at what it made through `object`, `pods` and `everything`. It is always
called the same and in the same namespace, as on a cluster that has one: what is left of one release must not be in the
way of the next.
"""

import base64
import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cluster.controlplane import ControlPlane
from tests.cluster.kubelet.containers import Ended
from tests.cluster.kubelet.node import Node
from tests.running import until

CHART = Path(__file__).parents[2] / "helm" / "ordinaut"
NAME = "ordinaut"
NAMESPACE = "ordinaut-system"

TRANSIENT = {"events", "componentstatuses"}
"""Kinds whose objects come and go by themselves."""

EVERYWHERE = {("configmaps", "kube-root-ca.crt"), ("serviceaccounts", "default")}
"""What controllers put into each namespace, when they get to it."""

Object = dict[str, Any]
Values = Mapping[str, Any]

SMALL: Values = {
    "database": {"existingSecret": "stores", "keys": {"uri": "database"}},
    "redis": {"existingSecret": "stores", "keys": {"uri": "redis"}},
    "operator": {"replicas": 1},
    "worker": {"replicas": 1, "drainSeconds": 30},
    "migrations": {"ttlSecondsAfterFinished": 15},
    "api": {"replicas": 1, "preStopSleepSeconds": 1, "terminationGracePeriodSeconds": 20},
}
"""What a test's machine has room for: one pod of each."""


class Release:
    """One release and its helm; made by the fixture, which also takes it away."""

    def __init__(self, helm: Path, control_plane: ControlPlane, node: Node, *, database: str, redis: str) -> None:
        self.control_plane = control_plane
        self.node = node
        self.database = database
        self._helm = helm
        self._home = control_plane.directory / helm.name
        data = {"database": database, "redis": redis}
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "stores"}, "data": encoded}
        control_plane.kubectl("apply", f"--namespace={NAMESPACE}", "--filename=-", stdin=json.dumps(secret))

    # -- what helm does ------------------------------------------------------------------------------------------------

    def install(self, values: Values | None = None, *, wait: bool = True) -> None:
        """Install it and wait until all pods are ready."""
        self._apply("install", values, wait=wait)

    def upgrade(self, values: Values | None = None, *, wait: bool = True) -> None:
        """Upgrade it to other values and wait until the new pods are ready."""
        self._apply("upgrade", values, wait=wait)

    def rollback(self, revision: int) -> None:
        """Go back to a revision."""
        self.helm("rollback", NAME, str(revision), "--wait", "--timeout=3m")

    def uninstall(self) -> None:
        """Take it away and wait until its last pod has ended."""
        self.helm("uninstall", NAME, "--wait", "--timeout=3m", "--ignore-not-found")
        until(lambda: not self.pods(of_jobs=False), what="the pods to end", seconds=60)

    def helm(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run helm in the release's namespace and return what it printed."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self._home),  # helm caches what the API server knows there
            "KUBECONFIG": str(self.control_plane.kubeconfig),
            **{f"HELM_{kind}_HOME": str(self._home / kind) for kind in ("CACHE", "CONFIG", "DATA")},
        }
        began = time.monotonic()
        done = subprocess.run(
            [self._helm, f"--namespace={NAMESPACE}", *arguments],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        print(f"helm {arguments[0]}: {time.monotonic() - began:.1f} s")
        if check and done.returncode:
            raise AssertionError(f"helm {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def _apply(self, verb: str, values: Values | None, *, wait: bool) -> None:
        given = json.dumps(merged(SMALL, values or {}))
        waiting = ("--wait", "--timeout=3m") if wait else ()
        self.helm(verb, NAME, str(CHART), "--values=-", *waiting, stdin=given)

    # -- what there is -------------------------------------------------------------------------------------------------

    def pods(self, component: str | None = None, *, of_jobs: bool = True) -> list[Object]:
        """Return the pods of a component, or all; by default also those of Jobs and tests."""
        found = self.control_plane.call("GET", f"/api/v1/namespaces/{NAMESPACE}/pods")["items"]
        labels = [(pod, pod["metadata"].get("labels", {})) for pod in found]
        return [
            pod
            for pod, label in labels
            if component in {None, label.get("app.kubernetes.io/component")}
            and (of_jobs or "pod-template-hash" in label)
        ]

    def pod(self, component: str) -> Object:
        """Return the only pod of a component that is not ending."""
        (found,) = [pod for pod in self.pods(component) if "deletionTimestamp" not in pod["metadata"]]
        return found

    def object(self, path: str) -> Object:
        """Return an object of the release's namespace, by `group/version/plural/name`, or `v1/…`."""
        group, plural, name = path.rsplit("/", 2)
        prefix = "/api" if group == "v1" else "/apis"
        return dict(self.control_plane.call("GET", f"{prefix}/{group}/namespaces/{NAMESPACE}/{plural}/{name}"))

    def url(self, *, component: str = "api", port: int = 80) -> str:
        """Return where a Service of the release leads now."""
        host = f"{NAME}-{component}.{NAMESPACE}.svc"
        address, port = self.node.services.resolve(host, port)
        return f"http://{address}:{port}"

    def left(self, pod: Object) -> list[Ended]:
        """Return how the processes of a deleted pod ended, once they have."""
        return self.node.ended(NAMESPACE, pod["metadata"]["name"])

    def log(self, pod: Object) -> str:
        """Return all that a pod wrote."""
        return self.node.log(NAMESPACE, pod["metadata"]["name"], lines=100_000)


def merged(values: Values, more: Values) -> dict[str, Any]:
    """Return values with others on top, as helm merges files."""
    result = dict(values)
    for key, value in more.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def everything(control_plane: ControlPlane, *, selector: str = "") -> set[tuple[str, str, str]]:
    """Return all objects of all kinds that can be listed, or those with some labels, as kind, namespace and name."""
    groups = control_plane.call("GET", "/apis")["groups"]
    found = set()
    for version in ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]:
        for resource in control_plane.call("GET", version)["resources"]:
            plural = resource["name"]
            if "list" not in resource["verbs"] or plural in TRANSIENT:
                continue
            for item in control_plane.call("GET", f"{version}/{plural}?labelSelector={selector}")["items"]:
                metadata = item["metadata"]
                if (plural, metadata["name"]) in EVERYWHERE:
                    continue
                found.add((f"{version}/{plural}", metadata.get("namespace", ""), metadata["name"]))
    return found

"""
A node: takes pods that nobody has taken, lives their lives, and is gone with everything that it started.

Tests start one beside a `ControlPlane` with controllers, make Deployments and Jobs, and look at what the API server
says of the pods, at `logs`, and at how processes `ended`.
"""

import contextlib
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

from tests.cluster.controlplane import ControlPlane
from tests.cluster.kubelet.containers import Ended
from tests.cluster.kubelet.images import Images
from tests.cluster.kubelet.objects import Object, Objects
from tests.cluster.kubelet.pods import PodLife
from tests.cluster.kubelet.services import Services
from tests.cluster.processes import ProcessGroup
from tests.running import until

_EVERY = 0.1  # seconds between looks at the pods

CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "disruption-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "replicaset-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "ttl-after-finished-controller",
)
"""The controllers that a `ControlPlane` needs beside a node; those that would miss a real one are left out."""


class Node:
    """The only node of a control plane; runs from `start` to `close`."""

    def __init__(self, control_plane: ControlPlane, images: Images, *, name: str = "node-1") -> None:
        self.images = images
        self._left: dict[str, list[Ended]] = {}
        self._control_plane = control_plane
        self._name = name
        self._labels = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
        self._objects = Objects(control_plane)
        self._lives: dict[str, PodLife] = {}
        self._lock = threading.Lock()
        self._addresses = _addresses()
        self.services = Services(self._objects, self._living)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=name, daemon=True)

    def start(self) -> None:
        """Register the node and begin to take pods."""
        metadata = {"name": self._name, "labels": self._labels}
        self._control_plane.call("POST", "/api/v1/nodes", {"metadata": metadata})
        self._group = ProcessGroup("ordinaut-node")
        self.services.start()
        self._thread.start()

    def close(self) -> None:
        """End every process that was started."""
        self._stopping.set()
        self._thread.join()
        for life in self._lives.values():
            life.halt()
        for life in self._lives.values():
            life.join()
        self.services.close()
        self._group.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def address(self, namespace: str, pod: str) -> str:
        """Return the address of a pod."""
        found: PodLife = until(lambda: self._of(namespace, pod), what=f"the pod {pod} to be taken")
        return found.address

    def directory(self, namespace: str, pod: str) -> Path:
        """Return the directory in which a pod's processes work, which outlives the pod."""
        found: PodLife = until(lambda: self._of(namespace, pod), what=f"the pod {pod} to be taken")
        return found.directory

    def ended(self, namespace: str, pod: str) -> list[Ended]:
        """Return how the processes of a pod ended, once it has been deleted and is gone."""
        found: list[Ended] = until(lambda: self._left.get(f"{namespace}.{pod}"), what=f"{pod} to end", seconds=60)
        return found

    def crash(self, namespace: str, pod: str) -> None:
        """Kill the processes of a pod, as a machine that runs out of memory does; what follows is the pod's own."""
        found: PodLife = until(lambda: self._of(namespace, pod), what=f"the pod {pod} to be taken")
        for one in found.processes:
            one.crash()

    def log(self, namespace: str, pod: str, *, lines: int = 60) -> str:
        """Return the end of what a pod's containers wrote."""
        found: PodLife = until(lambda: self._of(namespace, pod), what=f"the pod {pod} to be taken")
        return found.log(lines=lines)

    def logs(self, namespace: str | None = None, *, lines: int = 60) -> str:
        """Return the ends of the logs of all pods, also of those that are gone, for a failing test to show."""
        with self._lock:
            lives = list(self._lives.values())
        return "\n".join(
            life.log(lines=lines) for life in lives if namespace in {None, life.pod["metadata"]["namespace"]}
        )

    def _of(self, namespace: str, pod: str) -> PodLife | None:
        with self._lock:
            return next((one for one in self._lives.values() if one.label == f"{namespace}.{pod}"), None)

    def _follow(self) -> None:
        while not self._stopping.wait(_EVERY):
            with contextlib.suppress(httpx2.HTTPError):  # the API server is away; pods go on meanwhile
                self._look(self._objects.pods())

    def _look(self, pods: list[Object]) -> None:
        for pod in pods:
            life = self._lives.get(pod["metadata"]["uid"])
            if life is not None:
                life.observe(pod)
            elif pod["spec"].get("nodeName") == self._name:
                self._take(pod)
            elif self._suits(pod):
                self._objects.bind(pod, node=self._name)
        there = {pod["metadata"]["uid"] for pod in pods}
        for uid, life in self._lives.items():
            if uid not in there and life.is_alive() and "deletionTimestamp" not in life.pod["metadata"]:
                life.halt()
            if life.left:
                self._left[life.label] = life.left

    def _take(self, pod: Object) -> None:
        if pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
            return
        life = PodLife(
            pod,
            address=next(self._addresses),
            objects=self._objects,
            images=self.images,
            group=self._group,
            told=self.services.told,
            server=self._control_plane.url,
            authority=self._control_plane.authority.certificate,
        )
        with self._lock:
            self._lives[pod["metadata"]["uid"]] = life
        life.start()

    def _suits(self, pod: Object) -> bool:
        wanted = pod["spec"].get("nodeSelector", {})
        unbound = not pod["spec"].get("nodeName") and "deletionTimestamp" not in pod["metadata"]
        return bool(unbound and wanted.items() <= self._labels.items())

    def _living(self) -> Iterator[PodLife]:
        with self._lock:
            return iter([life for life in self._lives.values() if life.is_alive()])


def _addresses() -> Iterator[str]:
    """Yield addresses of the loopback network, others in each process that runs tests."""
    chance = random.SystemRandom()
    first = f"127.{chance.randint(1, 254)}"
    for third in range(1, 255):
        for fourth in range(1, 255):
            yield f"{first}.{third}.{fourth}"

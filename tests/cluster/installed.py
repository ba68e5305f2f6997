"""
An installation for tests of the plugin: the objects that the chart makes, in a cluster without nodes, and real
processes that stand for the pods.

:class:`Installation` is the kubelet by hand: :meth:`~Installation.refresh` asks each process whether it is ready and
writes the answer into the status of its pod and its Deployment. A process that has ended is a pod that is not ready.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.cluster import binaries, nodeless
from tests.cluster.controlplane import ControlPlane
from tests.cluster.nodeless import Places
from tests.cluster.operating import allow, install_definitions
from tests.cluster.processes import free_port
from tests.running import Processes, Running

MERGE = "application/merge-patch+json"
RBAC = Path(__file__).parents[2] / "rbac"
SLOTS = 4


@dataclass
class Installation:
    """Objects in a namespace, and the process behind each pod."""

    control_plane: ControlPlane
    processes: Processes
    namespace: str
    places: Places
    environment: Mapping[str, str]
    """Where the plugin finds kubectl and the cluster, as admin."""
    behind: dict[str, Running] = field(default_factory=dict)
    """Processes by the names of their pods."""
    api_port: int = 0

    def deploy(self, component: str, pods: list[str], *, annotations: Mapping[str, str] = {}, **env: str) -> None:
        """Make the Deployment of a component and its pods."""
        spec = pod_spec(component, env)
        labels = self.labels(component)
        template = {"metadata": {"labels": labels}, "spec": spec}
        body = {
            "metadata": {
                "name": f"ordinaut-{component}",
                "labels": labels | {"helm.sh/chart": "ordinaut-0.1.0"},
                "annotations": dict(annotations),
            },
            "spec": {"replicas": len(pods), "selector": {"matchLabels": labels}, "template": template},
        }
        self._post("/apis/apps/v1", "deployments", body)
        for pod in pods:
            self._post("/api/v1", "pods", {"metadata": {"name": pod, "labels": labels}, "spec": spec})

    def expose(self) -> None:
        """Make the Service of the api."""
        metadata = {"name": "ordinaut-api", "labels": self.labels("api")}
        ports = [{"name": "http", "port": 80, "targetPort": "http"}]
        self._post(
            "/api/v1", "services", {"metadata": metadata, "spec": {"selector": metadata["labels"], "ports": ports}}
        )

    def labels(self, component: str) -> dict[str, str]:
        """Return the labels that the chart gives."""
        return {
            "app.kubernetes.io/name": "ordinaut",
            "app.kubernetes.io/instance": "ordinaut",
            "app.kubernetes.io/component": component,
        }

    def run_worker(self, pod: str) -> None:
        """Start a worker that stands for a pod."""
        self.behind[pod] = self.processes.start("worker", worker_name=pod, worker_slots=SLOTS, lease_seconds=3)

    def refresh(self) -> None:
        """Write into the API server how the processes are."""
        ready: dict[str, int] = {}
        alive = {pod: one for pod, one in self.behind.items() if one.process.poll() is None}
        for pod in self.behind:
            component = pod.rpartition("-")[0]
            is_ready = pod in alive and alive[pod].readiness().get("status") == "ready"
            ready[component] = ready.get(component, 0) + is_ready
            self._patch(f"/api/v1/namespaces/{self.namespace}/pods/{pod}", pod_status(component, ready=is_ready))
        for component, count in ready.items():
            path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/ordinaut-{component}"
            total = sum(pod.startswith(component) for pod in self.behind)
            self._patch(path, {"replicas": total, "readyReplicas": count, "observedGeneration": 1})
        self.places.write(
            pods={f"{self.namespace}/{pod}": one.probe_port for pod, one in alive.items()},
            logs={f"{self.namespace}/{pod}": str(log_of(one)) for pod, one in alive.items()},
            services={f"{self.namespace}/ordinaut-api": self.api_port},
        )

    def _post(self, base: str, plural: str, body: object) -> None:
        self.control_plane.call("POST", f"{base}/namespaces/{self.namespace}/{plural}", body)

    def _patch(self, path: str, status: dict[str, Any]) -> None:
        self.control_plane.call("PATCH", f"{path}/status", {"status": status}, content_type=MERGE)


def log_of(process: Running) -> Path:
    """Return the file that a process logs to."""
    return process.group.directory / f"{process.name}.log"


def pod_spec(component: str, env: Mapping[str, str]) -> dict[str, Any]:
    """Return what the pods of a component run."""
    ports = [{"name": "probes", "containerPort": 9090}, {"name": "http", "containerPort": 8080}]
    container = {
        "name": component,
        "image": "ghcr.io/ordinaut/ordinaut:0.1.0",
        "ports": ports[: 2 if component == "api" else 1],
        "env": [{"name": name, "value": value} for name, value in env.items()],
    }
    return {"containers": [container], "serviceAccountName": "default", "automountServiceAccountToken": False}


def pod_status(component: str, *, ready: bool) -> dict[str, Any]:
    """Return the status of a pod whose container runs."""
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    container = {"name": component, "ready": ready, "restartCount": 0, "image": "ordinaut", "imageID": ""}
    return {
        "phase": "Running",
        "conditions": [
            {"type": "Ready", "status": "True" if ready else "False"},
            {"type": "PodScheduled", "status": "True"},
        ],
        "containerStatuses": [container | {"state": {"running": {"startedAt": now}}}],
    }


@contextmanager
def installed(control_plane: ControlPlane, folder: Path, processes: Processes) -> Iterator[Installation]:
    """Yield an installation of an operator, two workers and an api, all ready, in a namespace of its own."""
    install_definitions(control_plane)
    control_plane.kubectl("apply", "--filename", str(RBAC))
    namespace = control_plane.namespace("ordinaut")
    environment, places = nodeless.install(
        folder / "bin", kubectl=binaries.provide(["kubectl"])["kubectl"], kubeconfig=control_plane.kubeconfig
    )
    made = Installation(control_plane, processes, namespace, places, environment, api_port=free_port())
    made._post("/api/v1", "serviceaccounts", {"metadata": {"name": "default"}})
    watched = f'["{namespace}"]'
    made.deploy(
        "operator",
        ["operator-0"],
        annotations={"team/pager": "canary-annotation", "meta.helm.sh/release-name": "ordinaut"},
        ORDINAUT_WATCH_NAMESPACES=watched,
        ORDINAUT_OIDC_ISSUER="https://ordinaut:canary-issuer@issuer.example",
        API_PASSWORD="canary-variable",
    )
    made.deploy("worker", ["worker-0", "worker-1"], ORDINAUT_WORKER_SLOTS=str(SLOTS))
    made.deploy("api", ["api-0"])
    made.expose()
    allow(control_plane, "ordinaut-operator", namespace)
    _let_review(control_plane, namespace, "ordinaut-operator", "ordinaut-api")
    _become(processes, control_plane.kubeconfig_for("ordinaut-operator", namespace), pod="operator-0")
    made.behind["operator-0"] = processes.start(
        "operator", watch_namespaces=watched, lease_namespace=namespace, authentication="kubernetes"
    )
    for pod in ("worker-0", "worker-1"):
        made.run_worker(pod)
    _become(processes, control_plane.kubeconfig_for("ordinaut-api", namespace), pod="api-0")
    made.behind["api-0"] = processes.start("api", api_port=made.api_port, authentication="kubernetes")
    made.refresh()
    yield made


def _become(processes: Processes, kubeconfig: Path, *, pod: str) -> None:
    processes.environment |= {"KUBECONFIG": str(kubeconfig), "POD_NAME": pod}


def _let_review(control_plane: ControlPlane, namespace: str, *accounts: str) -> None:
    for account in accounts:
        control_plane.kubectl(
            "create",
            "clusterrolebinding",
            f"{account}-{namespace}",
            "--clusterrole=system:auth-delegator",
            f"--serviceaccount={namespace}:{account}",
        )

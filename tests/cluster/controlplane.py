"""
A real Kubernetes control plane for tests, envtest-style: etcd and kube-apiserver on loopback, with RBAC.

There are no nodes: custom resources, watches, RBAC, tokens, reviews, leases and charts behave as anywhere, pods run
only where a `kubelet.node.Node` is started beside it. What controllers do needs `controller_manager=True`: collecting
garbage, ending the deletion of a namespace, making default service accounts, and filling the aggregated roles `view`,
`edit` and `admin`, which are empty otherwise. With `audited=True`, `audit.Trail` tells what service accounts asked for.

Fixtures in `conftest` and `python -m tests.cluster` start one; tests reach it by `kubeconfig`, by `kubectl` or by
`call`, and take its API server away with `stop_apiserver` or `pause_apiserver`. Nothing is left of it after `stop`.
"""

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from ssl import SSLContext, create_default_context
from types import TracebackType
from typing import Any, Self

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.cluster import audit, binaries
from tests.cluster.certificates import CertificateAuthority, service_account_key
from tests.cluster.errors import ControlPlaneError
from tests.cluster.kubeconfig import write_kubeconfig
from tests.cluster.processes import ProcessGroup, free_port

_START_DEADLINE = 180.0  # seconds; usual are 3, a loaded machine needs more
_POLL = 0.05  # seconds
_ISSUER = "https://kubernetes.default.svc"


class ControlPlane:
    """
    etcd, kube-apiserver and, if asked for, kube-controller-manager.

    The latter runs all of its controllers (garbage collection and what else is built in) or the named ones.
    """

    def __init__(
        self, *, controller_manager: bool = False, controllers: Sequence[str] = ("*",), audited: bool = False
    ) -> None:
        self._programs = ["etcd", "kube-apiserver", *(["kube-controller-manager"] if controller_manager else [])]
        self._controllers = controllers
        self._audited = audited

    def start(self) -> None:
        """Start all programs and return when the API server is ready to serve and its bootstrap objects exist."""
        self._paths = binaries.provide([*self._programs, "kubectl"])
        self._group = ProcessGroup("ordinaut-cluster")
        try:
            self._prepare()
            self._group.start("etcd", self._etcd())
            self.start_apiserver()
            self._wait("the namespace `default`", lambda: self.call("GET", "/api/v1/namespaces/default"))
            if "kube-controller-manager" in self._programs:
                self._group.start("kube-controller-manager", self._controller_manager())
        except BaseException:
            self._group.close()
            raise

    def stop(self) -> None:
        """End all programs and delete all files."""
        self._client.close()
        self._group.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- the API server as a part that fails ---------------------------------------------------------------------------

    def start_apiserver(self) -> None:
        """Start the API server, on the port it had before if it was stopped, and wait until it is ready."""
        self._apiserver = self._group.start("kube-apiserver", self._apiserver_command())
        self._wait("/readyz", lambda: self._client.get("/readyz").raise_for_status())

    def stop_apiserver(self) -> None:
        """Kill the API server (SIGKILL); etcd keeps the data."""
        self._apiserver.kill()
        self._apiserver.wait()

    def pause_apiserver(self) -> None:
        """Halt the API server (SIGSTOP): connections are still accepted by the kernel, and nothing answers."""
        self._apiserver.send_signal(signal.SIGSTOP)

    def resume_apiserver(self) -> None:
        """Let a halted API server go on (SIGCONT)."""
        self._apiserver.send_signal(signal.SIGCONT)

    # -- access --------------------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, body: object = None, *, content_type: str = "application/json") -> Any:
        """Send a request as cluster admin and return the decoded answer; raises `httpx2.HTTPStatusError`."""
        answer = self._client.request(method, path, json=body, headers={"Content-Type": content_type})
        if answer.is_error:
            raise httpx2.HTTPStatusError(answer.text, request=answer.request, response=answer)
        return answer.json()

    def kubectl(
        self, *arguments: str, stdin: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl as cluster admin; with `check`, a failure raises and shows what kubectl said."""
        command: list[str | Path] = [self._paths["kubectl"], f"--cache-dir={self.directory}/kubectl", *arguments]
        environment = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        done = subprocess.run(
            command, env=environment, input=stdin, capture_output=True, text=True, timeout=120, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)} failed:\n{done.stderr}")
        return done

    def namespace(self, prefix: str = "test") -> str:
        """Make a fresh namespace and return its name."""
        name = f"{prefix}-{uuid.uuid4().hex[:8]}"
        self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def wait_for_definitions(self, *names: str) -> None:
        """
        Wait until objects of the CustomResourceDefinitions of these names, or of all that are there, can be made.

        `kubectl wait` fails at once where it meets a definition whose status has not been written yet.
        """
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        deadline = time.monotonic() + _START_DEADLINE
        while True:
            found = {one["metadata"]["name"]: _is_established(one) for one in self.call("GET", path)["items"]}
            if not (missing := [name for name in names or found if not found.get(name)]):
                return
            if time.monotonic() > deadline:
                raise ControlPlaneError(f"not established: {', '.join(missing)}\n{self.logs()}")
            time.sleep(_POLL)

    def token_for(self, service_account: str, namespace: str, *, audience: str | None = None) -> str:
        """Return a bearer token (TokenRequest) of a service account, which is made if it does not exist."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        try:
            self.call("POST", path, {"metadata": {"name": service_account}})
        except httpx2.HTTPStatusError as error:
            if error.response.status_code != HTTPStatus.CONFLICT:
                raise
        spec = {"audiences": [audience]} if audience else {}
        token: str = self.call("POST", f"{path}/{service_account}/token", {"spec": spec})["status"]["token"]
        return token

    def kubeconfig_for(self, service_account: str, namespace: str, *, url: str | None = None) -> Path:
        """Write a kubeconfig that acts as a service account in its namespace; `url` is that of a proxy in front."""
        path = self.directory / f"{service_account}.{namespace}.{uuid.uuid4().hex[:8]}.kubeconfig"
        user = {"token": self.token_for(service_account, namespace)}
        return write_kubeconfig(
            path, url=url or self.url, authority=self.authority.certificate, user=user, namespace=namespace
        )

    def tls(self, *, client: bool = False) -> SSLContext:
        """A TLS context that trusts this control plane, and with `client` shows the admin's certificate."""
        context = create_default_context(cafile=self.authority.certificate)
        if client:
            context.load_cert_chain(self._admin.certificate, self._admin.key)
        return context

    # -- what it saw ---------------------------------------------------------------------------------------------------

    def metrics(self, name: str) -> list[Sample]:
        """The samples of one metric of the API server, such as `apiserver_request_total`."""
        text = self._client.get("/metrics").raise_for_status().text
        # Parsing all of it takes seconds; one metric is a few of 30,000 lines.
        lines = "".join(f"{line}\n" for line in text.splitlines() if line.startswith((f"{name}{{", f"{name} ")))
        return [sample for family in text_string_to_metric_families(lines) for sample in family.samples]

    def requests(self, resource: str, *, verb: str | None = None) -> int:
        """
        Count the requests for a resource (plural) since the API server started, of one verb or of all that write.

        Verbs are those of the metric: POST, PUT, PATCH, APPLY (server-side apply), DELETE, DELETECOLLECTION, GET,
        LIST, WATCH. Requests for sub-resources such as `status` count too.
        """
        verbs = {verb} if verb else {"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"}
        samples = [sample for sample in self.metrics("apiserver_request_total") if sample.labels["verb"] in verbs]
        return int(sum(sample.value for sample in samples if sample.labels["resource"] == resource))

    def logs(self, *, lines: int = 40) -> str:
        """The ends of the logs of all programs, for a failing test to show."""
        return "\n".join(f"--- {name} ---\n{self._group.log_tail(name, lines=lines)}" for name in self._programs)

    # -- how it is made ------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        self.directory = self._group.directory
        self.authority = CertificateAuthority(self.directory / "pki")
        self._serving = self.authority.issue("kube-apiserver", addresses=["127.0.0.1"])
        self._admin = self.authority.issue("admin", organizations=["system:masters"])
        self._service_accounts = service_account_key(self.directory / "pki" / "service-accounts.key")
        self.etcd_url = f"http://127.0.0.1:{free_port()}"
        self._port = free_port()
        self.url = f"https://127.0.0.1:{self._port}"
        user = {"client-certificate": str(self._admin.certificate), "client-key": str(self._admin.key)}
        self.kubeconfig = write_kubeconfig(
            self.directory / "kubeconfig", url=self.url, authority=self.authority.certificate, user=user
        )
        self._client = httpx2.Client(base_url=self.url, verify=self.tls(client=True), timeout=30, trust_env=False)

    def _etcd(self) -> list[str | Path]:
        return [
            self._paths["etcd"],
            f"--data-dir={self.directory}/etcd",
            f"--listen-client-urls={self.etcd_url}",
            f"--advertise-client-urls={self.etcd_url}",
            "--listen-peer-urls=http://127.0.0.1:0",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ]

    def _apiserver_command(self) -> list[str | Path]:
        return [
            self._paths["kube-apiserver"],
            f"--etcd-servers={self.etcd_url}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._port}",
            f"--tls-cert-file={self._serving.certificate}",
            f"--tls-private-key-file={self._serving.key}",
            f"--client-ca-file={self.authority.certificate}",
            f"--service-account-issuer={_ISSUER}",
            f"--api-audiences={_ISSUER}",
            f"--service-account-key-file={self._service_accounts}",
            f"--service-account-signing-key-file={self._service_accounts}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",  # as OpenShift has it
            "--service-cluster-ip-range=10.96.0.0/16",
            "--endpoint-reconciler-type=none",
            *(audit.options(self.directory) if self._audited else ()),
        ]

    def _controller_manager(self) -> list[str | Path]:
        return [
            self._paths["kube-controller-manager"],
            f"--kubeconfig={self.kubeconfig}",
            f"--service-account-private-key-file={self._service_accounts}",
            f"--root-ca-file={self.authority.certificate}",
            "--use-service-account-credentials",
            "--leader-elect=false",
            "--secure-port=0",
            f"--controllers={','.join(self._controllers)}",
            "--kube-api-qps=200",
            "--kube-api-burst=400",
        ]

    def _wait(self, what: str, attempt: Callable[[], object]) -> None:
        """Poll until `attempt` no longer raises; fail with the logs when a program ends or the time is up."""
        deadline = time.monotonic() + _START_DEADLINE
        while True:
            try:
                attempt()
            except httpx2.HTTPError as error:
                if self._apiserver.poll() is not None or time.monotonic() > deadline:
                    raise ControlPlaneError(f"no {what} of the control plane: {error!r}\n{self.logs()}") from error
                time.sleep(_POLL)
            else:
                return


def _is_established(definition: dict[str, Any]) -> bool:
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)

"""
Runs the operator's Kubernetes side inside a test: the sync, the elector and the status writer, against a control plane.

Only what takes objects in and writes status is run, in the test's own event loop; `operating` starts it and stops it
again, as often as a test likes. Calls to the API server go through `asyncio.to_thread`, so that they do not hold up the
operator under test.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kopf
from psycopg import AsyncConnection, conninfo, sql

from ordinaut.probes import Readiness
from ordinaut.store.pool import Pool, open_pool
from ordinaut_operator.definitions import Definitions
from ordinaut_operator.kube import PLURALS, Kube, Login, path_of
from ordinaut_operator.leader import Elector
from ordinaut_operator.status.observed import Statuses
from ordinaut_operator.status.writer import StatusWriter
from ordinaut_operator.sync.source import KubernetesSource
from tests import servers
from tests.cluster.controlplane import ControlPlane

CRDS = Path(__file__).parents[2] / "crds"

RULES = [
    {"apiGroups": ["ordinaut.io"], "resources": list(PLURALS.values()), "verbs": ["list", "watch"]},
    {"apiGroups": ["ordinaut.io"], "resources": [f"{one}/status" for one in PLURALS.values()], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
    {"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": ["ordinaut-operator"],
        "verbs": ["get", "update", "delete"],
    },
]
"""All that the operator may do."""


@dataclass(frozen=True, slots=True)
class Operator:
    """A running operator, as far as a test looks into it."""

    readiness: Readiness
    elector: Elector
    pool: Pool


def install_definitions(control_plane: ControlPlane) -> None:
    """Apply the CustomResourceDefinitions and wait until objects of all kinds can be made."""
    control_plane.kubectl("apply", "--filename", str(CRDS))
    control_plane.wait_for_definitions(*(f"{plural}.ordinaut.io" for plural in PLURALS.values()))


def allow(control_plane: ControlPlane, service_account: str, namespace: str) -> None:
    """Give a service account what the operator needs in one namespace, and nothing else."""
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    control_plane.call("POST", f"{rbac}/roles", {"metadata": {"name": service_account}, "rules": RULES})
    binding = {
        "metadata": {"name": service_account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": service_account},
        "subjects": [{"kind": "ServiceAccount", "name": service_account, "namespace": namespace}],
    }
    control_plane.call("POST", f"{rbac}/rolebindings", binding)


def log_in_with(kubeconfig: Path) -> Login:
    """Return the login of a kubeconfig that `tests.cluster.kubeconfig` has written."""
    config = json.loads(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    info = kopf.ConnectionInfo(
        server=cluster["server"],
        ca_path=cluster["certificate-authority"],
        token=user.get("token"),
        certificate_path=user.get("client-certificate"),
        private_key_path=user.get("client-key"),
        default_namespace=config["contexts"][0]["context"]["namespace"],
    )
    return lambda: info


@contextlib.asynccontextmanager
async def operating(
    kubeconfig: Path,
    database: str,
    namespaces: Sequence[str],
    *,
    resync_every: float = 300.0,
    grace: float = 10.0,
    sweep_every: float = 300.0,
    writes_status: bool = True,
    log_in: Login | None = None,
) -> AsyncIterator[Operator]:
    """Run an operator for some namespaces, or all, as long as the context lasts; the Lease is in the first of them."""
    readiness, statuses, log_in = Readiness(), Statuses(), log_in or log_in_with(kubeconfig)
    async with (
        open_pool(database, application="operator", size=6) as pool,
        Kube(log_in=log_in, readiness=readiness, timeout=5) as kube,
    ):
        elector = Elector(
            kube=kube, namespace=next(iter(namespaces), None), duration=6, renew_deadline=4, retry_period=0.5
        )
        definitions = Definitions(kube=kube, readiness=readiness)
        source = KubernetesSource(
            pool=pool,
            kube=kube,
            definitions=definitions,
            readiness=readiness,
            statuses=statuses,
            log_in=log_in,
            namespaces=namespaces,
            resync_every=resync_every,
            grace=grace,
        )
        writer = StatusWriter(
            pool=pool,
            url=database,
            kube=kube,
            leadership=elector,
            whole=definitions.whole,
            statuses=statuses,
            settle=0.2,
            spacing=0.5,
            sweep_every=sweep_every,
        )
        parts = (elector, source, writer) if writes_status else (source,)
        running = [asyncio.create_task(one.run()) for one in parts]
        try:
            yield Operator(readiness, elector, pool)
        finally:
            for task in running:
                task.cancel()
            ended = await asyncio.gather(*running, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended


async def eventually(condition: Callable[[], Awaitable[bool]], *, within: float = 60.0) -> float:
    """Poll until a condition is true and return how long that took in seconds; fail after `within` seconds."""
    began = time.monotonic()
    while not await condition():
        assert time.monotonic() - began < within, "the condition did not come true in time"
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def call(control_plane: ControlPlane, method: str, path: str, body: object = None) -> Any:
    """`ControlPlane.call`, beside the event loop."""
    return await asyncio.to_thread(control_plane.call, method, path, body)


def tool(name: str, *, url: str = "http://tools.example/call") -> dict[str, Any]:
    """A Tool that can be used."""
    return _manifest("Tool", name, {"http": {"method": "POST", "url": url}})


def pipeline(name: str, *, uses: str = "std.log") -> dict[str, Any]:
    """A Pipeline of one step."""
    return _manifest("Pipeline", name, {"steps": [{"id": "only", "uses": uses, "with": {"message": "hello"}}]})


def task(name: str, *, uses: str = "hello", cron: str = "30 8 * * 1-5") -> dict[str, Any]:
    """A Task that names a Pipeline."""
    return _manifest("Task", name, {"schedules": [{"cron": cron}], "pipelineRef": {"name": uses}})


def _manifest(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "ordinaut.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


async def create(control_plane: ControlPlane, namespace: str, *manifests: dict[str, Any]) -> None:
    """Make objects, one after another."""
    for one in manifests:
        await call(control_plane, "POST", path_of(one["kind"], namespace=namespace), one)


async def status_of(control_plane: ControlPlane, namespace: str, kind: Any, name: str) -> dict[str, Any]:
    """The status of an object, empty while it has none."""
    found = await call(control_plane, "GET", path_of(kind, namespace=namespace, name=name))
    status: dict[str, Any] = found.get("status", {})
    return status


def condition(status: dict[str, Any], kind: str) -> tuple[str, str] | None:
    """Status and reason of a condition, None while it is not there."""
    return next(((one["status"], one["reason"]) for one in status.get("conditions", []) if one["type"] == kind), None)


async def is_ready(operator: Operator) -> bool:
    """Whether the operator has everything that it needs."""
    return operator.readiness.ready


@contextlib.asynccontextmanager
async def without_database(url: str) -> AsyncIterator[None]:
    """Close a database to everybody as long as the context lasts: connections end, and new ones are refused."""
    name = conninfo.conninfo_to_dict(url)["dbname"]
    async with await AsyncConnection.connect(servers.with_database(url, "postgres"), autocommit=True) as connection:
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        await connection.execute(allow.format(sql.Identifier(str(name)), sql.SQL("false")))
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            yield
        finally:
            await connection.execute(allow.format(sql.Identifier(str(name)), sql.SQL("true")))


async def stored(pool: Pool, namespace: str) -> dict[str, str]:
    """The names of the live tasks of a namespace in PostgreSQL, each with its reason."""
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT name, reason FROM task WHERE namespace = %s AND deleted_at IS NULL", [namespace]
        )
        return {row[0]: row[1] for row in await rows.fetchall()}

"""Hooks against a real API server: taken over, shown ready, and their keys read from Secrets as far as RBAC lets."""

import base64
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog

from ordinaut.access.caller import Authority
from ordinaut.store import hooks
from ordinaut.store.pool import Pool
from ordinaut_api.app import create_app
from ordinaut_api.settings import ApiSettings
from ordinaut_api.webhooks import secrets
from tests import declaring, signing
from tests.cluster import operating
from tests.cluster.controlplane import ControlPlane
from tests.cluster.operating import condition, create, eventually, status_of

pytestmark = [pytest.mark.cluster, pytest.mark.integration, pytest.mark.xdist_group("cluster")]

KEY = "It's a Secret to Everybody"
BODY = b'{"ref": "refs/heads/main"}'
RBAC = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture(autouse=True, scope="module")
def _definitions(control_plane: ControlPlane) -> None:
    operating.install_definitions(control_plane)


def hook(name: str, *, namespace: str) -> dict[str, Any]:
    made = declaring.hook(name, "github.>", style="GitHub")
    return {**made, "metadata": {"name": name, "namespace": namespace}}


def make_secret(control_plane: ControlPlane, namespace: str, name: str) -> None:
    data = {"key": base64.b64encode(KEY.encode()).decode()}
    control_plane.call("POST", f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": name}, "data": data})


def let_read(control_plane: ControlPlane, namespace: str, name: str) -> None:
    """Do what docs/webhooks.md says."""
    rules = [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": [name], "verbs": ["get"]}]
    role = {"metadata": {"name": "ordinaut-hooks"}, "rules": rules}
    control_plane.call("POST", f"{RBAC}/namespaces/{namespace}/roles", role)
    binding = {
        "metadata": {"name": "ordinaut-hooks"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ordinaut-hooks"},
        "subjects": [{"kind": "ServiceAccount", "name": "ordinaut-api", "namespace": namespace}],
    }
    control_plane.call("POST", f"{RBAC}/namespaces/{namespace}/rolebindings", binding)


@pytest.fixture
def kubeconfig(control_plane: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The api's own account, which has no rights."""
    path = control_plane.kubeconfig_for("ordinaut-api", namespace)
    monkeypatch.setenv("KUBECONFIG", str(path))
    monkeypatch.setattr(secrets, "BAD_SECONDS", 0.1)
    return path


async def test_a_hook_of_the_cluster_becomes_ready_and_goes_with_its_object(
    control_plane: ControlPlane, namespace: str, database: str, pool: Pool
) -> None:
    async def is_there() -> bool:
        async with pool.connection() as connection:
            return await hooks.named(connection, namespace=namespace, name="github") is not None

    async def is_gone() -> bool:
        return not await is_there()

    async def is_shown() -> bool:
        return condition(await status_of(control_plane, namespace, "Hook", "github"), "Ready") == ("True", "Resolved")

    async with operating.operating(control_plane.kubeconfig, database, [namespace]):
        await create(control_plane, namespace, hook("github", namespace=namespace))
        await eventually(is_shown)
        assert await is_there()
        shown = control_plane.kubectl("get", f"--namespace={namespace}", "ohook", "--no-headers")
        assert shown.stdout.split()[:4] == ["github", "github.>", "GitHub", "True"]
        control_plane.kubectl("delete", f"--namespace={namespace}", "hook", "github")
        await eventually(is_gone)


async def test_a_key_is_read_as_soon_as_the_tenant_lets_the_api_and_no_other_is(
    control_plane: ControlPlane, namespace: str, kubeconfig: Path, database: str, pool: Pool
) -> None:
    for name in ("github", "other"):
        make_secret(control_plane, namespace, name)
    await declaring.declare(pool, *(hook(name, namespace=namespace) for name in ("github", "other")))
    app = create_app(ApiSettings(database_url=database, authentication=(Authority.KUBERNETES,)))
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://ordinaut.example")

    async def deliver(name: str) -> int:
        path, headers = f"/v1/namespaces/{namespace}/hooks/{name}", signing.github(KEY, BODY, id_=f"d{time.time()}")
        return (await client.post(path, content=BODY, headers=headers)).status_code

    async def is_accepted() -> bool:
        return await deliver("github") == 202

    async with app.router.lifespan_context(app), client:
        with structlog.testing.capture_logs() as logged:
            assert await deliver("github") == 503
        told = [entry for entry in logged if entry["event"] == "a hook can't check signatures"]
        assert [entry["why"] for entry in told] == [
            "the api may not read it: bind a Role with get on secrets, resourceNames [github], in namespace"
            f" {namespace} to the service account of the api"
        ]
        let_read(control_plane, namespace, "github")
        await eventually(is_accepted)
        assert await deliver("other") == 503

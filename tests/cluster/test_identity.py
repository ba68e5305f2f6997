"""Callers that Kubernetes knows, against a real API server: tokens, audiences, roles, and a server that is away."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ordinaut.access.caller import Authority, Caller
from ordinaut.access.rights import ROLES, Right, Role
from ordinaut.probes import Readiness
from ordinaut_api.app import create_app
from ordinaut_api.identity.cluster import Cluster, credentials
from ordinaut_api.identity.kubernetes import AccessReviews
from ordinaut_api.settings import ApiSettings
from tests.cluster.controlplane import ControlPlane
from tests.cluster.operating import install_definitions
from tests.timing import at_most

pytestmark = [pytest.mark.cluster, pytest.mark.integration, pytest.mark.xdist_group("cluster")]

RBAC = Path(__file__).parents[2] / "rbac"
ALL_RIGHTS = sorted(frozenset().union(*ROLES.values()))


@pytest.fixture(scope="module", autouse=True)
def _cluster_roles(control_plane: ControlPlane) -> None:
    control_plane.kubectl("apply", "--filename", str(RBAC))


@pytest.fixture
def kubeconfig(control_plane: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The api's own account, with the right to ask for reviews and no other."""
    path = control_plane.kubeconfig_for("ordinaut-api", namespace)
    let_review(control_plane, namespace)
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


def let_review(control_plane: ControlPlane, namespace: str) -> None:
    account = f"--serviceaccount={namespace}:ordinaut-api"
    role = "--clusterrole=system:auth-delegator"
    control_plane.kubectl("create", "clusterrolebinding", f"reviews-{namespace}", role, account)


def bind(control_plane: ControlPlane, namespace: str, account: str, cluster_role: str) -> None:
    role, subject = f"--clusterrole={cluster_role}", f"--serviceaccount={namespace}:{account}"
    control_plane.kubectl(
        "create", f"--namespace={namespace}", "rolebinding", f"{account}-{cluster_role}", role, subject
    )


def token_of(control_plane: ControlPlane, namespace: str, account: str) -> str:
    return control_plane.token_for(account, namespace, audience="ordinaut")


@asynccontextmanager
async def serving(database: str, readiness: Readiness | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    """Run the application; yields a client of it."""
    settings = ApiSettings(database_url=database, authentication=(Authority.KUBERNETES,), rate_limit_failures=0)
    app = create_app(settings, readiness=readiness)
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://ordinaut.example")
    async with app.router.lifespan_context(app), client:
        yield client


async def get(client: httpx2.AsyncClient, token: str, path: str, method: str = "GET") -> httpx2.Response:
    return await client.request(method, path, headers={"Authorization": f"Bearer {token}"})


def tasks(namespace: str) -> str:
    return f"/v1/namespaces/{namespace}/tasks"


async def eventually(condition: Callable[[], Awaitable[bool]], *, within: float = 60) -> None:
    async with asyncio.timeout(within):
        while not await condition():
            await asyncio.sleep(0.05)


async def test_a_service_account_is_known_by_its_token(
    control_plane: ControlPlane, namespace: str, kubeconfig: Path, database: str
) -> None:
    token = token_of(control_plane, namespace, "agent")
    async with serving(database) as client:
        who = (await get(client, token, "/v1/whoami")).json()
    assert who["id"] == f"kubernetes:system:serviceaccount:{namespace}:agent"
    assert f"system:serviceaccounts:{namespace}" in who["groups"]


async def test_only_tokens_made_for_us_are_good(
    control_plane: ControlPlane, namespace: str, kubeconfig: Path, database: str
) -> None:
    good = token_of(control_plane, namespace, "agent")
    head, claims, signature = good.split(".")
    gone = token_of(control_plane, namespace, "gone")
    control_plane.call("DELETE", f"/api/v1/namespaces/{namespace}/serviceaccounts/gone")
    bad = {
        "of the API server's own audience": control_plane.token_for("agent", namespace),
        "of another audience": control_plane.token_for("agent", namespace, audience="other"),
        "of an audience like ours": control_plane.token_for("agent", namespace, audience="ordinaut2"),
        "of a deleted account": gone,
        "without a signature": f"{head}.{claims}.",
        "with another signature": f"{head}.{claims}.{signature[:-8]}AAAAAAAA",
        "garbage": "nothing",
    }
    async with serving(database) as client:
        assert (await get(client, good, "/v1/whoami")).status_code == 200
        answers = {name: await get(client, token, tasks(namespace)) for name, token in bad.items()}
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(bad, 401)
    said = [{**answer.json(), "requestId": ""} for answer in answers.values()]
    assert all(one == said[0] for one in said)


async def test_a_token_that_ends_with_its_object_ends_here(
    control_plane: ControlPlane, namespace: str, kubeconfig: Path, database: str
) -> None:
    control_plane.call("POST", f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": "bound"}})
    control_plane.token_for("agent", namespace)
    spec = {
        "audiences": ["ordinaut"],
        "boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": "bound"},
    }
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/agent/token"
    token = control_plane.call("POST", path, {"spec": spec})["status"]["token"]
    control_plane.call("DELETE", f"/api/v1/namespaces/{namespace}/secrets/bound")
    async with serving(database) as client:
        assert (await get(client, token, "/v1/whoami")).status_code == 401


@pytest.mark.parametrize("role", Role)
async def test_each_cluster_role_gives_the_rights_of_the_role_in_its_namespace_only(
    control_plane: ControlPlane, namespace: str, kubeconfig: Path, role: Role
) -> None:
    bind(control_plane, namespace, "agent", f"ordinaut-{role}")
    other = control_plane.namespace()
    user = f"system:serviceaccount:{namespace}:agent"
    agent = Caller(Authority.KUBERNETES, user, groups=("system:serviceaccounts", "system:authenticated"))
    async with Cluster(credentials()) as cluster:

        async def granted(where: str) -> set[Right]:
            rights = AccessReviews(cluster)  # a fresh one, which remembers nothing
            answers = [await rights.allows(agent, right, namespace=where) for right in ALL_RIGHTS]
            return {right for right, allowed in zip(ALL_RIGHTS, answers, strict=True) if allowed}

        async def arrived() -> bool:
            return await granted(namespace) == ROLES[role]

        await eventually(arrived)
        assert await granted(other) == set()
        stranger = Right("delete", "everything")
        assert not await AccessReviews(cluster).allows(agent, stranger, namespace=namespace)


async def test_roles_decide_through_the_api(
    control_plane: ControlPlane, namespace: str, kubeconfig: Path, database: str
) -> None:
    other = control_plane.namespace()
    tokens = {}
    for role in Role:
        bind(control_plane, namespace, role, f"ordinaut-{role}")
        tokens[role] = token_of(control_plane, namespace, role)
    tokens_of_nobody = token_of(control_plane, namespace, "nobody")
    runs = f"/v1/namespaces/{namespace}/runs"
    async with serving(database) as client:

        async def arrived() -> bool:
            return (await get(client, tokens[Role.ADMIN], tasks(namespace))).status_code == 200

        await eventually(arrived)
        expected = {Role.VIEWER: (200, 403, 200), Role.EDITOR: (200, 404, 200), Role.APPROVER: (403, 403, 200)}
        expected[Role.ADMIN] = (200, 404, 200)
        for role, token in tokens.items():
            answers = (
                await get(client, token, tasks(namespace)),
                await get(client, token, f"{tasks(namespace)}/none", "DELETE"),
                await get(client, token, runs),
            )
            assert tuple(one.status_code for one in answers) == expected[role], role
            assert (await get(client, token, tasks(other))).status_code == 403
            assert (await get(client, token, tasks("no-such-namespace"))).status_code == 403
        assert (await get(client, tokens_of_nobody, tasks(namespace))).status_code == 403


async def test_a_right_that_is_taken_away_ends_within_ten_seconds(
    control_plane: ControlPlane, namespace: str, kubeconfig: Path, database: str
) -> None:
    bind(control_plane, namespace, "agent", "ordinaut-viewer")
    token = token_of(control_plane, namespace, "agent")
    async with serving(database) as client:

        async def status(expected: int) -> bool:
            return (await get(client, token, tasks(namespace))).status_code == expected

        await eventually(lambda: status(200))
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings/agent-ordinaut-viewer"
        control_plane.call("DELETE", path)
        began = time.monotonic()
        await eventually(lambda: status(403))
        assert time.monotonic() - began < at_most(15)


async def test_one_question_serves_many_requests(
    control_plane: ControlPlane, namespace: str, kubeconfig: Path, database: str
) -> None:
    bind(control_plane, namespace, "agent", "ordinaut-viewer")
    token = token_of(control_plane, namespace, "agent")

    def reviews() -> tuple[int, int]:
        return control_plane.requests("tokenreviews"), control_plane.requests("subjectaccessreviews")

    async with serving(database) as client:
        await eventually(lambda: settled(client))
        before = await asyncio.to_thread(reviews)
        answers = await asyncio.gather(*(get(client, token, tasks(namespace)) for _ in range(100)))
        after = await asyncio.to_thread(reviews)
    assert len({answer.status_code for answer in answers}) == 1
    assert [late - early for early, late in zip(before, after, strict=True)] == [1, 1]


async def settled(client: httpx2.AsyncClient) -> bool:
    """Whether the api has asked the API server for the first time."""
    transport: Any = client._transport
    readiness: Readiness = transport.app.state.backend.readiness
    return "kubernetes" not in readiness.reasons


async def test_while_the_api_server_is_away_what_is_known_counts_and_the_rest_waits(
    control_plane: ControlPlane, namespace: str, kubeconfig: Path, database: str
) -> None:
    bind(control_plane, namespace, "agent", "ordinaut-viewer")
    token = token_of(control_plane, namespace, "agent")
    new = token_of(control_plane, namespace, "new")
    async with serving(database) as client:

        async def works() -> bool:
            return (await get(client, token, tasks(namespace))).status_code == 200

        await eventually(works)
        await asyncio.to_thread(control_plane.stop_apiserver)
        try:
            assert await works()
            for answer in (
                await get(client, new, tasks(namespace)),  # whose token is it?
                await get(client, token, f"{tasks(namespace)}/x", "DELETE"),  # may it?
            ):
                assert answer.status_code == 503, answer.text
                assert answer.json()["type"] == "urn:ordinaut:problem:unavailable"
                assert answer.headers["retry-after"]
                assert new not in answer.text
        finally:
            await asyncio.to_thread(control_plane.start_apiserver)
        await eventually(works)

        control_plane.pause_apiserver()
        try:
            began = time.monotonic()
            assert (await get(client, new, tasks(namespace))).status_code == 503
            assert time.monotonic() - began < at_most(10)
        finally:
            control_plane.resume_apiserver()


async def test_an_api_that_may_not_ask_is_not_ready_and_lets_nobody_in(
    control_plane: ControlPlane, namespace: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig_for("ordinaut-api", namespace)))
    token = token_of(control_plane, namespace, "agent")
    readiness = Readiness()
    async with serving(database, readiness) as client:

        async def refused() -> bool:
            return "system:auth-delegator" in readiness.reasons.get("kubernetes", "")

        await eventually(refused)
        assert (await get(client, token, "/v1/whoami")).status_code == 503
        let_review(control_plane, namespace)
        await eventually(lambda: settled(client))
        assert (await get(client, token, "/v1/whoami")).status_code == 200


def test_the_roles_serve_kubectl_alike(control_plane: ControlPlane, namespace: str) -> None:
    install_definitions(control_plane)

    def can(account: str, verb: str, resource: str, *more: str) -> bool:
        subject = f"--as=system:serviceaccount:{namespace}:{account}"
        command = ("auth", "can-i", verb, f"{resource}.ordinaut.io", f"--namespace={namespace}", subject, *more)
        return control_plane.kubectl(*command, check=False).stdout.strip() == "yes"

    for role in (Role.VIEWER, Role.EDITOR):
        bind(control_plane, namespace, role, f"ordinaut-{role}")
    deadline = time.monotonic() + 30
    while not can(Role.EDITOR, "create", "tasks"):
        assert time.monotonic() < deadline
    assert can(Role.VIEWER, "watch", "tasks")
    assert not can(Role.VIEWER, "create", "tasks")
    for role in (Role.VIEWER, Role.EDITOR):
        assert not can(role, "patch", "tasks", "--subresource=status")
        assert not can(role, "update", "tasks", "--subresource=status")
    assert can(Role.EDITOR, "create", "tasks", "--subresource=run")


def test_they_are_part_of_view_edit_and_admin() -> None:
    with ControlPlane(controller_manager=True) as control_plane:
        control_plane.kubectl("apply", "--filename", str(RBAC))

        def rules(name: str) -> set[tuple[str, str]]:
            role = control_plane.call("GET", f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}")
            return {
                (verb, resource)
                for rule in role.get("rules") or ()
                if "ordinaut.io" in rule.get("apiGroups", ())
                for verb in rule["verbs"]
                for resource in rule["resources"]
            }

        deadline = time.monotonic() + 60
        while ("list", "audit") not in rules("admin") or ("list", "tasks") not in rules("view"):
            assert time.monotonic() < deadline, {name: rules(name) for name in ("view", "edit", "admin")}
            time.sleep(0.1)
        assert rules("view") == rules("ordinaut-viewer")
        assert rules("edit") == rules("ordinaut-editor")
        assert rules("admin") == rules("ordinaut-admin") >= rules("ordinaut-approver")

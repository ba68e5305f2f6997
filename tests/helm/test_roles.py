"""Who may do what in the cluster: exactly these rights, and none of the whole cluster where that is avoidable."""

from collections.abc import Iterator

import yaml

from tests.helm.looking import CLUSTERWIDE, TOKENS, Render, given, pod, variables
from tests.helm.rendering import ROOT, Object, pick

WATCHED = [
    {"apiGroups": ["ordinaut.io"], "resources": ["tasks", "pipelines", "tools", "hooks"], "verbs": ["list", "watch"]},
    {
        "apiGroups": ["ordinaut.io"],
        "resources": ["tasks/status", "pipelines/status", "tools/status", "hooks/status"],
        "verbs": ["patch"],
    },
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
]
REVIEWS = [{"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]}]


def granted(objects: list[Object]) -> Iterator[tuple[str, str, str]]:
    """Yield who gets which role where: service account, role, and namespace or `*`."""
    for one in objects:
        if one["kind"].endswith("RoleBinding"):
            role = f"{one['roleRef']['kind']}/{one['roleRef']['name']}"
            for subject in one["subjects"]:
                yield subject["name"], role, one["metadata"].get("namespace", "*")


def test_the_rights_in_a_whole_cluster_are_these(render: Render) -> None:
    objects = render(given())
    assert set(granted(objects)) == {
        ("ordinaut-operator", "ClusterRole/ordinaut-operator", "*"),
        ("ordinaut-operator", "ClusterRole/ordinaut-operator-access-reviews", "*"),
        ("ordinaut-operator", "Role/ordinaut-operator-lease", "ordinaut-system"),
        ("ordinaut-api", "ClusterRole/system:auth-delegator", "*"),
    }
    assert pick(objects, "ClusterRole", "ordinaut-operator")["rules"] == WATCHED
    assert pick(objects, "ClusterRole", "ordinaut-operator-access-reviews")["rules"] == REVIEWS


def test_the_rights_in_some_namespaces_are_roles(render: Render) -> None:
    objects = render(given(watchNamespaces=["a", "b"]))
    assert set(granted(objects)) == {
        ("ordinaut-operator", "Role/ordinaut-operator", "a"),
        ("ordinaut-operator", "Role/ordinaut-operator", "b"),
        ("ordinaut-operator", "ClusterRole/ordinaut-operator-access-reviews", "*"),
        ("ordinaut-operator", "Role/ordinaut-operator-lease", "ordinaut-system"),
        ("ordinaut-api", "ClusterRole/system:auth-delegator", "*"),
    }
    roles = [one for one in objects if one["kind"] == "Role" and one["metadata"]["name"] == "ordinaut-operator"]
    assert [one["rules"] for one in roles] == [WATCHED, WATCHED]
    assert [one["metadata"]["name"] for one in objects if one["kind"] == "ClusterRole"] == [
        "ordinaut-operator-access-reviews"
    ]
    assert variables(pod(objects, "operator"))["ORDINAUT_WATCH_NAMESPACES"] == '["a","b"]'


def test_in_some_namespaces_without_kubernetes_identities_nothing_is_of_the_cluster(render: Render) -> None:
    objects = render(given(watchNamespaces=["a"], authentication=TOKENS, crds={"enabled": False}))
    assert not [one["kind"] for one in objects if one["kind"] in CLUSTERWIDE]


def test_the_lease_is_the_one_that_the_role_names(render: Render) -> None:
    objects = render(given(), release="prod")
    rules = pick(objects, "Role", "prod-ordinaut-operator-lease")["rules"]
    lease = variables(pod(objects, "operator"))["ORDINAUT_LEASE_NAME"]
    group = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    own = {"resourceNames": [lease], "verbs": ["get", "update", "delete"]}
    assert rules == [group | {"verbs": ["create"]}, group | own]


def test_no_role_is_made_where_they_are_brought(render: Render) -> None:
    values = given(rbac={"create": False}, operator={"serviceAccount": {"create": False, "name": "brought"}})
    objects = render(values)
    assert not [one for one in objects if "Role" in one["kind"]]
    assert pod(objects, "operator")["serviceAccountName"] == "brought"
    assert {one["metadata"]["name"] for one in objects if one["kind"] == "ServiceAccount"} == {
        "ordinaut-worker",
        "ordinaut-api",
    }


def roles_of_users(objects: list[Object]) -> list[Object]:
    return [one for one in objects if one["kind"] in {"Role", "ClusterRole"} and not is_ours(one)]


def is_ours(role: Object) -> bool:
    return "app.kubernetes.io/component" in role["metadata"]["labels"]


def test_roles_of_users_are_those_of_the_repository(render: Render) -> None:
    made = {one["metadata"]["name"]: one for one in roles_of_users(render(given()))}
    files = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "rbac").glob("*.yaml"))]
    assert len(files) == 4
    assert set(made) == {one["metadata"]["name"] for one in files}
    for one in files:
        assert made[one["metadata"]["name"]]["rules"] == one["rules"]
        assert one["metadata"]["labels"].items() <= made[one["metadata"]["name"]]["metadata"]["labels"].items()


def test_roles_of_users_are_part_of_no_other_where_that_is_not_wanted(render: Render) -> None:
    roles = roles_of_users(render(given(rbac={"aggregate": False})))
    assert len(roles) == 4
    assert not [name for one in roles for name in one["metadata"]["labels"] if "aggregate" in name]


def test_roles_of_users_are_in_the_watched_namespaces(render: Render) -> None:
    roles = roles_of_users(render(given(watchNamespaces=["a", "b"])))
    assert {one["kind"] for one in roles} == {"Role"}
    found = {(one["metadata"]["namespace"], one["metadata"]["name"].removeprefix("ordinaut-")) for one in roles}
    assert found == {(ns, role) for ns in "ab" for role in ("viewer", "editor", "approver", "admin")}

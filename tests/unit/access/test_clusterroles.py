"""The ClusterRoles grant what the roles grant, and the files are those of the program."""

from pathlib import Path

import pytest

from ordinaut.access import clusterroles
from ordinaut.access.rights import DECLARED, ROLES, Right, Role

RBAC = Path(__file__).parents[3] / "rbac"


def test_the_files_are_up_to_date() -> None:
    rendered = clusterroles.render()
    assert {path.name for path in RBAC.iterdir()} == set(rendered)
    for name, text in rendered.items():
        assert (RBAC / name).read_text(encoding="utf-8") == text, f"rbac/{name} is stale: run `make rbac`"


@pytest.mark.parametrize("role", Role)
def test_a_cluster_role_grants_the_rights_of_the_role_and_watching(role: Role) -> None:
    granted = {
        Right(verb, resource)
        for rule in clusterroles.cluster_role(role)["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }
    watching = {Right("watch", resource) for resource in DECLARED}
    assert granted - watching == ROLES[role]
    assert bool(granted & watching) is (role is not Role.APPROVER)


def test_nobody_is_given_a_status_or_everything() -> None:
    rules = [rule for role in Role for rule in clusterroles.cluster_role(role)["rules"]]
    assert {group for rule in rules for group in rule["apiGroups"]} == {"ordinaut.io"}
    given = {text for rule in rules for text in (*rule["resources"], *rule["verbs"])}
    assert not [text for text in given if "*" in text or text.endswith("/status")]


def test_who_may_edit_may_not_approve() -> None:
    labels = clusterroles.cluster_role(Role.APPROVER)["metadata"]["labels"]
    assert [label for label in labels if "aggregate" in label] == ["rbac.authorization.k8s.io/aggregate-to-admin"]

"""The access file: what it grants, that it grants nothing else, and that every mistake in it is told with its line."""

import json
from pathlib import Path
from typing import Any

import pytest

from ordinaut.access import grants
from ordinaut.access.caller import LOCAL, Authority, Caller
from ordinaut.access.rights import ROLES, Right, Role
from ordinaut.errors import Invalid

TOKEN = grants.new_token()
SHA = TOKEN.sha256


def parsed(**parts: Any) -> grants.Grants:
    return grants.parse(json.dumps(parts), source="access.yaml")


def subject(name: str, *bindings: tuple[str, list[str]], **more: str) -> dict[str, Any]:
    return {"name": name, **more, "bindings": [{"role": role, "namespaces": spaces} for role, spaces in bindings]}


def mistakes(text: str) -> list[str]:
    with pytest.raises(Invalid) as caught:
        grants.parse(text, source="access.yaml")
    return str(caught.value).splitlines()


def test_a_token_is_known_by_its_hash_only() -> None:
    found = parsed(tokens=[subject("agent", sha256=SHA)])
    assert found.caller_of(TOKEN.token) == Caller(Authority.TOKENS, "agent")
    for other in (SHA, TOKEN.token[:-1], TOKEN.token + "A", TOKEN.token.upper(), "", grants.new_token().token):
        assert found.caller_of(other) is None
    assert TOKEN.token not in repr(found)


def test_a_new_token_is_of_the_documented_form() -> None:
    made = [grants.new_token() for _ in range(50)]
    assert len({one.token for one in made}) == 50
    assert all(one.token.startswith("ordt_") and len(one.token) == 48 for one in made)
    assert all(grants.hash_of(one.token).hex() == one.sha256 for one in made)


@pytest.mark.parametrize("role", Role)
def test_a_role_gives_its_rights_in_its_namespaces_and_no_others(role: Role) -> None:
    found = parsed(tokens=[subject("agent", (role, ["team-a", "team-b"]), sha256=SHA)])
    agent = Caller(Authority.TOKENS, "agent")
    for right in frozenset().union(*ROLES.values()):
        for namespace in ("team-a", "team-b"):
            assert found.allows(agent, right, namespace=namespace) is (right in ROLES[role])
        for namespace in ("team-c", "*", "", "team-a,team-b", "TEAM-A"):
            assert not found.allows(agent, right, namespace=namespace)


def test_roles_add_up_and_a_star_means_every_namespace() -> None:
    bindings = [("viewer", ["*"]), ("editor", ["team-a"]), ("approver", ["team-a"])]
    found = parsed(tokens=[subject("agent", *bindings, sha256=SHA)])
    agent = Caller(Authority.TOKENS, "agent")
    see, edit, approve = Right("list", "tasks"), Right("delete", "tasks"), Right("create", "runs/approve")
    assert found.allows(agent, see, namespace="anywhere")
    assert not found.allows(agent, edit, namespace="anywhere")
    assert found.allows(agent, edit, namespace="team-a")
    assert found.allows(agent, approve, namespace="team-a")


def test_users_and_groups_are_those_of_the_issuer() -> None:
    found = parsed(
        groups=[subject("ops", ("admin", ["*"]))], users=[subject("ada@example.com", ("viewer", ["team-a"]))]
    )
    see = Right("list", "tasks")
    assert found.allows(Caller(Authority.OIDC, "bob", groups=("x", "ops")), see, namespace="team-b")
    assert found.allows(Caller(Authority.OIDC, "ada@example.com"), see, namespace="team-a")
    strangers = [
        LOCAL,
        Caller(Authority.OIDC, "ops"),
        Caller(Authority.OIDC, "bob", groups=("ada@example.com",)),
        Caller(Authority.KUBERNETES, "bob", groups=("ops",)),
        Caller(Authority.KUBERNETES, "ada@example.com"),
        Caller(Authority.TOKENS, "ada@example.com", groups=("ops",)),
    ]
    assert [one for one in strangers if found.allows(one, see, namespace="team-a")] == []


def test_an_empty_list_grants_nothing() -> None:
    assert parsed(tokens=[]).caller_of(TOKEN.token) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["access.yaml: Invalid value: holds 0 documents; write one, with tokens, groups or users"]),
        ("{}\n---\n{}", ["access.yaml: Invalid value: holds 2 documents; write one, with tokens, groups or users"]),
        ("[]", ["access.yaml:1: Invalid value: not an object; write tokens, groups or users"]),
        ("tokens: [", ["access.yaml:1: Invalid value: not YAML: expected the node content, but found '<stream end>'"]),
        (
            "tokens:\n- name: a\n  sha256: ordt_secret\n  bindings: []\n",
            [
                "access.yaml:3: tokens[0].sha256: Invalid value: not a SHA-256; "
                "write the 64 digits that `ordinaut token` prints"
            ],
        ),
        (
            f"tokens:\n- name: a\n  sha256: {SHA}\n  bindings:\n  - role: king\n    namespaces: []\n",
            [
                'access.yaml:5: tokens[0].bindings[0].role: Invalid value: "king": '
                "Input should be 'viewer', 'editor', 'approver' or 'admin'",
                "access.yaml:6: tokens[0].bindings[0].namespaces: Invalid value: 0: "
                "tokens[0].bindings[0].namespaces in body should have at least 1 items",
            ],
        ),
        (
            f"tokens:\n- name: a\n  sha256: {SHA}\n  bindings: []\n  role: admin\n",
            [
                "access.yaml:5: tokens[0].role: Invalid value: unknown field; "
                "leave it out; the fields here are name, sha256, bindings"
            ],
        ),
        (
            f"tokens:\n- {{name: a, sha256: {SHA}, bindings: []}}\n- {{name: a, sha256: {SHA}, bindings: []}}\n",
            [
                'access.yaml:3: tokens[1].name: Invalid value: "a": stands here twice; keep one of them',
                "access.yaml:3: tokens[1].sha256: Invalid value: stands here twice; keep one of them",
            ],
        ),
        (
            'groups:\n- name: "a\\u0007"\n  bindings: []\n',
            [
                r'access.yaml:2: groups[0].name: Invalid value: "a\u0007": has characters that can'
                "'t be printed; write it as the issuer does"
            ],
        ),
    ],
)
def test_a_mistake_is_told_with_its_line_and_remedy(text: str, expected: list[str]) -> None:
    assert [line.split("; correct")[0] for line in mistakes(text)] == expected


@pytest.mark.parametrize("namespace", ["Team", "a b", "", "a/b", "**", "team-*", "x" * 64, "a\nb"])
def test_a_namespace_is_a_name_or_a_star(namespace: str) -> None:
    with pytest.raises(Invalid):
        parsed(groups=[subject("ops", ("viewer", [namespace]))])


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="can't be read: No such file or directory; correct the file or its path"):
        grants.load(tmp_path / "access.yaml")
    (tmp_path / "access.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(Invalid, match="can't be read: not UTF-8"):
        grants.load(tmp_path / "access.yaml")

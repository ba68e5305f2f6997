"""The questions to the API server, and that only a clear yes is one."""

from typing import Any

import pytest

from ordinaut.access.caller import Authority, Caller
from ordinaut.access.review import is_allowed, reviewed, subject_access_review, token_review
from ordinaut.access.rights import Right

AGENT = Caller(
    Authority.KUBERNETES,
    "system:serviceaccount:team-a:agent",
    groups=("system:serviceaccounts", "system:authenticated"),
    uid="u-1",
    extra=(("scopes", ("a", "b")),),
)


def good(**changes: Any) -> dict[str, Any]:
    user = {
        "username": AGENT.user,
        "groups": list(AGENT.groups),
        "uid": "u-1",
        "extra": {"scopes": ["a", "b"], "authentication.kubernetes.io/credential-id": ["JTI=1"]},
    }
    return {"status": {"authenticated": True, "audiences": ["ordinaut"], "user": user, **changes}}


def test_a_token_is_asked_about_with_our_audience() -> None:
    assert token_review("secret", audience="ordinaut")["spec"] == {"token": "secret", "audiences": ["ordinaut"]}


def test_a_good_answer_names_the_caller_and_not_the_token() -> None:
    assert reviewed(good(), audience="ordinaut") == AGENT


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"status": None},
        {"status": []},
        good(authenticated=False),
        good(authenticated="true"),
        good(audiences=None),
        good(audiences=[]),
        good(audiences="ordinaut"),
        good(audiences=["https://kubernetes.default.svc"]),
        good(user=None),
        good(user={"username": ""}),
        good(user={"groups": ["system:masters"]}),
        good(error="audience not known"),
        good(user={"username": "a\nb"}),
        good(user={"username": "a", "groups": ["a\0"]}),
        good(user={"username": "a", "uid": "\0"}),
        good(user={"username": "a", "extra": {"a": ["\0"]}}),
    ],
)
def test_anything_else_is_nobody(answer: dict[str, Any]) -> None:
    assert reviewed(answer, audience="ordinaut") is None


@pytest.mark.parametrize(
    ("right", "resource", "subresource"),
    [(Right("create", "tasks/run"), "tasks", "run"), (Right("list", "audit"), "audit", "")],
)
def test_a_right_is_asked_for_with_all_that_is_known_of_the_caller(
    right: Right, resource: str, subresource: str
) -> None:
    spec = subject_access_review(AGENT, right, namespace="team-a")["spec"]
    assert spec == {
        "resourceAttributes": {
            "namespace": "team-a",
            "verb": right.verb,
            "group": "ordinaut.io",
            "resource": resource,
            "subresource": subresource,
        },
        "user": AGENT.user,
        "groups": list(AGENT.groups),
        "uid": "u-1",
        "extra": {"scopes": ["a", "b"]},
    }


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"allowed": True}, True),
        ({"allowed": True, "denied": False}, True),
        ({"allowed": True, "denied": True}, False),
        ({"allowed": False}, False),
        ({"allowed": "true"}, False),
        ({}, False),
        (None, False),
    ],
)
def test_only_a_clear_yes_is_one(status: Any, expected: bool) -> None:
    assert is_allowed({"status": status}) is expected

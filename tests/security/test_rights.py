"""
Every route asks who calls and whether they may: made from the OpenAPI document, so that a new route can't lack it.

The document says of each operation which right it needs; the roles say who holds it. Whoever does not is refused, and
the refusal is written down.
"""

import re

import pytest

from ordinaut.access.rights import ROLES
from ordinaut.store.pool import Pool
from tests.security.operations import WITHOUT_RIGHT, Operation, operations
from tests.security.problems import steady
from tests.security.tenants import BINDINGS, OURS, THEIRS, Api

pytestmark = pytest.mark.integration

OPERATIONS = list(operations())
GUARDED = [one for one in OPERATIONS if one.template not in WITHOUT_RIGHT and not one.signed]
STRANGERS = ("nobody", "admin-b")
"""Identities without any right in namespace A."""


def test_every_operation_says_which_right_it_needs() -> None:
    assert [str(one) for one in GUARDED if one.right is None] == []
    assert [str(one) for one in OPERATIONS if one not in GUARDED and one.right is not None] == []
    assert len(GUARDED) > 30


def test_only_deliveries_of_webhooks_take_a_signature() -> None:
    assert [one.id for one in OPERATIONS if one.signed] == ["deliverWebhook"]


def test_every_operation_is_of_one_namespace() -> None:
    assert [str(one) for one in GUARDED if not one.template.startswith("/v1/namespaces/{namespace}/")] == []


def test_every_right_of_an_operation_is_held_by_a_role() -> None:
    held = frozenset().union(*ROLES.values())
    assert [str(one) for one in GUARDED if one.right not in held] == []


def test_every_operation_says_in_the_document_that_it_needs_a_token() -> None:
    for one in OPERATIONS:
        assert one.described["security"], str(one)
        assert {"401", "403"} - set(one.described["responses"]) <= (set() if one in GUARDED else {"403"}), str(one)


async def test_without_a_good_token_nobody_gets_in(api: Api, pool: Pool, subtests: pytest.Subtests) -> None:
    for operation in OPERATIONS:
        with subtests.test(str(operation)):
            await refuse_without_a_good_token(operation, api)
    assert await denials(pool) == []


async def refuse_without_a_good_token(operation: Operation, api: Api) -> None:
    refused = [
        await api.call(None, operation.method, operation.path()),
        await api.call(None, operation.method, operation.path(), headers={"Authorization": "Bearer garbage"}),
        await api.call(None, operation.method, operation.path(), headers={"Authorization": f"Bearer ordt_{'A' * 43}"}),
    ]
    for answer in refused:
        assert answer.status_code == 401, answer.text
        scheme = "Signature" if operation.signed else "Bearer"
        assert answer.headers["www-authenticate"] == f'{scheme} realm="ordinaut"'
        assert answer.json()["type"] == "urn:ordinaut:problem:unauthenticated"
        assert steady(answer) == steady(refused[0])


@pytest.mark.parametrize("operation", GUARDED, ids=str)
async def test_each_role_may_do_exactly_what_it_holds(operation: Operation, api: Api, pool: Pool) -> None:
    expected, requests = [], {}
    for who, bound in BINDINGS.items():
        answer = await api.call(who, operation.method, operation.path())
        if bound and bound[1] == OURS and operation.right in ROLES[bound[0]]:
            assert answer.status_code not in {401, 403}, (who, answer.text)
            assert answer.status_code < 500, (who, answer.text)
        else:
            assert answer.status_code == 403, (who, answer.text)
            assert answer.json()["type"] == "urn:ordinaut:problem:forbidden"
            expected.append((f"tokens:{who}", OURS))
            requests[f"tokens:{who}"] = answer.headers["x-request-id"]
    assert {f"tokens:{who}" for who in STRANGERS} <= requests.keys()
    written = await denials(pool)
    assert [(actor, namespace) for actor, namespace, *_ in written] == expected
    assert {actor: request_id for actor, _, _, request_id in written} == requests
    assert all(object_ and not object_.startswith("/") for _, _, object_, _ in written)


async def test_a_stranger_learns_nothing_from_what_exists(api: Api, subtests: pytest.Subtests) -> None:
    """The same refusal whether the namespace, the name or the run exists or not."""
    for operation in GUARDED:
        with subtests.test(str(operation)):
            await tell_nothing(operation, api)


async def tell_nothing(operation: Operation, api: Api) -> None:
    mine = await api.call("admin-b", operation.method, operation.path())
    other = await api.call("admin-b", operation.method, operation.path(namespace="no-such-team", name="other"))
    assert (mine.status_code, other.status_code) == (403, 403)
    said = [re.sub(rf"\b(?:{OURS}|no-such-team)\b", "…", str(steady(answer))) for answer in (mine, other)]
    assert said[0] == said[1]


async def test_an_identity_without_any_right_may_ask_who_it_is(api: Api) -> None:
    for who in BINDINGS:
        answer = await api.call(who, "GET", "/v1/whoami")
        assert answer.status_code == 200
        assert who in answer.text


async def test_an_admin_of_one_namespace_is_one_there(api: Api) -> None:
    assert (await api.call("admin-b", "GET", f"/v1/namespaces/{THEIRS}/tasks")).status_code == 200
    assert (await api.call("admin-a", "GET", f"/v1/namespaces/{OURS}/tasks")).status_code == 200


async def denials(pool: Pool) -> list[tuple[str, str, str, str]]:
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT actor, namespace, object, request_id FROM audit WHERE decision = 'Denied' ORDER BY id"
        )
        return list(await rows.fetchall())

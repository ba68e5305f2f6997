"""A tenant sees nothing of another: runs, names, cursors, keys, whichever way it asks (attacks 2, 4, 10, 16)."""

import itertools
import uuid
from typing import Any

import httpx2
import pytest

from tests.declaring import task
from tests.security.operations import operations
from tests.security.problems import refused, steady
from tests.security.tenants import OURS, THEIRS, Api, path_of

pytestmark = pytest.mark.integration

LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}
OPERATIONS = list(operations())
OF_ONE_RUN = [one for one in OPERATIONS if "/runs/{" in one.template]
OF_ONE_OBJECT = [one for one in OPERATIONS if "/{name}" in one.template]
LISTS = [one for one in OPERATIONS if "cursor" in {each["name"] for each in one.described["parameters"]}]


async def declare(api: Api, who: str, namespace: str, name: str) -> httpx2.Response:
    document = task(name, LOG)
    document["metadata"]["namespace"] = namespace
    answer = await api.call(who, "PUT", path_of("tasks", name, namespace=namespace), json=document)
    assert answer.is_success, answer.text
    return answer


async def run_of(api: Api, who: str, namespace: str) -> str:
    await declare(api, who, namespace, "secret-project")
    answer = await api.call(who, "POST", path_of("tasks", "secret-project", "run", namespace=namespace))
    assert answer.status_code == 202, answer.text
    return str(answer.json()["metadata"]["name"])


async def test_a_run_of_another_tenant_is_like_one_that_does_not_exist(api: Api, subtests: pytest.Subtests) -> None:
    theirs, unknown = await run_of(api, "admin-b", THEIRS), str(uuid.uuid4())
    for operation in OF_ONE_RUN:
        with subtests.test(str(operation)):
            known = await api.call("admin-a", operation.method, operation.path(run=theirs))
            fresh = await api.call("admin-a", operation.method, operation.path(run=unknown))
            refused(known, "not-found")
            refused(fresh, "not-found")
            assert str(steady(known)).replace(theirs, "…") == str(steady(fresh)).replace(unknown, "…")
            assert known.headers.keys() == fresh.headers.keys()
    mine = await api.call("admin-b", "GET", path_of("runs", theirs, namespace=THEIRS))
    assert mine.json()["status"]["phase"] == "Pending"


def test_there_are_verbs_of_runs_to_try() -> None:
    verbs = {one.template.rpartition("/")[2] for one in OF_ONE_RUN}
    assert {"{run_id}", "cancel", "retry", "unpark", "wait", "events"} <= verbs


async def test_an_object_of_another_tenant_is_like_one_that_does_not_exist(api: Api, subtests: pytest.Subtests) -> None:
    await declare(api, "admin-b", THEIRS, "secret-project")
    for operation in OF_ONE_OBJECT:
        with subtests.test(str(operation)):
            body: dict[str, Any] = {"json": {}} if operation.method in {"PUT", "PATCH", "POST"} else {}
            known = await api.call("admin-a", operation.method, operation.path(name="secret-project"), **body)
            fresh = await api.call("admin-a", operation.method, operation.path(name="unheard-of"), **body)
            assert 400 <= known.status_code < 500
            assert str(steady(known)).replace("secret-project", "…") == str(steady(fresh)).replace("unheard-of", "…")


async def test_a_cursor_of_another_tenant_or_list_is_refused(api: Api, subtests: pytest.Subtests) -> None:
    cursors = {}
    for who, namespace in (("admin-a", OURS), ("admin-b", THEIRS)):
        for name in ("one", "two"):
            await declare(api, who, namespace, name)
        listed = await api.call(who, "GET", path_of("tasks", namespace=namespace), params={"limit": 1})
        cursors[namespace] = listed.json()["nextCursor"]
    theirs = cursors[THEIRS]
    for operation, cursor in itertools.product(
        LISTS, [theirs, theirs[::-1], theirs[:-1], "AAAA", "W10", "bnVsbA", "x" * 500, cursors[OURS]]
    ):
        if (operation.id, cursor) == ("listTasks", cursors[OURS]):
            continue
        with subtests.test(f"{operation} {cursor[:20]}"):
            answer = await api.call("admin-a", "GET", operation.path(name="one"), params={"cursor": cursor})
            assert refused(answer, "invalid")["errors"][0]["field"] == "cursor"


async def test_no_list_holds_anything_of_another_tenant(api: Api, subtests: pytest.Subtests) -> None:
    run = await run_of(api, "admin-b", THEIRS)
    for operation in LISTS:
        with subtests.test(str(operation)):
            answer = await api.call("admin-a", "GET", operation.path())
            assert answer.status_code in {200, 404}
            assert run not in answer.text
            assert "secret-project" not in answer.text


WRONG_LIMITS = ["-1", "0", "501", "1000000000", "1e3", "0x10", "", "５", "5.5", "NaN", "null", "9" * 3000]


async def test_a_limit_out_of_bounds_is_refused(api: Api, subtests: pytest.Subtests) -> None:
    await declare(api, "admin-a", OURS, "one")
    for operation, limit in itertools.product(LISTS, WRONG_LIMITS):
        with subtests.test(f"{operation} {limit[:10]}"):
            answer = await api.call("admin-a", "GET", operation.path(name="one"), params={"limit": limit})
            assert refused(answer, "invalid")["errors"][0]["field"] == "limit"


async def test_the_query_names_no_namespace(api: Api, subtests: pytest.Subtests) -> None:
    for operation, name in itertools.product(LISTS, ("namespace", "all", "allNamespaces", "owner")):
        with subtests.test(f"{operation} {name}"):
            refused(await api.call("admin-a", "GET", operation.path(), params={name: THEIRS}), "invalid")


async def test_the_key_of_another_caller_or_tenant_is_nobodys_business(api: Api) -> None:
    await declare(api, "admin-a", OURS, "job")
    await declare(api, "admin-b", THEIRS, "job")
    key = {"Idempotency-Key": "the-same-everywhere"}
    runs = [
        (await api.call(who, "POST", path_of("tasks", "job", "run", namespace=namespace), headers=key)).json()
        for who, namespace in (("admin-a", OURS), ("editor-a", OURS), ("admin-b", THEIRS), ("admin-a", OURS))
    ]
    names = [run["metadata"]["name"] for run in runs]
    assert len(set(names)) == 3
    assert names[3] == names[0]


async def test_a_key_that_was_answered_grants_nothing(api: Api) -> None:
    """A kept answer is given only to whoever still may ask."""
    await declare(api, "admin-a", OURS, "job")
    key = {"Idempotency-Key": "k"}
    assert (await api.call("admin-a", "POST", path_of("tasks", "job", "run"), headers=key)).status_code == 202
    refused(await api.call("viewer-a", "POST", path_of("tasks", "job", "run"), headers=key), "forbidden")
    refused(await api.call("admin-b", "POST", path_of("tasks", "job", "run"), headers=key), "forbidden")
    refused(await api.call(None, "POST", path_of("tasks", "job", "run"), headers=key), "unauthenticated")


async def test_locations_name_no_host_that_a_caller_chose(api: Api) -> None:
    await declare(api, "admin-a", OURS, "job")
    answer = await api.call(
        "admin-a", "POST", path_of("tasks", "job", "run"), headers={"Host": "evil.example", "X-Forwarded-Host": "evil"}
    )
    assert answer.headers["location"].startswith(f"/v1/namespaces/{OURS}/runs/")

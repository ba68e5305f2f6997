"""Nobody can use up what others need: requests, failed guesses, objects, streams."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from ordinaut.store.pool import Pool
from tests.declaring import manifest, task
from tests.security import tenants
from tests.security.problems import refused
from tests.security.tenants import OURS, THEIRS, Access, Api, path_of

pytestmark = pytest.mark.integration

LIMIT = 20
FAILURES = 10
QUOTA = 3
LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}
SPECS = {
    "tasks": ("Task", {"pipeline": {"steps": [LOG]}}),
    "pipelines": ("Pipeline", {"steps": [LOG]}),
    "tools": ("Tool", {"http": {"url": "http://tools.example/x"}}),
    "hooks": ("Hook", {"topic": "a.b", "signature": {"style": "GitHub", "secretRefs": [{"name": "s", "key": "k"}]}}),
}


@pytest.fixture
async def limited(database: str, access: Access) -> AsyncIterator[Api]:
    """The application with a few requests a minute."""
    async with tenants.serving(database, access, rate_limit=LIMIT, rate_limit_failures=FAILURES) as served:
        yield served


@pytest.fixture
async def small(database: str, access: Access) -> AsyncIterator[Api]:
    """The application with a few objects a namespace."""
    quotas = {"max_tasks": QUOTA, "max_pipelines": QUOTA, "max_tools": QUOTA, "max_hooks": QUOTA}
    async with tenants.serving(database, access, **{f"api_{name}": limit for name, limit in quotas.items()}) as served:
        yield served


async def use_up(api: Api, who: str, path: str) -> httpx2.Response:
    """Send requests until one is too many."""
    for _ in range(3 * LIMIT):
        answer = await api.call(who, "GET", path)
        if answer.status_code == 429:
            return answer
    raise AssertionError("nobody was stopped")


async def test_who_asks_too_much_is_told_when_to_come_back(limited: Api) -> None:
    answers = [await limited.call("editor-a", "GET", path_of("tasks")) for _ in range(LIMIT)]
    assert {answer.status_code for answer in answers} == {200}
    left = [int(answer.headers["ratelimit"].split("r=")[1].split(";")[0]) for answer in answers]
    assert left[0] == LIMIT - 1
    assert all(0 <= one < LIMIT for one in left)
    assert all(str(LIMIT) in answer.headers["ratelimit-policy"] for answer in answers)
    refusal = await use_up(limited, "editor-a", path_of("tasks"))
    refused(refusal, "rate-limited")
    # A minute's requests all count until it ends; then less and less, until there is room for one.
    assert 1 <= int(refusal.headers["retry-after"]) <= 60 + 60 / LIMIT
    assert "ratelimit" in refusal.headers


async def test_others_go_on_while_one_has_asked_too_much(limited: Api) -> None:
    await use_up(limited, "editor-a", path_of("tasks"))
    assert (await limited.call("viewer-a", "GET", path_of("tasks"))).status_code == 200
    assert (await limited.call("admin-b", "GET", path_of("tasks", namespace=THEIRS))).status_code == 200


async def test_refusals_count_too(limited: Api) -> None:
    """Or somebody without rights could have us ask the database and the API server without end."""
    refused(await use_up(limited, "nobody", path_of("tasks")), "rate-limited")


async def test_namespaces_made_up_on_the_way_do_not_help(limited: Api) -> None:
    seen = [
        (await limited.call("nobody", "GET", path_of("tasks", namespace=f"n{number}"))).status_code
        for number in range(12 * LIMIT)
    ]
    assert seen[0] == 403
    assert seen[-1] == 429


async def test_guessing_tokens_ends_soon_and_locks_nobody_out(limited: Api) -> None:
    guesses = [
        await limited.call(None, "GET", path_of("tasks"), headers={"Authorization": f"Bearer ordt_{number:043}"})
        for number in range(2 * FAILURES)
    ]
    assert [answer.status_code for answer in guesses] == [401] * FAILURES + [429] * FAILURES
    refused(guesses[-1], "rate-limited")
    assert int(guesses[-1].headers["retry-after"]) >= 1
    assert (await limited.call("viewer-a", "GET", path_of("tasks"))).status_code == 200


async def test_denials_do_not_fill_the_audit_trail(api: Api, pool: Pool) -> None:
    for number in range(100):
        refused(await api.call("nobody", "GET", path_of("tasks", f"t{number}")), "forbidden")
    async with pool.connection() as connection:
        row = await (await connection.execute("SELECT count(*) FROM audit")).fetchone()
    assert row is not None
    assert 1 <= row[0] <= 10


@pytest.mark.parametrize("collection", SPECS)
async def test_there_are_no_more_objects_than_a_namespace_may_have(small: Api, collection: str) -> None:
    kind, spec = SPECS[collection]

    async def create(name: str, method: str = "POST", namespace: str = OURS, who: str = "editor-a") -> httpx2.Response:
        path = path_of(collection, *([name] if method == "PUT" else []), namespace=namespace)
        return await small.call(who, method, path, json=manifest(kind, name, spec, namespace=namespace))

    for number in range(QUOTA):
        assert (await create(f"o{number}")).status_code == 201
    for method in ("POST", "PUT"):
        found = refused(await create("one-more", method), "quota-exceeded")
        assert str(QUOTA) in found["detail"]
    assert (await create("o0", "PUT")).status_code == 200
    assert (await create("theirs", who="admin-b", namespace=THEIRS)).status_code == 201
    assert (await small.call("editor-a", "DELETE", path_of(collection, "o0"))).status_code == 204
    assert (await create("one-more")).status_code == 201


async def test_many_at_once_get_no_further_than_one_after_the_other(small: Api) -> None:
    def send(number: int) -> object:
        return small.call("editor-a", "POST", path_of("tasks"), json=task_of(f"t{number}"))

    answers: list[httpx2.Response] = await asyncio.gather(*(send(number) for number in range(20)))  # type: ignore[call-overload]
    assert sorted(answer.status_code for answer in answers) == [201] * QUOTA + [403] * (20 - QUOTA)


async def test_a_batch_counts_as_what_it_holds(small: Api) -> None:
    items = [task_of(f"t{number}") for number in range(QUOTA + 1)]
    answer = await small.call("editor-a", "POST", path_of("tasks:batch"), json={"items": items})
    refused(answer, "quota-exceeded")
    assert (await small.call("editor-a", "GET", path_of("tasks"))).json()["items"] == []
    answer = await small.call("editor-a", "POST", path_of("tasks:batch"), json={"items": items[:QUOTA]})
    assert answer.is_success


async def test_the_quota_says_what_is_used(small: Api) -> None:
    await small.call("editor-a", "POST", path_of("tasks"), json=task_of("t"))
    found = (await small.call("viewer-a", "GET", path_of("quota"))).text
    assert str(QUOTA) in found


def task_of(name: str) -> dict[str, object]:
    document = task(name, LOG)
    document["metadata"]["namespace"] = OURS
    return document

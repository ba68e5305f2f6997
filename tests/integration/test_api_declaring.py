"""Creating, replacing, patching and deleting: preconditions, keys, quotas, and many callers at once."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from ordinaut.access.caller import Caller
from ordinaut.access.rights import Right
from ordinaut.states import Origin
from ordinaut.store.pool import Pool
from ordinaut_api.identity.gatekeeper import Open
from tests.declaring import declare, manifest, pipeline, task, tool
from tests.integration.serving import AUDIT, MERGE_PATCH, PIPELINES, QUOTA, TASKS, TOOLS, problem, serving

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("patient_api")]

LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}
DOCUMENTS = {
    TASKS: task("thing", LOG),
    PIPELINES: pipeline("thing", LOG),
    TOOLS: tool("thing", "http://127.0.0.1:1"),
}


@pytest.fixture
async def api(database: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(database) as client:
        yield client


async def patch(api: httpx2.AsyncClient, path: str, change: dict[str, Any], **headers: str) -> httpx2.Response:
    return await api.patch(path, json=change, headers={**MERGE_PATCH, **headers})


async def count(pool: Pool, table: str) -> int:
    async with pool.connection() as connection:
        row = await (await connection.execute(f"SELECT count(*) FROM {table}")).fetchone()  # type: ignore[arg-type]
        assert row is not None
        return int(row[0])


@pytest.mark.parametrize("collection", DOCUMENTS)
async def test_create_makes_it_once(api: httpx2.AsyncClient, collection: str) -> None:
    document = DOCUMENTS[collection]
    created = await api.post(collection, json=document)
    assert created.status_code == 201, created.text
    assert created.headers["location"] == f"{collection}/thing"
    found = await api.get(created.headers["location"])
    assert found.json()["metadata"] == created.json()["metadata"]
    assert found.headers["etag"] == created.headers["etag"]
    metadata = found.json()["metadata"]
    assert found.headers["etag"] == f'"{metadata["uid"]}.{metadata["resourceVersion"]}"'
    assert found.headers["cache-control"] == "no-store"
    assert "exists already" in problem(await api.post(collection, json=document), 409, "conflict")["detail"]


@pytest.mark.parametrize("collection", DOCUMENTS)
async def test_if_match_lets_only_whoever_saw_the_latest_change_it(api: httpx2.AsyncClient, collection: str) -> None:
    document, path = DOCUMENTS[collection], f"{collection}/thing"
    first = (await api.put(path, json=document)).headers["etag"]
    change = {"metadata": {"labels": {"team": "a"}}}

    second = (await patch(api, path, change, **{"if-match": first})).headers["etag"]
    assert second != first
    for answer in (
        await patch(api, path, change, **{"if-match": first}),
        await api.put(path, json=document, headers={"if-match": first}),
        await api.delete(path, headers={"if-match": first}),
        await api.delete(path, headers={"if-match": f"W/{second}"}),
        await api.put(path, json=document, headers={"if-none-match": "*"}),
    ):
        problem(answer, 412, "precondition-failed")

    third = await api.put(path, json=document, headers={"if-match": f'"other", {second}'})
    assert third.status_code == 200
    assert "labels" not in third.json()["metadata"]
    again = await api.put(path, json=document, headers={"if-match": "*"})
    assert again.headers["etag"] == third.headers["etag"], "an equal manifest changes nothing"
    assert (await api.delete(path, headers={"if-match": third.headers["etag"]})).status_code == 204
    problem(await api.put(path, json=document, headers={"if-match": third.headers["etag"]}), 412, "precondition-failed")
    problem(await patch(api, path, change, **{"if-match": "*"}), 404, "not-found")
    assert (await api.put(path, json=document, headers={"if-none-match": "*"})).status_code == 201


@pytest.mark.parametrize(
    ("header", "value"),
    [("if-match", "unquoted"), ("if-match", '"a" "b"'), ("if-match", '"' + "a" * 5000), ("if-none-match", '"a"')],
)
async def test_a_precondition_that_is_none_is_refused(api: httpx2.AsyncClient, header: str, value: str) -> None:
    answer = await api.put(f"{TASKS}/thing", json=DOCUMENTS[TASKS], headers={header: value})
    found = problem(answer, 422, "invalid")
    assert found["errors"][0]["field"].lower() == header


async def test_a_patch_merges(api: httpx2.AsyncClient) -> None:
    document = task("thing", LOG, params={"city": "Iasi", "days": 3}, priority=7)
    document["metadata"]["labels"] = {"team": "a", "tier": "1"}
    path = f"{TASKS}/thing"
    await api.post(TASKS, json=document)
    change = {
        "metadata": {"labels": {"tier": None, "zone": "x"}, "annotations": {"why": "test"}},
        "spec": {"params": {"days": None, "lang": "ro"}, "priority": None, "suspend": True},
    }
    changed = (await patch(api, path, change)).json()
    assert changed["metadata"]["labels"] == {"team": "a", "zone": "x"}
    assert changed["metadata"]["annotations"] == {"why": "test"}
    assert changed["spec"]["params"] == {"city": "Iasi", "lang": "ro"}
    assert "priority" not in changed["spec"]
    assert changed["spec"]["suspend"] is True
    assert changed["metadata"]["generation"] == 2
    labelled = (await patch(api, path, {"metadata": {"labels": None}})).json()
    assert "labels" not in labelled["metadata"]
    assert labelled["metadata"]["generation"] == 2, "only a changed spec counts"
    assert labelled["metadata"]["resourceVersion"] != changed["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"status": {"active": 1}}, "status"),
        ({"status": None}, "status"),
        ({"metadata": {"uid": "x"}}, "metadata.uid"),
        ({"metadata": {"uid": None}}, "metadata.uid"),
        ({"metadata": {"name": "other"}}, "metadata.name"),
        ({"metadata": {"namespace": "other"}}, "metadata.namespace"),
        ({"kind": "Tool"}, "kind"),
        ({"spec": None}, "spec"),
        ({"spec": {"prioritty": 3}}, "spec.prioritty"),
        ({"spec": {"schedules": [{"cron": "60 * * * *"}]}}, "spec.schedules[0].cron"),
        ({"creator": "me"}, "creator"),
    ],
)
async def test_a_patch_that_makes_it_wrong_is_refused(
    api: httpx2.AsyncClient, change: dict[str, Any], field: str
) -> None:
    before = await api.post(TASKS, json=DOCUMENTS[TASKS])
    found = problem(await patch(api, f"{TASKS}/thing", change), 422, "invalid")
    if "kind" not in change:
        assert field in {error["field"] for error in found["errors"]}
    assert (await api.get(f"{TASKS}/thing")).headers["etag"] == before.headers["etag"]


async def test_a_patch_has_its_own_type(api: httpx2.AsyncClient) -> None:
    await api.post(TASKS, json=DOCUMENTS[TASKS])
    answer = await api.patch(f"{TASKS}/thing", json={})
    problem(answer, 415, "unsupported-media-type")
    assert answer.headers["accept-patch"] == "application/merge-patch+json"


async def test_of_two_patches_with_one_etag_one_wins(api: httpx2.AsyncClient) -> None:
    etag = (await api.post(TASKS, json=DOCUMENTS[TASKS])).headers["etag"]
    answers = await asyncio.gather(
        *(patch(api, f"{TASKS}/thing", {"spec": {"priority": n}}, **{"if-match": etag}) for n in (1, 2))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]


async def test_patches_without_an_etag_all_take_effect(api: httpx2.AsyncClient) -> None:
    await api.post(TASKS, json=DOCUMENTS[TASKS])
    answers = await asyncio.gather(
        *(patch(api, f"{TASKS}/thing", {"metadata": {"labels": {f"l{n}": "x"}}}) for n in range(4))
    )
    assert {answer.status_code for answer in answers} == {200}
    labels = (await api.get(f"{TASKS}/thing")).json()["metadata"]["labels"]
    assert labels == {f"l{n}": "x" for n in range(4)}


@pytest.mark.parametrize("origin", [Origin.KUBERNETES, Origin.DIRECTORY])
@pytest.mark.parametrize("collection", DOCUMENTS)
async def test_what_others_own_is_refused_by_every_way_to_edit_it(
    api: httpx2.AsyncClient, pool: Pool, collection: str, origin: Origin
) -> None:
    document, path = DOCUMENTS[collection], f"{collection}/thing"
    await declare(pool, document, origin=origin)
    etag = (await api.get(path)).headers["etag"]
    for answer in (
        await api.post(collection, json=document),
        await api.put(path, json=document),
        await patch(api, path, {"metadata": {"labels": {"a": "b"}}}),
        await api.delete(path),
    ):
        said = problem(answer, 409, "conflict")["detail"]
        assert ("Kubernetes resource" if origin is Origin.KUBERNETES else "ordinaut dev") in said
    assert (await api.get(path)).headers["etag"] == etag


async def test_fifty_creates_of_one_name_make_one(api: httpx2.AsyncClient, pool: Pool) -> None:
    answers = await asyncio.gather(*(api.post(TASKS, json=DOCUMENTS[TASKS]) for _ in range(50)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 49}
    assert await count(pool, "task") == 1


async def test_fifty_posts_of_one_key_make_one_and_get_one_answer(api: httpx2.AsyncClient, pool: Pool) -> None:
    key = {"idempotency-key": str(uuid.uuid4())}
    answers = await asyncio.gather(*(api.post(TASKS, json=DOCUMENTS[TASKS], headers=key) for _ in range(50)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len({(answer.headers["etag"], answer.headers["location"]) for answer in answers}) == 1
    assert Counter(answer.headers.get("idempotency-replayed") for answer in answers) == {None: 1, "true": 49}
    assert await count(pool, "task") == 1
    assert await count(pool, "audit") == 1


async def test_a_key_stands_for_one_request(api: httpx2.AsyncClient) -> None:
    key = {"idempotency-key": "k"}
    run = f"{TASKS}/thing/run"
    await api.post(TASKS, json=DOCUMENTS[TASKS])
    first = await api.post(run, json={"params": {"a": 1}}, headers=key)
    again = await api.post(run, json={"params": {"a": 1}}, headers=key)
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    problem(await api.post(run, json={"params": {"a": 2}}, headers=key), 409, "idempotency-conflict")
    problem(await api.post(run, headers=key), 409, "idempotency-conflict")
    # The key of another route is another key.
    assert (await api.post(f"{TASKS}/thing/pause", headers=key)).status_code == 200
    for wrong in ("", "x" * 256, "a\tb"):
        problem(await api.post(run, headers={"idempotency-key": wrong}), 422, "invalid")


async def test_a_key_of_a_refused_request_may_be_used_again(api: httpx2.AsyncClient) -> None:
    key = {"idempotency-key": "k"}
    problem(await api.post(f"{TASKS}/thing/run", headers=key), 404, "not-found")
    await api.post(TASKS, json=DOCUMENTS[TASKS])
    assert (await api.post(f"{TASKS}/thing/run", headers=key)).status_code == 202


async def test_a_namespace_holds_as_many_as_its_quota_says(database: str, pool: Pool) -> None:
    async with serving(database, api_max_tasks=2, api_max_pipelines=0) as api:
        await declare(pool, task("of-kubernetes", LOG), origin=Origin.KUBERNETES)
        for name in ("one", "two"):
            assert (await api.post(TASKS, json=task(name, LOG))).status_code == 201
        quota = (await api.get(QUOTA)).json()
        assert quota["limits"] == {"tasks": 2, "pipelines": 0, "tools": 1000, "hooks": 100}
        assert quota["used"] == {"tasks": 2, "pipelines": 0, "tools": 0, "hooks": 0}
        for answer in (
            await api.post(TASKS, json=task("three", LOG)),
            await api.put(f"{TASKS}/three", json=task("three", LOG)),
            await api.post(f"{TASKS}:batch", json={"items": [task("one", LOG), task("three", LOG)]}),
        ):
            found = problem(answer, 403, "quota-exceeded")
            assert "2 are allowed" in found["detail"]
            assert "ORDINAUT_API_MAX_TASKS" in found["detail"]
        problem(await api.post(PIPELINES, json=pipeline("one", LOG)), 403, "quota-exceeded")
        assert (await api.put(f"{TASKS}/one", json=task("one", LOG, priority=1))).status_code == 200
        await api.delete(f"{TASKS}/two")
        assert (await api.post(TASKS, json=task("three", LOG))).status_code == 201
        elsewhere = manifest("Task", "one", {"pipeline": {"steps": [LOG]}}, namespace="other")
        assert (await api.post("/v1/namespaces/other/tasks", json=elsewhere)).status_code == 201


async def test_a_hundred_parallel_creates_keep_the_quota(database: str, pool: Pool) -> None:
    async with serving(database, api_max_tasks=10) as api:
        answers = await asyncio.gather(*(api.post(TASKS, json=task(f"t{n}", LOG)) for n in range(30)))
    assert Counter(answer.status_code for answer in answers) == {201: 10, 403: 20}
    assert await count(pool, "task") == 10


class Limited(Open):
    """Lets everybody do everything but for some rights."""

    def __init__(self, *lacking: Right) -> None:
        self._lacking = lacking

    async def allows(self, caller: Caller, right: Right, *, namespace: str) -> bool:  # noqa: ARG002 - as the protocol has it
        return right not in self._lacking


async def test_declaring_what_is_new_and_replacing_what_is_there_are_rights_of_their_own(
    database: str, pool: Pool
) -> None:
    create, update = Right("create", "tasks"), Right("update", "tasks")
    await declare(pool, task("there", LOG))
    changed = task("there", LOG, priority=1)
    async with serving(database, gatekeeper=Limited(create)) as api:
        refused = await api.put(f"{TASKS}/new", json=task("new", LOG))
        assert "may not create tasks" in problem(refused, 403, "forbidden")["detail"]
        assert (await api.put(f"{TASKS}/there", json=changed)).status_code == 200
        problem(await api.post(TASKS, json=task("new", LOG)), 403, "forbidden")
        problem(await api.post(f"{TASKS}:batch", json={"items": [changed]}), 403, "forbidden")
    async with serving(database, gatekeeper=Limited(update)) as api:
        items = [task("new", LOG), task("there", LOG, priority=2)]
        refused = await api.post(f"{TASKS}:batch", json={"items": items})
        assert "may not update tasks" in problem(refused, 403, "forbidden")["detail"]
        problem(await api.get(f"{TASKS}/new"), 404, "not-found")
        denied = (await api.get(AUDIT, params={"decision": "Denied"})).json()["items"]
    assert [(line["verb"], line["object"]) for line in denied] == [("update", "tasks:batch"), ("create", "tasks/new")]

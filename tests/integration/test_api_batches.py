"""Many tasks in one request: all or none, and every mistake in its place."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from ordinaut.states import Origin
from ordinaut.store.pool import Pool
from ordinaut_api import body
from tests.declaring import declare, manifest, pipeline, task
from tests.integration.serving import TASKS, problem, serving

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("patient_api")]

LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}
BATCH = f"{TASKS}:batch"


@pytest.fixture
async def api(database: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(database) as client:
        yield client


def many(count: int, **more: Any) -> list[dict[str, Any]]:
    return [
        task(f"task-{n:04}", schedules=[{"cron": f"{n % 60} 8 * * *"}], pipelineRef={"name": "p"}, **more)
        for n in range(count)
    ]


async def names(pool: Pool) -> list[str]:
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT name FROM task WHERE deleted_at IS NULL ORDER BY name")
        return [row[0] for row in await cursor.fetchall()]


async def transactions(pool: Pool) -> int:
    async with pool.connection() as connection:
        row = await (await connection.execute("SELECT count(DISTINCT xmin::text) FROM task")).fetchone()
        assert row is not None
        return int(row[0])


async def test_a_thousand_are_one_transaction(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, pipeline("p", LOG))
    items = many(1000)
    made = await api.post(BATCH, json={"items": items}, timeout=60)
    assert made.status_code == 200, made.text
    said = made.json()["items"]
    assert [one["name"] for one in said] == [one["metadata"]["name"] for one in items]
    assert {one["result"] for one in said} == {"created"}
    assert len({one["uid"] for one in said}) == 1000
    assert len(await names(pool)) == 1000
    assert await transactions(pool) == 1
    found = (await api.get(f"{TASKS}/task-0999")).json()
    assert found["metadata"]["uid"] == said[999]["uid"]
    assert found["status"]["phase"] == "Scheduled"


async def test_each_says_what_became_of_it(api: httpx2.AsyncClient) -> None:
    items = many(3)
    first = (await api.post(BATCH, json={"items": items[:2]})).json()["items"]
    items[1]["spec"]["priority"] = 9
    again = (await api.post(BATCH, json={"items": items})).json()["items"]
    assert [one["result"] for one in again] == ["unchanged", "replaced", "created"]
    assert [one["uid"] for one in again[:2]] == [one["uid"] for one in first]


async def test_every_mistake_is_named_with_its_place_and_nothing_is_made(api: httpx2.AsyncClient, pool: Pool) -> None:
    items = many(40)
    items[17]["spec"]["schedules"][0]["cron"] = "60 * * * *"
    items[33]["spec"]["prioritty"] = 1
    items[35]["kind"] = "Tool"
    found = problem(await api.post(BATCH, json={"items": items}), 422, "invalid")
    fields = [error["field"] for error in found["errors"]]
    assert fields[0] == "items[17].spec.schedules[0].cron"
    assert fields[1] == "items[33].spec.prioritty"
    assert fields[2].startswith("items[35].")
    assert found["errors"][0]["pointer"] == "#/items/17/spec/schedules/0/cron"
    assert await names(pool) == []


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "items"),
        ({"items": []}, "items"),
        ({"items": {}}, "items"),
        ({"items": [1]}, "items[0]"),
        ({"items": [{}]}, "items[0].apiVersion"),
        ({"items": [task("a", LOG)], "more": 1}, "more"),
        ({"items": [task("a", LOG), task("b", LOG), task("a", LOG)]}, "items[2].metadata.name"),
        ({"items": [manifest("Pipeline", "a", {"steps": [LOG]})]}, "items[0].kind"),
        (
            {"items": [manifest("Task", "a", {"pipeline": {"steps": [LOG]}}, namespace="other")]},
            "items[0].metadata.namespace",
        ),
        ({"items": [task(f"t{n}", LOG) for n in range(1001)]}, "items"),
    ],
)
async def test_what_is_no_batch_is_refused(api: httpx2.AsyncClient, document: dict[str, Any], field: str) -> None:
    found = problem(await api.post(BATCH, json=document), 422, "invalid")
    assert found["errors"][0]["field"] == field


async def test_names_of_others_are_all_named_and_nothing_is_made(api: httpx2.AsyncClient, pool: Pool) -> None:
    await declare(pool, task("task-0001", LOG), task("task-0003", LOG), origin=Origin.KUBERNETES)
    found = problem(await api.post(BATCH, json={"items": many(5)}), 409, "conflict")
    assert [error["field"] for error in found["errors"]] == ["items[1].metadata.name", "items[3].metadata.name"]
    assert "Kubernetes resource" in found["errors"][0]["detail"]
    assert await names(pool) == ["task-0001", "task-0003"]


async def test_a_batch_may_be_larger_than_other_bodies_but_not_endless(api: httpx2.AsyncClient) -> None:
    filler = {"filler": "x" * 1000}
    large = json.dumps({"items": many(400, params=filler)}).encode()
    assert body.MAX_BODY < len(large) < body.MAX_BATCH
    headers = {"content-type": "application/json"}
    assert (await api.post(BATCH, content=large, headers=headers)).status_code == 200
    too_large = b'{"items": ["' + b"x" * body.MAX_BATCH + b'"]}'
    problem(await api.post(BATCH, content=too_large, headers=headers), 413, "too-large")
    too_many = b'{"items": [' + b"1," * body.MAX_VALUES + b"1]}"
    problem(await api.post(BATCH, content=too_many, headers=headers), 413, "too-large")


async def test_a_key_makes_a_batch_once(api: httpx2.AsyncClient, pool: Pool) -> None:
    key = {"idempotency-key": str(uuid.uuid4())}
    answers = await asyncio.gather(*(api.post(BATCH, json={"items": many(20)}, headers=key) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert {one["result"] for one in answers[0].json()["items"]} == {"created"}
    problem(await api.post(BATCH, json={"items": many(21)}, headers=key), 409, "idempotency-conflict")
    async with pool.connection() as connection:
        rows = await (await connection.execute("SELECT verb, object, detail FROM audit")).fetchall()
    assert [(verb, object_) for verb, object_, _ in rows] == [("create", "tasks:batch")]
    assert rows[0][2]["names"] == [one["metadata"]["name"] for one in many(20)]

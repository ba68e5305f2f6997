"""Backfills through the API: what is taken and refused, what is answered, and that asking twice does it once."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx2
import pytest

from ordinaut import shapes
from ordinaut.client import Client, Conflict
from ordinaut.store.pool import Pool
from ordinaut_operator.backfilling import Backfilling
from tests.declaring import declare, task
from tests.integration.serving import AUDIT, TASKS, problem, serving

pytestmark = pytest.mark.integration

LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}
DAILY = task("daily", LOG, schedules=[{"cron": "0 8 * * *"}])
PATH = f"{TASKS}/daily/backfills"
BACKFILLS = "/v1/namespaces/default/backfills"
WEEK = {"from": "2026-02-23T00:00:00Z", "to": "2026-03-01T23:59:59Z"}


@pytest.fixture
async def api(database: str, pool: Pool) -> AsyncIterator[httpx2.AsyncClient]:
    await declare(pool, DAILY)
    async with serving(database) as client:
        yield client


async def count(pool: Pool, table: str) -> int:
    async with pool.connection() as connection:
        row = await (await connection.execute(f"SELECT count(*) FROM {table}")).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return int(row[0])


async def test_a_backfill_is_planned_made_seen_and_cancelled(api: httpx2.AsyncClient, pool: Pool) -> None:
    answer = await api.post(PATH, json={**WEEK, "dryRun": True}, headers={"idempotency-key": "k"})
    assert answer.status_code == 200, answer.text
    plan = shapes.BackfillPlan.model_validate(answer.json())
    assert (plan.times, plan.already_fired, plan.to_make) == (7, 0, 7)
    assert answer.json()["items"] == [
        f"2026-{day}T08:00:00Z" for day in ("02-23", "02-24", "02-25", "02-26", "02-27", "02-28", "03-01")
    ]
    assert [await count(pool, table) for table in ("backfill", "audit", "idempotency", "fire")] == [0, 0, 0, 0]

    answer = await api.post(PATH, json={**WEEK, "maxActive": 2})
    assert answer.status_code == 201, answer.text
    made = shapes.Backfill.model_validate(answer.json())
    name = made.metadata.name
    assert answer.headers["location"] == f"{BACKFILLS}/{name}"
    assert answer.json()["spec"] == {"task": "daily", **WEEK, "maxActive": 2}
    assert (made.status.phase, made.status.to_make, made.status.made) == ("Active", 7, 0)
    assert made.status.requested_by == "local"

    assert await Backfilling(pool).advance() == 2
    seen = (await api.get(f"{BACKFILLS}/{name}")).json()
    assert (seen["status"]["made"], seen["status"]["active"]) == (2, 2)
    for listed in (PATH, BACKFILLS):
        assert (await api.get(listed)).json() == {"items": [seen]}
    fires = (await api.get(f"{TASKS}/daily/fires")).json()["items"]
    assert {fire["backfill"] for fire in fires} == {name}
    runs = (await api.get("/v1/namespaces/default/runs?trigger=backfill")).json()["items"]
    assert [run["metadata"]["name"] for run in runs] == [fire["run"] for fire in fires]
    assert {run["spec"]["priority"] for run in runs} == {0}

    cancelled = await api.post(f"{BACKFILLS}/{name}/cancel")
    assert cancelled.status_code == 202
    assert cancelled.json()["status"]["phase"] == "Cancelled"
    assert cancelled.json()["status"]["completionTime"]
    problem(await api.post(f"{BACKFILLS}/{name}/cancel"), 409, "conflict")
    again = (await api.post(PATH, json={**WEEK, "dryRun": True})).json()
    assert (again["alreadyFired"], again["toMake"]) == (2, 5)
    trail = (await api.get(AUDIT)).json()["items"]
    assert [(entry["verb"], entry["object"]) for entry in trail] == [
        ("cancel", f"backfills/{name}"),
        ("run", "tasks/daily/backfills"),
    ]


async def test_the_same_request_twice_makes_one_backfill(api: httpx2.AsyncClient, pool: Pool) -> None:
    key = {"idempotency-key": "last-week"}
    answers = await asyncio.gather(*(api.post(PATH, json=WEEK, headers=key) for _ in range(3)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["metadata"]["name"] for answer in answers}) == 1
    assert await count(pool, "backfill") == 1
    problem(await api.post(PATH, json={**WEEK, "maxActive": 9}, headers=key), 409, "idempotency-conflict")


@pytest.mark.parametrize(
    ("document", "field", "said"),
    [
        ({}, "from", "Required"),
        ({"from": "yesterday"}, "from", "RFC 3339"),
        ({"from": "2026-02-23"}, "from", "2026-03-01T09:00:00Z"),
        ({"from": 7}, "from", ""),
        ({"from": "1969-12-31T00:00:00Z"}, "from", "not a date and time"),
        ({**WEEK, "to": "2026-02-22T00:00:00Z"}, "from", "later than the end of the window, 2026-02-22T00:00:00Z"),
        ({**WEEK, "to": "later"}, "to", "later"),
        ({**WEEK, "to": "9998-01-01T00:00:00Z"}, "to", "later than now; it is "),
        ({"from": "9998-01-01T00:00:00Z"}, "from", "later than the end of the window"),
        ({"from": "1970-01-01T00:00:00Z"}, "from", "longer than 50 years; split it"),
        ({**WEEK, "maxActive": 0}, "maxActive", "1"),
        ({**WEEK, "maxActive": 1001}, "maxActive", "1000"),
        ({**WEEK, "maxActive": True}, "maxActive", ""),
        ({**WEEK, "dryRun": "yes"}, "dryRun", ""),
        ({**WEEK, "max_active": 2}, "max_active", "unknown field"),
        ({**WEEK, "priority": 9}, "priority", "unknown field"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    api: httpx2.AsyncClient, pool: Pool, document: dict[str, Any], field: str, said: str
) -> None:
    found = problem(await api.post(PATH, json=document), 422, "invalid")
    assert [error["field"] for error in found["errors"]] == [field]
    assert said in found["errors"][0]["detail"]
    assert await count(pool, "backfill") == 0


async def test_what_is_not_there_is_said(api: httpx2.AsyncClient) -> None:
    nobody = UUID(int=7)
    problem(await api.post(f"{TASKS}/nobody/backfills", json=WEEK), 404, "not-found")
    problem(await api.post(f"{TASKS}/nobody/backfills", json={**WEEK, "dryRun": True}), 404, "not-found")
    problem(await api.get(f"{TASKS}/nobody/backfills"), 404, "not-found")
    problem(await api.get(f"{BACKFILLS}/{nobody}"), 404, "not-found")
    problem(await api.post(f"{BACKFILLS}/{nobody}/cancel"), 404, "not-found")
    problem(await api.get(f"{BACKFILLS}/latest"), 422, "invalid")
    problem(await api.get(f"/v1/namespaces/other/backfills/{nobody}"), 404, "not-found")


async def test_a_window_with_nothing_in_it_is_over_at_once_and_says_why(api: httpx2.AsyncClient) -> None:
    answer = await api.post(PATH, json={"from": "2026-02-23T09:00:00Z", "to": "2026-02-23T10:00:00Z"})
    assert answer.status_code == 201
    assert answer.json()["status"]["phase"] == "Completed"
    assert answer.json()["status"]["message"].endswith("the next one after its beginning is 2026-02-24T08:00:00Z")


async def test_the_list_comes_in_pages(api: httpx2.AsyncClient) -> None:
    names = [(await api.post(PATH, json=WEEK)).json()["metadata"]["name"] for _ in range(5)]
    for listed in (PATH, BACKFILLS):
        found, cursor = [], ""
        while cursor is not None:
            page = (await api.get(listed, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
            found += [item["metadata"]["name"] for item in page["items"]]
            cursor = page.get("nextCursor")
        assert found == names[::-1]


async def test_the_client_makes_follows_and_cancels_a_backfill(api: httpx2.AsyncClient, pool: Pool) -> None:
    client = Client("http://127.0.0.1:8080", transport=api._transport)
    since, until = datetime(2026, 2, 23, tzinfo=UTC), datetime(2026, 2, 24, 12, tzinfo=UTC)
    plan = await client.tasks.plan_backfill("daily", from_=since, to=until)
    assert plan.to_make == 2
    made = await client.tasks.backfill("daily", from_=since, to=until, max_active=1)
    assert [one async for one in client.backfills.list()] == [one async for one in client.backfills.list(task="daily")]
    assert (await client.backfills.get(made.metadata.name)).spec == made.spec
    cancelled = await client.backfills.cancel(made.metadata.name)
    assert [one.status async for one in client.backfills.follow(made.metadata.name)] == [cancelled.status]
    with pytest.raises(Conflict):
        await client.backfills.cancel(made.metadata.name)

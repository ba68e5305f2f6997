"""Publishing and listing events, the audit trail."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from ordinaut.store.pool import Pool
from tests.declaring import task
from tests.integration.serving import AUDIT, EVENTS, TASKS, problem, serving

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("patient_api")]

LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}


@pytest.fixture
async def api(database: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(database) as client:
        yield client


async def items(api: httpx2.AsyncClient, path: str, **query: str) -> list[dict[str, Any]]:
    answer = await api.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def test_what_is_accepted_is_listed(api: httpx2.AsyncClient) -> None:
    one = await api.post(EVENTS, json={"type": "mail.received", "data": {"from": "ann"}, "subject": "inbox/7"})
    assert one.status_code == 202, one.text
    more = await api.post(
        EVENTS,
        json={"items": [{"type": "mail.read", "source": "/agents/reader"}, {"type": "mail.received", "data": 1}]},
    )
    ids = one.json()["ids"] + more.json()["ids"]
    assert len(set(ids)) == 3
    listed = await items(api, EVENTS)
    assert [event["id"] for event in listed] == ids[::-1]
    assert [event["type"] for event in listed] == ["mail.received", "mail.read", "mail.received"]
    assert (listed[2]["data"], listed[2]["subject"]) == ({"from": "ann"}, "inbox/7")
    assert listed[1]["source"] == "/agents/reader"
    assert [event["id"] for event in await items(api, EVENTS, type="mail.read")] == [ids[1]]
    assert await items(api, "/v1/namespaces/other/events") == []


async def test_what_happens_to_tasks_is_listed_too(api: httpx2.AsyncClient) -> None:
    await api.post(TASKS, json=task("told", LOG))
    assert {event["type"] for event in await items(api, EVENTS)} == {"io.ordinaut.task.applied"}


async def test_events_are_paged_without_loss_or_repetition(api: httpx2.AsyncClient) -> None:
    ids: list[str] = []
    for size in (3, 1, 4):
        batch = {"items": [{"type": "a.b", "data": n} for n in range(size)]}
        ids += (await api.post(EVENTS, json=batch)).json()["ids"]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await api.get(EVENTS, params={"limit": "3", **cursor})).json()
        seen += [event["id"] for event in page["items"]]
        if "nextCursor" not in page:
            break
        cursor = {"cursor": page["nextCursor"]}
        await api.post(EVENTS, json={"type": "a.b", "data": "newer than the cursor"})
    assert seen == ids[::-1]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "type"),
        ({"type": ""}, "type"),
        ({"type": 5}, "type"),
        ({"type": "x" * 129}, "type"),
        ({"type": "Not A Type"}, "type"),
        ({"type": "task.applied"}, "type"),
        ({"type": "a.b", "id": "a\nb"}, "id"),
        ({"type": "a.b", "time": "yesterday"}, "time"),
        ({"type": "a.b", "ordinautrun": "briefing"}, "ordinautrun"),
        ({"type": "a.b", "namespace": "other"}, "namespace"),
        ({"type": "a.b", "publisher": "boss"}, "publisher"),
        ({"type": "a.b", "data": "x" * 70_000}, "data"),
        ({"items": []}, "items"),
        ({"items": [{"type": "a.b"}] * 101}, "items"),
        ({"items": [{"type": "a.b"}, {"type": "a b"}]}, "items[1].type"),
        ({"items": [{"type": "a b"}]}, "items[0].type"),
        ({"items": [{"type": "a.b"}], "type": "a.b"}, "type"),
    ],
)
async def test_what_is_no_event_is_refused_and_nothing_of_it_is_published(
    api: httpx2.AsyncClient, document: dict[str, Any], field: str
) -> None:
    found = problem(await api.post(EVENTS, json=document), 422, "invalid")
    assert found["errors"][0]["field"] == field
    assert await items(api, EVENTS) == []


async def test_a_key_publishes_once(api: httpx2.AsyncClient) -> None:
    key = {"idempotency-key": str(uuid.uuid4())}
    answers = await asyncio.gather(*(api.post(EVENTS, json={"type": "a.b"}, headers=key) for _ in range(20)))
    assert len({answer.content for answer in answers}) == 1
    assert len(await items(api, EVENTS)) == 1


async def test_the_audit_trail_is_read_newest_first_and_filtered(api: httpx2.AsyncClient, pool: Pool) -> None:
    await api.post(TASKS, json=task("one", LOG), headers={"x-request-id": "first"})
    await api.post(f"{TASKS}/one/pause")
    await api.post(EVENTS, json={"type": "a.b"})
    await api.delete(f"{TASKS}/one")
    lines = await items(api, AUDIT)
    assert [(line["verb"], line["object"]) for line in lines] == [
        ("delete", "tasks/one"),
        ("create", "events"),
        ("pause", "tasks/one"),
        ("create", "tasks/one"),
    ]
    assert lines[3]["requestId"] == "first"
    assert {(line["actor"], line["decision"]) for line in lines} == {("local:local", "Allowed")}
    assert [line["id"] for line in await items(api, AUDIT, verb="pause")] == [lines[2]["id"]]
    assert await items(api, AUDIT, decision="Denied") == []
    assert await items(api, AUDIT, actor="somebody") == []
    assert await items(api, "/v1/namespaces/other/audit") == []
    first = (await api.get(AUDIT, params={"limit": "3"})).json()
    rest = (await api.get(AUDIT, params={"limit": "3", "cursor": first["nextCursor"]})).json()
    assert first["items"] + rest["items"] == lines
    for wrong in ({"decision": "Maybe"}, {"verb": "DROP TABLE"}, {"actor": ""}, {"cursor": first["nextCursor"][:-3]}):
        problem(await api.get(AUDIT, params=wrong), 422, "invalid")

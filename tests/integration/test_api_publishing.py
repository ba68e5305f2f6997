"""Publishing over HTTP in each of its forms: CloudEvents in structured, batched and binary mode, and plain JSON."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.integration.serving import EVENTS, problem, serving

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("patient_api")]

STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}
BATCHED = {"content-type": "application/cloudevents-batch+json"}
RUN = "019ab0d2-7c1e-7cc3-98c4-dc0c0c07398f"
EVENT = {
    "specversion": "1.0",
    "id": "C234-1234-1234",
    "source": "/mycontext",
    "type": "com.example.someEvent",
    "time": "2018-04-05T17:31:00Z",
    "subject": "Grüße",
    "comexampleextension1": "value",
    "datacontenttype": "application/json",
    "data": {"appinfoA": "abc", "appinfoB": 123, "appinfoC": True},
}
HEADERS = {
    "ce-specversion": "1.0",
    "ce-id": "C234-1234-1234",
    "ce-source": "/mycontext",
    "ce-type": "com.example.someEvent",
    "ce-time": "2018-04-05T17:31:00Z",
    "ce-subject": "Gr%C3%BC%C3%9Fe",
    "ce-comexampleextension1": "value",
    "content-type": "application/json",
}
SERVER = {"namespace": "default", "publisher": "local"}


@pytest.fixture
async def api(database: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(database) as client:
        yield client


async def listed(api: httpx2.AsyncClient) -> list[dict[str, Any]]:
    answer = await api.get(EVENTS)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def accepted(api: httpx2.AsyncClient, content: Any, headers: dict[str, str]) -> list[str]:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    answer = await api.post(EVENTS, content=raw, headers=headers)
    assert answer.status_code == 202, answer.text
    return list(answer.json()["ids"])


async def test_one_event_is_the_same_in_every_form(api: httpx2.AsyncClient) -> None:
    plain = {name: EVENT[name] for name in ("type", "id", "source", "time", "subject", "data")}
    places = [
        *await accepted(api, EVENT, STRUCTURED),
        *await accepted(api, [EVENT], BATCHED),
        *await accepted(api, EVENT["data"], HEADERS),
        *await accepted(api, plain, {"content-type": "application/json"}),
    ]
    assert len(set(places)) == 4
    whole = EVENT | SERVER
    without = {name: value for name, value in whole.items() if name != "comexampleextension1"}
    assert await listed(api) == [without, whole, whole, whole]


async def test_data_that_are_no_json_go_through_unchanged(api: httpx2.AsyncClient) -> None:
    await accepted(api, b"\x89PNG\r\n", HEADERS | {"content-type": "image/png"})
    await accepted(api, b"<much wow='xml'/>", HEADERS | {"content-type": "application/xml"})
    await accepted(api, b"", HEADERS | {"content-type": ""})
    nothing, text, raw = await listed(api)
    assert (raw["data_base64"], raw["datacontenttype"]) == ("iVBORw0K", "image/png")
    assert (text["data"], text["datacontenttype"]) == ("<much wow='xml'/>", "application/xml")
    assert not nothing.keys() & {"data", "data_base64", "datacontenttype"}


async def test_an_event_tells_the_run_that_caused_it(api: httpx2.AsyncClient) -> None:
    await accepted(api, {"type": "a.b", "ordinautrun": RUN}, {"content-type": "application/json"})
    await accepted(api, EVENT | {"ordinautrun": RUN}, STRUCTURED)
    await accepted(api, b"1", HEADERS | {"ce-ordinautrun": RUN})
    assert [event["ordinautrun"] for event in await listed(api)] == [RUN] * 3


async def test_a_batch_keeps_its_order_and_may_be_empty(api: httpx2.AsyncClient) -> None:
    batch = [EVENT | {"id": str(number)} for number in range(100)]
    assert len(await accepted(api, batch, BATCHED)) == 100
    assert await accepted(api, [], BATCHED) == []
    assert [event["id"] for event in await listed(api)][:3] == ["99", "98", "97"]


WRONG: list[Any] = [
    pytest.param(EVENT | {"id": None}, STRUCTURED, ["id"], id="structured-required"),
    pytest.param(EVENT | {"type": "run.failed", "myExt": 1}, STRUCTURED, ["type", "myExt"], id="structured"),
    pytest.param(EVENT | SERVER, STRUCTURED, ["namespace", "publisher"], id="structured-forged"),
    pytest.param([EVENT, EVENT | {"id": 5}, 7], BATCHED, ["[1].id", "[2]"], id="batched-form"),
    pytest.param([EVENT, EVENT | {"type": "run.failed"}], BATCHED, ["[1].type"], id="batched-second"),
    pytest.param([EVENT | {"type": "run.failed"}], BATCHED, ["[0].type"], id="batched-only"),
    pytest.param([EVENT] * 101, BATCHED, [""], id="batched-many"),
    pytest.param(b"1", {"ce-id": "1", "content-type": "application/json"}, None, id="binary-required"),
    pytest.param(b"1", HEADERS | {"ce-type": "task.x"}, ["ce-type"], id="binary-type"),
    pytest.param(b"1", HEADERS | {"ce-subject": "%FF"}, ["ce-subject"], id="binary-utf8"),
    pytest.param(b"1", HEADERS | {"ce-publisher": "boss"}, ["ce-publisher"], id="binary-forged"),
    pytest.param(b"1", HEADERS | {"content-type": "json"}, ["content-type"], id="binary-content-type"),
    pytest.param(b"{", HEADERS, ["data"], id="binary-no-json"),
    pytest.param(b"x" * 65_537, HEADERS | {"content-type": "text/plain"}, ["data"], id="binary-large"),
]


@pytest.mark.parametrize(("content", "headers", "fields"), WRONG)
async def test_mistakes_are_told_with_the_place_where_they_were_made(
    api: httpx2.AsyncClient, content: Any, headers: dict[str, str], fields: list[str] | None
) -> None:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    errors = problem(await api.post(EVENTS, content=raw, headers=headers), 422, "invalid")["errors"]
    assert [error["field"] for error in errors] == (fields or ["ce-specversion", "ce-source", "ce-type"])
    assert all(error["remedy"] for error in errors)
    assert await listed(api) == []


@pytest.mark.parametrize(
    ("content", "headers", "status", "slug"),
    [
        (b"[]", STRUCTURED, 400, "malformed"),
        (b"{}", BATCHED, 400, "malformed"),
        (b"{", STRUCTURED, 400, "malformed"),
        (b"{}", {"content-type": "application/cloudevents+avro"}, 415, "unsupported-media-type"),
        (b"{}", {"content-type": "application/cloudevents"}, 415, "unsupported-media-type"),
        (b"hi", {"content-type": "text/plain"}, 415, "unsupported-media-type"),
        (b"1", HEADERS | {"content-encoding": "gzip"}, 415, "unsupported-media-type"),
        (b"1" * 300_000, STRUCTURED, 413, "too-large"),
        (b"1" * 300_000, HEADERS, 413, "too-large"),
    ],
)
async def test_what_is_no_event_at_all_is_refused(
    api: httpx2.AsyncClient, content: bytes, headers: dict[str, str], status: int, slug: str
) -> None:
    answer = await api.post(EVENTS, content=content, headers=headers)
    problem(answer, status, slug)
    if status == 415 and "content-encoding" not in headers:
        assert "application/cloudevents+json" in answer.headers["accept-post"]


async def test_headers_count_for_a_key_as_the_body_does(api: httpx2.AsyncClient) -> None:
    key = {"idempotency-key": "7"}
    (first,) = await accepted(api, b"1", HEADERS | key)
    assert await accepted(api, b"1", HEADERS | key) == [first]
    problem(await api.post(EVENTS, content=b"1", headers=HEADERS | key | {"ce-id": "2"}), 409, "idempotency-conflict")
    assert len(await listed(api)) == 1

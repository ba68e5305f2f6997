"""Deliveries to hooks: which become events, and that each does once."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from prometheus_client import REGISTRY

from ordinaut.events.attributes import MAX_DATA
from ordinaut.store import hooks
from ordinaut.store.pool import Pool
from ordinaut_api.body import MAX_BODY
from tests import signing
from tests.declaring import hook
from tests.integration.serving import AUDIT, EVENTS, problem, serving

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("patient_api")]

HOOKS = "/v1/namespaces/default/hooks"
STANDARD = signing.standard_secret(b"a key of standard webhooks")
GITHUB = "It's a Secret to Everybody"
STRIPE = "whsec_of_stripe"
BODY = b'{"type": "order.paid", "id": "evt_1", "data": {"order": 7}}'


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """Keys of the hooks, in a folder."""
    for name, text in (("shop", STANDARD), ("github", GITHUB), ("stripe", STRIPE)):
        keep(tmp_path, name, text)
    return tmp_path


def keep(folder: Path, name: str, text: str, *, key: str = "key") -> None:
    path = folder / "default" / name / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
async def api(database: str, secrets: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with serving(database, secrets_dir=secrets) as client:
        await declared(client)
        yield client


async def declared(api: httpx2.AsyncClient) -> None:
    for one in (
        hook("shop", "shop.>"),
        hook("github", "github.>", style="GitHub"),
        hook("stripe", "payment.changed", style="Stripe"),
    ):
        answer = await api.post(HOOKS, json=one)
        assert answer.status_code == 201, answer.text


async def deliver(api: httpx2.AsyncClient, name: str, headers: dict[str, str], body: bytes = BODY) -> httpx2.Response:
    return await api.post(f"{HOOKS}/{name}", content=body, headers=headers)


async def events(api: httpx2.AsyncClient) -> list[dict[str, Any]]:
    answer = await api.get(EVENTS)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("ordinaut_webhooks_total", {"outcome": outcome}) or 0.0


@pytest.mark.parametrize(
    ("name", "headers", "type_", "id_"),
    [
        ("shop", lambda: signing.standard(STANDARD, BODY, id_="msg_7"), "shop.order.paid", "msg_7"),
        ("shop", lambda: signing.standard(STANDARD, BODY, id_="msg_7", by="svix"), "shop.order.paid", "msg_7"),
        ("github", lambda: signing.github(GITHUB, BODY, id_="d-1", event="push"), "github.push", "d-1"),
        ("stripe", lambda: signing.stripe(STRIPE, BODY), "payment.changed", "evt_1"),
    ],
    ids=["Standard", "Svix", "GitHub", "Stripe"],
)
async def test_a_signed_delivery_becomes_an_event(
    api: httpx2.AsyncClient, name: str, headers: Callable[[], dict[str, str]], type_: str, id_: str
) -> None:
    answer = await deliver(api, name, headers())

    assert answer.status_code == 202, answer.text
    assert answer.json() == {"id": id_, "type": type_, "repeated": False}
    (event,) = await events(api)
    assert (event["type"], event["data"]) == (type_, orjson.loads(BODY))
    assert event["source"] == f"/ordinaut/namespaces/default/hooks/{name}"
    assert (event["namespace"], event["publisher"]) == ("default", f"ordinaut:hook:{name}")
    (line,) = (await api.get(AUDIT, params={"verb": "deliver"})).json()["items"]
    assert (line["actor"], line["object"]) == (f"local:ordinaut:hook:{name}", f"hooks/{name}")


async def test_what_is_delivered_again_is_accepted_without_another_event(api: httpx2.AsyncClient) -> None:
    accepted, repeated = counted("accepted"), counted("repeated")
    signed = signing.standard(STANDARD, BODY, at=time.time() - 20)
    anew = signing.standard(STANDARD, BODY)
    answers = [await deliver(api, "shop", headers) for headers in (signed, signed, anew)]

    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert [answer.json()["repeated"] for answer in answers] == [False, True, True]
    assert len(await events(api)) == 1
    assert (counted("accepted") - accepted, counted("repeated") - repeated) == (1, 2)
    await deliver(api, "shop", signing.standard(STANDARD, BODY, id_="msg_2"))
    assert len(await events(api)) == 2


async def test_of_deliveries_at_the_same_time_one_becomes_an_event(api: httpx2.AsyncClient) -> None:
    signed = signing.github(GITHUB, BODY)
    answers = await asyncio.gather(*(deliver(api, "github", signed) for _ in range(6)))

    assert sorted(answer.json()["repeated"] for answer in answers) == [False, True, True, True, True, True]
    assert len(await events(api)) == 1


async def test_a_delivery_without_an_id_is_known_by_what_is_signed(api: httpx2.AsyncClient) -> None:
    body = b'{"amount": 1}'
    now = time.time()
    answers = [await deliver(api, "stripe", signing.stripe(STRIPE, body, at=at), body) for at in (now, now, now - 1)]

    assert [answer.json()["repeated"] for answer in answers] == [False, True, False]
    assert len({answer.json()["id"] for answer in answers}) == 2


async def test_the_same_id_at_another_hook_is_another_delivery(api: httpx2.AsyncClient) -> None:
    keep_same = signing.standard(STANDARD, BODY)
    await api.post(HOOKS, json={**hook("second", "b.c"), "spec": hook("shop", "b.c")["spec"]})

    assert (await deliver(api, "shop", keep_same)).json()["repeated"] is False
    assert (await deliver(api, "second", keep_same)).json()["repeated"] is False
    first, second = await events(api)
    assert first["source"] != second["source"]


async def test_deliveries_are_known_for_days_and_then_forgotten(api: httpx2.AsyncClient, pool: Pool) -> None:
    await deliver(api, "shop", signing.standard(STANDARD, BODY))
    async with pool.connection() as connection:
        assert await hooks.forget(connection) == 0
        await connection.execute("UPDATE hook_delivery SET accepted_at = now() - interval '71 h'")
        assert await hooks.forget(connection) == 0
        await connection.execute("UPDATE hook_delivery SET accepted_at = now() - interval '73 h'")
        assert await hooks.forget(connection) == 1


async def test_either_of_two_keys_may_have_signed(api: httpx2.AsyncClient, secrets: Path) -> None:
    new = signing.standard_secret(b"the new key")
    keep(secrets, "turning", STANDARD, key="old")
    keep(secrets, "turning", new, key="new")
    await api.post(HOOKS, json=hook("turning", "a.b", keys=["old", "new"]))

    for n, secret in enumerate((STANDARD, new)):
        answer = await deliver(api, "turning", signing.standard(secret, BODY, id_=f"m{n}"))
        assert answer.status_code == 202, answer.text
    other = signing.standard(signing.standard_secret(b"a third"), BODY)
    problem(await deliver(api, "turning", other), 401, "unauthenticated")


def wrong_headers() -> list[dict[str, str]]:
    good = signing.standard(STANDARD, BODY)
    return [
        {},
        signing.JSON,
        {**good, "webhook-signature": "v1,c29tZXRoaW5n"},
        {key: value for key, value in good.items() if key != "webhook-timestamp"},
        signing.standard(signing.standard_secret(b"another key"), BODY),
        signing.github(GITHUB, BODY),
        signing.stripe(STRIPE, BODY),
        signing.standard(STANDARD, BODY + b" "),
        {**good, "authorization": "Bearer x", "webhook-signature": "v1,"},
    ]


async def test_strangers_get_one_answer_whatever_is_wrong_and_leave_nothing(api: httpx2.AsyncClient) -> None:
    before, lines = counted("refused"), len((await api.get(AUDIT)).json()["items"])
    told = [problem(await deliver(api, "shop", headers), 401, "unauthenticated") for headers in wrong_headers()]
    for path in (f"{HOOKS}/unknown", "/v1/namespaces/other/hooks/shop", f"{HOOKS}/NO.name"):
        answer = await api.post(path, content=BODY, headers=signing.standard(STANDARD, BODY))
        told.append(problem(answer, 401, "unauthenticated"))
        assert answer.headers["www-authenticate"] == 'Signature realm="ordinaut"'

    assert len({one["detail"] for one in told}) == 1
    assert counted("refused") - before == len(told)
    assert await events(api) == []
    assert len((await api.get(AUDIT)).json()["items"]) == lines


@pytest.mark.parametrize("moved", [-400, 400])
@pytest.mark.parametrize("style", ["Standard", "Stripe"])
async def test_a_signature_of_another_time_is_refused_though_it_is_good(
    api: httpx2.AsyncClient, style: str, moved: int
) -> None:
    before, at = counted("late"), time.time() + moved
    name, headers = {
        "Standard": ("shop", signing.standard(STANDARD, BODY, at=at)),
        "Stripe": ("stripe", signing.stripe(STRIPE, BODY, at=at)),
    }[style]

    assert "more than 300 s" in problem(await deliver(api, name, headers), 401, "unauthenticated")["detail"]
    assert counted("late") - before == 1
    assert await events(api) == []


async def test_a_key_that_can_not_be_read_has_the_sender_try_again(api: httpx2.AsyncClient, secrets: Path) -> None:
    before = counted("unavailable")
    await api.post(HOOKS, json=hook("half", "a.b", keys=["key", "missing"]))
    keep(secrets, "half", STANDARD)
    await api.post(HOOKS, json=hook("none", "a.b"))

    assert (await deliver(api, "half", signing.standard(STANDARD, BODY))).status_code == 202
    for name in ("half", "none"):
        other = signing.standard(signing.standard_secret(b"perhaps the missing one"), BODY)
        answer = await deliver(api, name, other)
        found = problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"]
        assert "none" not in found["detail"]
        assert str(secrets) not in answer.text
    assert counted("unavailable") - before == 2


@pytest.mark.parametrize(
    ("body", "media", "status", "slug"),
    [
        (b"payload=%7B%7D", "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
        (b"{", "application/json", 400, "malformed"),
        (b"[]", "application/json; charset=utf-8", 400, "malformed"),
        (b'{"a": 1, "a": 2}', "application/json", 400, "malformed"),
        (b'{"a": "' + b"x" * MAX_DATA + b'"}', "application/json", 413, "too-large"),
    ],
    ids=["a form", "no JSON", "a list", "two meanings", "too much"],
)
async def test_what_is_signed_and_no_event_is_refused(
    api: httpx2.AsyncClient, body: bytes, media: str, status: int, slug: str
) -> None:
    before = counted("invalid")
    headers = {**signing.github(GITHUB, body), "content-type": media}

    problem(await deliver(api, "github", headers, body), status, slug)
    assert counted("invalid") - before == 1
    assert await events(api) == []
    # Nothing of it is remembered: mended, it may come again.
    assert (await deliver(api, "github", signing.github(GITHUB, BODY))).json()["repeated"] is False


async def test_a_body_of_any_size_is_read_up_to_the_limit_only(api: httpx2.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536

    answer = await api.post(f"{HOOKS}/github", content=endless(), headers=signing.github(GITHUB, b""))

    problem(answer, 413, "too-large")
    spaced = orjson.dumps({"a": 1}) + b" " * (MAX_BODY - 10)
    assert (await deliver(api, "github", signing.github(GITHUB, spaced), spaced)).status_code == 202


async def test_a_hook_that_is_gone_or_changed_counts_at_once(api: httpx2.AsyncClient) -> None:
    assert (await deliver(api, "shop", signing.standard(STANDARD, BODY))).status_code == 202
    changed = await api.patch(
        f"{HOOKS}/shop",
        json={"spec": {"topic": "store.changed"}},
        headers={"content-type": "application/merge-patch+json"},
    )
    assert changed.status_code == 200, changed.text
    assert (await deliver(api, "shop", signing.standard(STANDARD, BODY, id_="m2"))).json()["type"] == "store.changed"
    assert (await api.delete(f"{HOOKS}/shop")).status_code == 204
    problem(await deliver(api, "shop", signing.standard(STANDARD, BODY, id_="m3")), 401, "unauthenticated")


async def test_a_hook_takes_so_many_a_minute_and_strangers_use_up_none(
    database: str, secrets: Path, tmp_path: Path
) -> None:
    (tmp_path / "access.yaml").write_text("tokens: []\n", encoding="utf-8")
    async with serving(database, secrets_dir=secrets) as local:
        await declared(local)
    named = {"authentication": "tokens", "access_file": tmp_path / "access.yaml"}
    async with serving(database, secrets_dir=secrets, rate_limit=2, rate_limit_failures=1, **named) as api:
        for _ in range(5):
            problem(await deliver(api, "github", {**signing.github("guessed", BODY)}), 401, "unauthenticated")
        answers = [await deliver(api, "github", signing.github(GITHUB, BODY, id_=f"d{n}")) for n in range(3)]
        assert [answer.status_code for answer in answers] == [202, 202, 429]
        assert int(answers[2].headers["retry-after"]) > 0
        assert (await deliver(api, "stripe", signing.stripe(STRIPE, BODY))).status_code == 202


async def test_hooks_are_objects_like_others(api: httpx2.AsyncClient) -> None:
    listed = (await api.get(HOOKS)).json()["items"]
    assert [one["metadata"]["name"] for one in listed] == ["github", "shop", "stripe"]
    one = (await api.get(f"{HOOKS}/github")).json()
    assert one["kind"] == "Hook"
    assert one["spec"]["signature"]["secretRefs"] == [{"name": "github", "key": "key"}]
    assert one["status"]["conditions"][0]["status"] == "True"
    quota = (await api.get("/v1/namespaces/default/quota")).json()
    assert (quota["used"]["hooks"], quota["limits"]["hooks"]) == (3, 100)
    wrong = hook("wrong", "run.failed")
    found = problem(await api.post(HOOKS, json=wrong), 422, "invalid")
    assert found["errors"][0]["field"] == "spec.topic"

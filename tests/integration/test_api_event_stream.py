"""Following events live: filters, tenants, going on after a break, slow readers, and the end of a stream."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from starlette.datastructures import Headers

from ordinaut.access.caller import Caller
from ordinaut.access.rights import Right
from ordinaut.events.envelope import compact_type
from ordinaut.store.pool import Pool
from ordinaut_api.identity.gatekeeper import LOCAL
from tests.integration.following import STREAM, following, happened, move, published, write
from tests.integration.serving import EVENTS, listening, problem

pytestmark = pytest.mark.integration


@pytest.fixture
async def api(database: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with listening(database) as client, asyncio.timeout(120):
        yield client


async def test_what_happens_is_told_at_once_as_it_is_listed(api: httpx2.AsyncClient, pool: Pool) -> None:
    await write(pool, published("mail.received", "before"))
    async with following(api) as follower:
        answer = await api.post(EVENTS, json={"items": [{"type": "mail.received", "data": n} for n in (1, 2)]})
        await move(pool)
        first, second = await follower.take(2)

    listed = (await api.get(EVENTS)).json()["items"]
    assert follower.response.headers["content-type"].startswith("text/event-stream")
    assert [first["event"], second["event"]] == ["mail.received"] * 2
    assert [first["data"], second["data"]] == listed[1::-1]
    assert [first["data"]["id"], second["data"]["id"]] == answer.json()["ids"]
    assert first["id"].endswith("-0")
    assert second["id"].endswith("-1")


RUN = "019ab0d2-7c1e-7cc3-98c4-dc0c0c07398f"

ROWS = [
    published("mail.received", 1, subject="inbox/7") + happened("task.applied"),
    happened("run.failed", run=RUN) + happened("run.failed", task="tt", run=RUN[::-1]),
    published("mail.read.twice", 2, subject="inbox/7/x"),
    published("other", 3, subject="inbox/77") + happened("run.succeeded", task="tt"),
    published("mail.end", 4, subject="inbox/7") + happened("run.failed", run=RUN),  # each wants one of these
]


WANTED: list[tuple[dict[str, Any], str]] = [
    ({"topic": "mail.*"}, "mail.received mail.end"),
    ({"topic": ["mail.>", "run.failed"]}, "mail.received run.failed run.failed mail.read.twice mail.end run.failed"),
    ({"type": "io.ordinaut.run.failed"}, "run.failed run.failed run.failed"),
    ({"type": "other", "topic": "io.ordinaut.task.>"}, "task.applied other"),
    ({"topic": ">"}, "mail.received mail.read.twice other mail.end"),
    ({"topic": "*.failed", "type": "mail.end"}, "mail.end"),
    ({"subject": "inbox/7"}, "mail.received mail.read.twice mail.end"),
    ({"subject": "tasks/t"}, "task.applied run.failed run.failed"),
    ({"task": "t"}, "task.applied run.failed run.failed"),
    ({"run": RUN}, "run.failed run.failed"),
    ({"run": RUN, "topic": "mail.>", "type": "run.succeeded"}, ""),
]


async def test_the_same_is_followed_and_listed(api: httpx2.AsyncClient, pool: Pool) -> None:
    await write(pool, *ROWS[:2])
    async with contextlib.AsyncExitStack() as open_streams:
        followers = [await open_streams.enter_async_context(following(api, after="0", **query)) for query, _ in WANTED]
        await write(pool, *ROWS[2:])
        for follower, (query, told) in zip(followers, WANTED, strict=True):
            types = [compact_type(one["event"]) for one in await follower.take(len(told.split()))]
            assert types == told.split(), query
    for query, told in WANTED:
        items = (await api.get(EVENTS, params=query)).json()["items"]
        assert [compact_type(one["type"]) for one in items] == told.split()[::-1], query


async def test_a_namespace_sees_its_own_events_only(api: httpx2.AsyncClient, pool: Pool) -> None:
    async with following(api) as ours, following(api, "/v1/namespaces/other/events/stream") as theirs:
        mixed = published("a.b", 1) + published("a.b", "theirs", namespace="other") + published("a.b", 2)
        await write(pool, mixed, published("a.b", "also theirs", namespace="other"), published("a.b", 3))
        assert await ours.data(3) == [1, 2, 3]
        assert await theirs.data(2) == ["theirs", "also theirs"]


async def test_who_comes_back_is_told_what_it_has_missed_and_nothing_twice(api: httpx2.AsyncClient, pool: Pool) -> None:
    await write(pool, published("a.b", 1, 2, 3), published("c.d", 0), published("a.b", 4))
    async with following(api, after="0", topic="a.b") as follower:
        first, second, *_ = await follower.take(4)
    assert [first["data"]["data"], second["data"]["data"]] == [1, 2]

    async with following(api, last=second["id"], after="0") as follower:
        assert await follower.data(3) == [3, 0, 4]
        await write(pool, published("a.b", 5))
        (last,) = await follower.take(1)

    async with following(api, after=last["id"].partition("-")[0]) as follower:
        await write(pool, published("a.b", 6))
        assert await follower.data(1) == [6]


LOSE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'ordinaut-api%'"


async def test_a_follower_hears_of_news_and_outlives_lost_connections(
    api: httpx2.AsyncClient, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordinaut_api.tailing.tailer.LOOK", 600.0)  # so it must hear
    async with following(api) as follower:
        for number in range(3):
            await write(pool, published("a.b", number))
            assert await follower.data(1) == [number]
    monkeypatch.undo()
    async with following(api) as follower:
        for number in range(3):
            async with pool.connection() as connection:
                await connection.execute(LOSE)
            await write(pool, published("a.b", number))
            assert await follower.data(1) == [number]


async def test_a_stream_may_begin_at_a_time(api: httpx2.AsyncClient, pool: Pool) -> None:
    await write(pool, published("a.b", 1))
    middle = (await api.get(EVENTS)).json()["items"][0]["time"]
    async with following(api, since=middle) as follower:
        assert await follower.data(1) == [1]
    async with following(api, since="2099-01-01T00:00:00Z") as follower:
        await write(pool, published("a.b", 2))
        assert await follower.data(1) == [2]


async def test_thousands_of_events_reach_everybody_in_their_order_also_slow_readers_and_late_ones(
    api: httpx2.AsyncClient, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordinaut_api.tailing.tailer.MAX_WAITING", 20_000)  # everybody falls behind
    monkeypatch.setattr("ordinaut_api.tailing.reader.MAX_PIECE", 10_000)
    monkeypatch.setattr("ordinaut_api.tailing.reader.NEAR", 10)
    monkeypatch.setattr("ordinaut.store.following.SPAN", 25)
    async with following(api) as quick, following(api, topic="a.b") as slow:
        for start in range(0, 3000, 500):
            rows = [published("a.b", *range(at, at + 5)) for at in range(start, start + 500, 5)]
            await write(pool, *rows, published("c.d", 0))
        assert [one for one in await quick.data(3006) if one][-1] == 2999
        assert await slow.data(3000) == [*range(3000)]
    async with following(api, after="0", topic="a.>") as late:
        assert await late.data(3000) == [*range(3000)]


async def test_what_is_not_kept_any_more_is_told_as_a_gap(api: httpx2.AsyncClient, pool: Pool) -> None:
    await write(pool, published("a.b", 1), published("a.b", 2), published("a.b", 3))
    async with following(api, after="0") as follower:
        first, *_ = await follower.take(3)
    position = int(first["id"].partition("-")[0])
    async with pool.connection() as connection:
        await connection.execute("DELETE FROM event_log WHERE position <= %s", (position + 1,))

    async with following(api, last=first["id"]) as follower:
        gap, third = await follower.take(2)
        assert (gap["event"], gap["data"]) == ("gap", {"after": first["id"], "until": str(position + 1)})
        assert gap["id"] == str(position + 1)
        assert third["data"]["data"] == 3
    # After a restore, others were given these positions.
    async with following(api, last=f"{position + 1000}-0") as follower:
        (gap,) = await follower.take(1)
        assert (gap["event"], gap["id"]) == ("gap", str(position + 2))
        await write(pool, published("a.b", 4))
        assert await follower.data(1) == [4]


async def test_a_quiet_stream_says_where_it_stands(
    api: httpx2.AsyncClient, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordinaut_api.streams.HEARTBEAT", 0.05)
    async with following(api, topic="hardly.ever") as quiet, following(api) as follower:
        await write(pool, published("a.b", 1))
        (told,) = await follower.take(1)
        lines = quiet.response.aiter_lines()
        while (line := await anext(lines)) != f"id: {told['id'].partition('-')[0]}":
            assert line == "" or line.startswith("id: ")
    async with following(api, last=line.removeprefix("id: ")) as resumed:
        await write(pool, published("a.b", 2))
        assert await resumed.data(1) == [2]


async def test_a_stream_ends_when_the_process_is_asked_to_stop(database: str, pool: Pool) -> None:
    stop = asyncio.Event()
    async with listening(database, stopping=stop.is_set) as api, following(api) as follower:
        stop.set()
        (end,) = await follower.take(1)
        assert (end["event"], end["data"]) == ("end", {"reason": "reconnect"})
        assert 0 < int(end["retry"]) < 10_000


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"topic": "mail..x"}, "topic[0]"),
    ({"type": "mail.*"}, "type"),
    ({"topic": ["a"] * 17}, "topic"),
    ({"after": "yesterday"}, "after"),
    ({"after": "-1"}, "after"),
    ({"subject": "a\nb"}, "subject"),
    ({"subject": ""}, "subject"),
    ({"run": "7"}, "run"),
    ({"topik": "a"}, "topik"),
]


async def test_what_cannot_be_followed_is_refused_by_name(api: httpx2.AsyncClient) -> None:
    for query, field in WRONG:
        found = problem(await api.get(STREAM, params=query), 422, "invalid")
        assert [one["field"] for one in found["errors"]] == [field]
        assert found["errors"][0]["remedy"]
    for wrong in ("5feceb66ffc86f38", "1-2-3", "9223372036854775808"):
        found = problem(await api.get(STREAM, headers={"Last-Event-ID": wrong}), 422, "invalid")
        assert found["errors"][0]["field"] == "Last-Event-ID"


async def test_streams_of_all_kinds_count_for_their_caller_and_for_the_process(
    database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(database, api_max_streams=2) as api, asyncio.timeout(60):
        async with following(api), following(api):
            problem(await api.get(STREAM), 429, "rate-limited")
        monkeypatch.setattr("ordinaut_api.streams.MAX_OPEN", 0)
        while (answer := await api.get(STREAM)).status_code == 429:
            await asyncio.sleep(0.05)
        problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"]


async def test_who_reads_nothing_is_disconnected_and_whoever_reads_slowly_is_not(
    database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordinaut_api.streams.PATIENCE", 0.3)
    await write(pool, *[published("a.b", "x" * 60_000) for _ in range(200)])
    async with listening(database, api_max_streams=1) as api, asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(api.base_url.host, api.base_url.port, limit=4096)
        writer.write(f"GET {STREAM}?after=0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        while (answer := await api.send(api.build_request("GET", f"{STREAM}?after=0"), stream=True)).status_code == 429:
            await answer.aclose()
            await asyncio.sleep(0.02)
        assert answer.status_code == 200
        writer.close()
        events = 0
        async for line in answer.aiter_lines():  # some at a time, with pauses that are shorter than the patience
            events += line.startswith("event: a.b")
            if events % 50 == 49:
                await asyncio.sleep(0.02)
            if events == 200:
                break
        await answer.aclose()


class Fickle:
    """Lets everybody in, and lets nobody stay when it has been told so."""

    def __init__(self) -> None:
        self.allowed = True

    async def authenticate(self, _headers: Headers, *, peer: str) -> Caller:  # noqa: ARG002 - part of the protocol
        return LOCAL

    async def allows(self, _caller: Caller, _right: Right, *, namespace: str) -> bool:  # noqa: ARG002 - as above
        return self.allowed


async def test_who_has_lost_the_right_is_told_no_more(
    database: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordinaut_api.streams.ASK_AGAIN", 0.0)
    monkeypatch.setattr("ordinaut_api.streams.HEARTBEAT", 0.05)
    gatekeeper = Fickle()
    async with listening(database, gatekeeper=gatekeeper) as api, following(api) as follower:
        await write(pool, published("a.b", 1))
        assert await follower.data(1) == [1]
        gatekeeper.allowed = False
        (end,) = await follower.take(1)
        assert (end["event"], end["data"]) == ("end", {"reason": "forbidden"})
        problem(await api.get(STREAM), 403, "forbidden")

"""How Redis is reached: by sentinels, as a user with few rights; and what is said where it can't be worked with."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import redis
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from ordinaut.events import inbox, stream
from ordinaut.events.connection import connect, explained
from tests.servers import WatchedValkeys

pytestmark = pytest.mark.integration

EVENT = {"id": "1-0", "type": "x", "subject": "s"}
PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


@pytest.fixture
def watched() -> Iterator[WatchedValkeys]:
    servers = WatchedValkeys()
    yield servers
    servers.close()


async def append(client: Redis, number: int) -> None:
    await stream.append_anywhere(client, [(f"{number}-0", (number, 0), EVENT)], max_length=1000)


async def in_the_end(work: Callable[[], Any]) -> Any:
    """Return what something returns that Redis refuses for a while."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await work()
            except redis.RedisError:
                await asyncio.sleep(0.05)


async def test_the_sentinels_lead_to_the_primary_and_to_the_one_after_it(watched: WatchedValkeys) -> None:
    who = f"{watched.USER}:{quote(watched.PASSWORD, safe='')}"
    hosts = f"127.0.0.1:1,127.0.0.1:{watched.sentinel}"  # of several, any may be away
    url = f"redis+sentinel://{who}@{hosts}/{watched.SERVICE}?sentinel_password={watched.SENTINEL_PASSWORD}"
    async with connect(url) as client:
        await append(client, 1)
        assert (await stream.head(client)).place == (1, 0)

        await asyncio.to_thread(watched.kill_primary)

        await in_the_end(lambda: append(client, 2))
        assert client.connection_pool.master_address == ("127.0.0.1", watched.ports[1])
        assert (await stream.head(client)).place == (2, 0)


async def test_sentinels_that_know_no_such_service_are_told_apart(watched: WatchedValkeys) -> None:
    hosts = f"127.0.0.1:{watched.sentinel}"
    async with connect(f"redis+sentinel://{hosts}/other?sentinel_password={watched.SENTINEL_PASSWORD}") as client:
        with pytest.raises(redis.ConnectionError) as failed:
            await client.ping()
    assert explained(failed.value) == "no sentinel knows a primary that is well"
    async with connect("redis+sentinel://127.0.0.1:1/events") as client:
        with pytest.raises(redis.ConnectionError) as failed:
            await client.ping()
    assert explained(failed.value) == "no sentinel knows a primary that is well (1 of them do not answer)"


def rules(user: str) -> list[str]:
    """Return the rules that the page gives a user."""
    (line,) = (line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(f"user {user} "))
    return line.split()[2:]


@asynccontextmanager
async def as_user(url: str, name: str) -> AsyncIterator[Redis]:
    """Connect as a user of the page."""
    async with connect(url) as owner:
        await owner.execute_command("ACL", "SETUSER", name, "reset", *rules(name))
        address = urlsplit(url)
        try:
            async with connect(f"redis://{name}:secret@{address.hostname}:{address.port}/0") as client:
                yield client
        finally:
            await owner.execute_command("ACL", "DELUSER", name)


async def test_the_operator_needs_no_more_rights_than_the_page_says(any_redis: str) -> None:
    async with as_user(any_redis, "ordinaut") as operator:
        await append(operator, 1)
        assert (await stream.head(operator)).place == (1, 0)
        assert await stream.newest(operator) == "1-0"
        await inbox.open_(operator)
        async with connect(any_redis) as owner:
            ids: Any = [await owner.xadd(inbox.INBOX, {"hello": "world"}) for _ in range(3)]
            await owner.xreadgroup(inbox.GROUP, "dead", {inbox.INBOX: ">"}, count=1)
            await owner.xclaim(inbox.INBOX, inbox.GROUP, "dead", 0, ids[:1], idle=10**9)
        taken = await inbox.take(operator, reader="me", limit=9)
        assert len(taken.entries) == 3
        await inbox.take(operator, reader="me", limit=9)
        await inbox.wait(operator, after=taken.last, seconds=0.01)
        first, *others = (entry.id for entry in taken.entries)
        await inbox.settle(operator, [first])
        await inbox.reject(operator, dict.fromkeys(others, "why"))
        await inbox.forget_readers(operator)
        for wrong in (["GET", "x"], ["FLUSHALL"], ["PUBLISH", "x", "y"], ["KEYS", "*"], ["XRANGE", "other", "-", "+"]):
            with pytest.raises(NoPermissionError):
                await operator.execute_command(*wrong)


async def test_who_only_reads_the_stream_can_do_nothing_else(any_redis: str) -> None:
    async with connect(any_redis) as owner:
        await append(owner, 1)
    async with as_user(any_redis, "reader") as reader:
        assert await reader.xread({stream.STREAM: "0"})
        assert await reader.xrange(stream.STREAM)
        for wrong in (
            ["XADD", stream.STREAM, "*", "a", "b"],
            ["XRANGE", inbox.INBOX, "-", "+"],
            ["EVAL", "return 1", "0"],
        ):
            with pytest.raises(NoPermissionError):
                await reader.execute_command(*wrong)


async def test_who_only_publishes_by_the_inbox_can_do_nothing_else(any_redis: str) -> None:
    async with as_user(any_redis, "publisher") as publisher:
        assert await publisher.xadd(inbox.INBOX, {"namespace": "default", "type": "x"})
        for wrong in (["XADD", stream.STREAM, "*", "a", "b"], ["XRANGE", inbox.INBOX, "-", "+"]):
            with pytest.raises(NoPermissionError):
                await publisher.execute_command(*wrong)


async def test_what_is_wrong_is_said_with_what_helps(any_redis: str) -> None:
    async def said(client: Redis) -> str:
        with pytest.raises(redis.RedisError) as failed:
            await append(client, 1)
        return explained(failed.value)

    address = urlsplit(any_redis)
    place = f"{address.hostname}:{address.port}/0"
    async with connect(any_redis) as owner:
        try:
            async with connect(f"redis://ordinaut:wrong@{place}") as stranger:
                assert "wrong user or password" in await said(stranger)
            await owner.execute_command("ACL", "SETUSER", "poor", "on", ">secret", "+eval", "~*")
            async with connect(f"redis://poor:secret@{place}") as poor:
                assert "the user lacks a right" in await said(poor)
            await owner.config_set("requirepass", "secret")
            async with connect(any_redis) as nobody:
                assert "it wants a password" in await said(nobody)
            await owner.config_set("requirepass", "")
            await owner.config_set("maxmemory", 1)
            assert "it is full" in await said(owner)
            await owner.config_set("maxmemory", 0)
            await owner.set(stream.STREAM, "text")
            assert "holds something else than a stream" in await said(owner)
            await owner.delete(stream.STREAM)
            await owner.execute_command("REPLICAOF", "127.0.0.1", "1")
            assert "a replica that takes no writes" in await said(owner)
        finally:
            await owner.execute_command("REPLICAOF", "NO", "ONE")
            await owner.execute_command("ACL", "DELUSER", "poor")
            await owner.config_set("maxmemory", 0)
            await owner.config_set("requirepass", "")
    async with connect("redis://127.0.0.1:1") as nowhere:
        assert "127.0.0.1:1" in await said(nowhere)

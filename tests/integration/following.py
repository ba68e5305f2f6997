"""Following events in tests: a log that moves on without an operator, and streams as their messages."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from ordinaut.events.envelope import Event
from ordinaut.store import events, log
from ordinaut.store.pool import Pool

STREAM = "/v1/namespaces/default/events/stream"

Message = dict[str, Any]


async def move(pool: Pool) -> None:
    """Move everything to the log, as the operator does."""
    moved = 1
    async with pool.connection() as connection:
        while moved:
            async with connection.transaction():
                assert await log.lock(connection, log.MOVER)
                moved = len(await log.take_in(connection, limit=100))
                await log.tell(connection)


async def write(pool: Pool, *rows: list[dict[str, Any]]) -> None:
    """Write the events of some transactions, and move them to the log."""
    async with pool.connection() as connection:
        for row in rows:
            await events.append(connection, row)
    await move(pool)


def published(type_: str, *data: Any, namespace: str = "default", **more: Any) -> list[dict[str, Any]]:
    """Return the events of a transaction that somebody published, one for each ``data``."""
    return [{"type": type_, "ns": namespace, "by": "ann", "data": one, **more} for one in data]


def happened(type_: str, task: str = "t", *, namespace: str = "default", **more: Any) -> list[dict[str, Any]]:
    """Return the event of a transaction that is Ordinaut's own."""
    return [Event(type_, namespace, task, **more).compact()]


async def messages(stream: httpx2.Response) -> AsyncIterator[Message]:
    """Yield the messages of a stream with data; what others say is the ``id`` of the next one, as for browsers."""
    message: Message = {}
    async for line in stream.aiter_lines():
        if line:
            name, _, value = line.partition(": ")
            if name:
                message[name] = json.loads(value) if name == "data" else value
        elif "data" in message:
            yield message
            message = {}
        else:
            message = {"reached": message["id"]} if "id" in message else {}


class Follower:
    """An open stream."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self._messages = messages(response)

    async def take(self, count: int) -> list[Message]:
        """Return so many messages, which have to come."""
        async with asyncio.timeout(60):
            return [await anext(self._messages) for _ in range(count)]

    async def data(self, count: int) -> list[Any]:
        """Return what so many events hold."""
        return [one["data"]["data"] for one in await self.take(count)]


@asynccontextmanager
async def following(
    api: httpx2.AsyncClient, path: str = STREAM, *, last: str | None = None, **query: Any
) -> AsyncIterator[Follower]:
    """Open a stream; it stands where it begins when this yields."""
    headers = {} if last is None else {"Last-Event-ID": last}
    async with api.stream("GET", path, params=query, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        yield Follower(response)

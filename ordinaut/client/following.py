"""
Following a stream of the API for as long as it goes on, over breaks of the connection and restarts of the api.

``runs`` and ``events`` say what to follow. A stream that breaks off is opened again with the id of its last message, so
nothing is missed and nothing comes twice.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from ordinaut.client.connection import Call, Connection
from ordinaut.client.errors import ClientError, Unreachable
from ordinaut.client.sse import ServerEvent, read_events

LONGEST_PAUSE: Final = 5.0
"""Seconds between tries to open a stream again, at most."""

GAP: Final = "gap"
"""The message that says that events are missing, which are not kept any more."""

_OVER: Final = "final"


async def follow(
    connection: Connection, call: Call, *, what: str, patience: float | None = None
) -> AsyncGenerator[ServerEvent]:
    """
    Yield the messages of a stream, but for those that only say where it stands, until it is over.

    Args:
        call: opens the stream.
        what: is followed, for messages of errors.
        patience: seconds for which a stream that broke off is tried to be opened again; None: as often as ``retries``
            of the client allow.
    """
    last_id: str | None = None
    tries, since = 0, time.monotonic()
    while True:
        pause: float | None = None
        try:
            # Closed here, not whenever Python finds time for it: the connection goes with it.
            async with aclosing(_messages(connection, call, last_id)) as messages:
                async for event in messages:
                    tries, since, last_id = 0, time.monotonic(), event.id or last_id
                    if event.name == "end":
                        if event.data["reason"] == _OVER:
                            return
                        pause = event.retry or 0.0
                    elif event.name:
                        yield event
            error: ClientError = Unreachable(f"the stream of {what} ended before the end")
        except ClientError as broken:
            error = broken
        if pause is None:
            tries += 1
            pause = _pause(connection, error, tries=tries, left=_left(patience, last_id, since))
        await asyncio.sleep(pause)


def _left(patience: float | None, last_id: str | None, since: float) -> float | None:
    """Return for how long to go on trying; None while there is nothing to go on with."""
    return None if patience is None or last_id is None else since + patience - time.monotonic()


def _pause(connection: Connection, error: ClientError, *, tries: int, left: float | None) -> float:
    """Return after how long to try again, or raise the error."""
    pause = connection.back_off(error, tries=tries if left is None else 1)
    if pause is None or (left is not None and left <= 0):
        raise error
    if left is None:
        return pause
    longest: float = min(LONGEST_PAUSE, 0.1 * 2.0 ** min(tries, 10))
    return max(pause, longest * random.uniform(0.5, 1.0))  # noqa: S311 - no secret


async def _messages(connection: Connection, call: Call, last_id: str | None) -> AsyncGenerator[ServerEvent]:
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    async with connection.lines(replace(call, headers=headers)) as lines, aclosing(read_events(lines)) as events:
        async for event in events:
            yield event

"""
Hearing of changes: LISTEN on a connection of its own, for as long as a process lives.

Notifications are a matter of speed, never of correctness: they are lost while the connection is away. So every user
also looks by itself from time to time, and is called once after each (re)connection, with no payload.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import psycopg
from psycopg import sql

from ordinaut.logging import get_logger
from ordinaut.store.pool import Connection, connect, ping

Channel = Literal[
    "ordinaut_work",
    "ordinaut_cancel",
    "ordinaut_clock",
    "ordinaut_status",
    "ordinaut_keys",
    "ordinaut_events",
    "ordinaut_log",
]
Handler = Callable[[Channel, str | None], Awaitable[None] | None]

KEEPALIVE = 30.0
"""Seconds of silence after which the connection is tried out."""

MAX_BACKOFF = 5.0
"""Seconds between attempts to connect, at most."""

log = get_logger(__name__)


async def listen(url: str, channels: Sequence[Channel], handler: Handler, *, application: str) -> None:
    """
    Call ``handler(channel, payload)`` for each notification until cancelled; reconnects by itself.

    After each connect, ``handler(channel, None)`` is called for each channel: anything may have been missed.
    """
    backoff = 0.25
    while True:
        try:
            async with await connect(url, application=f"{application}-listen") as connection:
                for channel in channels:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                backoff = 0.25
                for channel in channels:
                    await _call(handler, channel, None)
                await _hear(connection, handler)
        except psycopg.Error as error:
            log.warning("listening interrupted", error=str(error).strip(), retry_in=backoff)
        await asyncio.sleep(backoff)
        backoff = min(backoff * 2, MAX_BACKOFF)


async def _hear(connection: Connection, handler: Handler) -> None:
    while True:
        async for notification in connection.notifies(timeout=KEEPALIVE):
            await _call(handler, notification.channel, notification.payload)  # type: ignore[arg-type]  # only channels that were listened to
        await ping(connection)


async def _call(handler: Handler, channel: Channel, payload: str | None) -> None:
    if (result := handler(channel, payload)) is not None:
        await result

"""
The news as it happens: reads the stream that the relay writes, and hands each CloudEvent on.

The console shows them; ``session`` waits here for the end of the run that it has asked for.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
import redis

from ordinaut.events.connection import connect
from ordinaut.events.envelope import TYPE_PREFIX
from ordinaut.events.stream import STREAM
from ordinaut.states import ENDED_RUN_PHASES

BLOCK: Final = 1000
"""Milliseconds that one read waits for news."""

BATCH: Final = 500
PAUSE: Final = 1.0
"""Seconds between attempts while the server is away."""

Event = Mapping[str, Any]


class Tail:
    """Follows the stream from where it ends now."""

    def __init__(self, url: str, *, show: Callable[[Event], None]) -> None:
        self._redis = connect(url)
        self._show = show
        self._ended: dict[str, asyncio.Event] = {}

    async def follow(self) -> None:
        """Show events until cancelled."""
        last = await self._end()
        while True:
            try:
                answer: Any = await self._redis.xread({STREAM: last}, count=BATCH, block=BLOCK)
            except redis.RedisError:
                await asyncio.sleep(PAUSE)
                continue
            for entry, fields in (entry for _stream, entries in answer or () for entry in entries):
                last = entry
                event = orjson.loads(fields[b"event"])
                self._show(event)
                self._note_end(event)

    async def ended(self, run: str) -> None:
        """Wait until the end of a run has been shown."""
        await self._ended.setdefault(run, asyncio.Event()).wait()

    async def close(self) -> None:
        """Disconnect."""
        await self._redis.aclose()

    async def _end(self) -> Any:
        newest: Any = await self._redis.xrevrange(STREAM, count=1)
        return newest[0][0] if newest else b"0"

    def _note_end(self, event: Event) -> None:
        if event["type"].startswith(f"{TYPE_PREFIX}run.") and event["data"].get("phase") in ENDED_RUN_PHASES:
            self._ended.setdefault(event["data"]["run"], asyncio.Event()).set()

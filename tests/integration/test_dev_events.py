"""What ``ordinaut dev`` hears: everything in the stream, whoever it is from."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from ordinaut.events.connection import connect
from ordinaut.events.stream import STREAM
from ordinaut.states import RunPhase
from ordinaut_cli.dev.events import Tail

pytestmark = pytest.mark.integration

RUN = "01a20673-2d1e-7360-8000-fa4fd7c21cf9"
PUBLISHED = {"type": "mail.received", "publisher": "tokens:ada"}
OTHER_DATA = {"type": "run.of.my.own", "publisher": "tokens:ada", "data": ["no", "object"]}
ENDED = {"type": "io.ordinaut.run.succeeded", "data": {"task": "t", "run": RUN, "phase": RunPhase.SUCCEEDED}}


class EnoughError(Exception):
    """Ends following at a moment when nothing is under way."""


async def test_what_callers_publish_does_not_disturb_the_wait_for_a_run(valkey: str) -> None:
    shown: list[str] = []

    def show(event: Mapping[str, Any]) -> None:
        if ended.done() and {PUBLISHED["type"], OTHER_DATA["type"]} <= set(shown):
            raise EnoughError
        shown.append(event["type"])

    tail = Tail(valkey, show=show)
    redis = connect(valkey)
    ended = asyncio.create_task(tail.ended(RUN))
    following = asyncio.create_task(tail.follow())
    async with asyncio.timeout(30):
        while not following.done():  # it begins where the stream ends when it looks first
            for event in (PUBLISHED, OTHER_DATA, ENDED):
                await redis.xadd(STREAM, {"event": orjson.dumps(event)})
            await asyncio.wait({following}, timeout=0.1)
    with pytest.raises(EnoughError):
        await following
    await tail.close()
    await redis.aclose()

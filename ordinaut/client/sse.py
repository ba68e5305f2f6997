"""
Server-sent events, as the HTML standard defines their stream. Pure.

``following`` reads the API's with it.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

from ordinaut.client.errors import NotTheApi


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """
    One event; ``id`` is where to go on from, ``data`` its JSON, ``retry`` after how many seconds to come back.

    One without a name says no more than that.
    """

    name: str
    data: Any
    id: str | None = None
    retry: float | None = None


async def read_events(lines: AsyncIterator[str]) -> AsyncGenerator[ServerEvent]:
    """Yield the events in lines; comments, which keep the connection alive, are passed over."""
    name, data = "message", list[str]()
    last_id: str | None = None
    retry: float | None = None
    moved = False
    async for line in lines:
        if not line:
            if data:
                yield ServerEvent(name, _json("\n".join(data)), last_id, retry)
            elif moved:
                yield ServerEvent("", None, last_id, retry)
            name, data, moved = "message", [], False
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id" and "\0" not in value:
            last_id, moved = value, True
        elif field == "retry" and value.isdecimal():
            retry = int(value) / 1000


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise NotTheApi("the stream holds something that is not JSON: it does not come from the API") from None

"""
Server-sent events, as the HTML standard defines their stream. Pure.

``runs.follow`` reads the API's with it.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from ordinaut.client.errors import NotTheApi


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event; ``id`` is where to go on from, ``data`` its JSON."""

    name: str
    data: Any
    id: str | None = None


async def read_events(lines: AsyncIterator[str]) -> AsyncIterator[ServerEvent]:
    """Yield the events in lines; comments, which keep the connection alive, are passed over."""
    name, data, last_id = "message", list[str](), None
    async for line in lines:
        if not line:
            if data:
                yield ServerEvent(name, _json("\n".join(data)), last_id)
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id" and "\0" not in value:
            last_id = value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise NotTheApi("the stream holds something that is not JSON: it does not come from the API") from None

"""
The Redis stream that carries news to agents.

The relay is the only writer, but for ``ordinaut replay-events``, which fills a stream once more. Entries have the
fields ``id``, ``type``, ``subject`` (to be filtered without parsing), ``position`` (the event's place in the log) and
``event``, the whole CloudEvent as JSON. The stream is capped and may be lost: PostgreSQL keeps what was accepted. The
last entry's position tells how far the stream has come, so that the relay notices what is lost, and appends nothing
twice that is there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

import orjson
import redis
from redis.asyncio import Redis

from ordinaut.events.envelope import place_of

STREAM: Final = "ordinaut:events"

AT_ONCE: Final = 500
"""Events appended by one command; some milliseconds, in which the server does nothing else."""

AT_ONCE_BYTES: Final = 1 << 20
"""Bytes after which a command takes no further event."""

Place = tuple[int, int]
"""Of an event in the log: its row's position, and its place in the row."""

Entry = tuple[str, Place | None, Mapping[str, Any]]
"""An event's id in lists and entries, its place in the log if it has one there, and the CloudEvent."""

# One command for many entries, and one argument: packing a command or arguments of its own for each costs the client
# several times as much. Of each entry there is what it is chosen by, a line each, and the event, both behind their
# lengths. The subject comes last: nothing in it can be taken for another line.
#
# The stream's own last entry tells where it ends; who appended something else by mistake hides that from few entries.
# Comparing it in the same command keeps two relays, one of which has lost its lock, from appending the same.
_APPEND: Final = """
local function position(count)
    for _, entry in ipairs(redis.call("XREVRANGE", KEYS[1], "+", "-", "COUNT", count)) do
        for field = 1, #entry[2], 2 do
            if entry[2][field] == "position" then return entry[2][field + 1] end
        end
    end
end
local found = position(1) or position(100) or ""
if ARGV[3] ~= "*" and ARGV[3] ~= found then return found end
local at, head, event, place, id, type, subject = 1
while at <= #ARGV[2] do
    head, event, at = struct.unpack(">I4c0I4c0", ARGV[2], at)
    place, id, type, subject = string.match(head, "^(.-)\\n(.-)\\n(.-)\\n(.*)$")
    redis.call("XADD", KEYS[1], "MAXLEN", "~", ARGV[1], "*",
        "id", id, "type", type, "subject", subject, "position", place, "event", event)
end
return found
"""
_ANYWHERE: Final = "*"
_LENGTH: Final = Struct(">I")


class OutOfStepError(redis.RedisError):
    """The stream does not end where it was thought to; look again."""


async def newest(redis: Redis) -> str | None:
    """Return the id of the event that was appended last, or None if the stream is empty."""
    entries: Any = await redis.xrevrange(STREAM, count=1)
    return str(entries[0][1][b"id"].decode()) if entries else None


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a stream: as it says itself, and the place in the log that this is; None if it is none."""

    text: str
    place: Place | None


async def head(redis: Redis) -> Head:
    """Return where the stream ends."""
    text = await _append(redis, b"", behind=_ANYWHERE, max_length=0)
    try:
        return Head(text, place_of(text))
    except ValueError:  # it is empty, or not written by the relay
        return Head(text, None)


async def append(redis: Redis, entries: Iterable[Entry], *, behind: str, max_length: int) -> int:
    """
    Append events to a stream whose head says ``behind``, in order; return how many.

    They come as an iterable, so that only some are held at a time.

    Raises:
        OutOfStepError: the stream ends elsewhere; nothing, or only a first part, was appended.
        redis.RedisError: nothing, or only a first part, was appended.
    """
    return await _publish(redis, entries, behind=behind, max_length=max_length)


async def append_anywhere(redis: Redis, entries: Iterable[Entry], *, max_length: int) -> int:
    """As :func:`append`, wherever the stream ends."""
    return await _publish(redis, entries, behind=_ANYWHERE, max_length=max_length)


def written(place: Place) -> str:
    """Return what a stream's head says that ends with a place."""
    return f"{place[0]}-{place[1]}"


async def _publish(redis: Redis, entries: Iterable[Entry], *, behind: str, max_length: int) -> int:
    parts: list[bytes] = []
    total = some = size = 0
    for id_, place, event in entries:
        position = "" if place is None else written(place)
        head = f"{position}\n{id_}\n{event['type']}\n{event.get('subject', '')}".encode()
        whole = orjson.dumps(event)
        parts += (_LENGTH.pack(len(head)), head, _LENGTH.pack(len(whole)), whole)
        total += 1
        some += 1
        size += len(whole)
        if some == AT_ONCE or size >= AT_ONCE_BYTES:
            await _send(redis, b"".join(parts), behind=behind, max_length=max_length)
            behind = behind if behind == _ANYWHERE else position
            parts, some, size = [], 0, 0
    if parts:
        await _send(redis, b"".join(parts), behind=behind, max_length=max_length)
    return total


async def _send(redis: Redis, entries: bytes, *, behind: str, max_length: int) -> None:
    found = await _append(redis, entries, behind=behind, max_length=max_length)
    if behind not in (_ANYWHERE, found):
        raise OutOfStepError(f"the stream ends with {found or 'nothing'}, not with {behind or 'nothing'}")


async def _append(redis: Redis, entries: bytes, *, behind: str, max_length: int) -> str:
    found: Any = await redis.eval(_APPEND, 1, STREAM, max_length, entries, behind)
    return str(found.decode(errors="replace"))

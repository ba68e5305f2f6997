"""
The inbox: the Redis stream to which anybody may append whose user there has the right, to publish an event.

The operator reads it as the consumer group `ordinaut`, whoever of its replicas comes first. What it has published it
settles: such entries are gone. What is no event goes to the stream `ordinaut:rejected`, with the reason. An entry that
was read and not settled stays its reader's, and is another one's when that reader has been silent for a while.

Every step is one script, so that none is done by half; and entries that are much too large never leave Redis.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import redis
from redis.asyncio import Redis

INBOX: Final = "ordinaut:inbox"
REJECTED: Final = "ordinaut:rejected"
GROUP: Final = "ordinaut"

MAX_REJECTED: Final = 10_000
"""Entries kept of what was no event, about."""

MAX_ENTRY: Final = 256 * 1024
"""Bytes of an entry's fields: more than an event of the largest data needs, however it is written."""

READ_AT_ONCE: Final = 4 << 20
"""Bytes after which a read brings no further entries."""

SILENT: Final = 30_000
"""Milliseconds after which an entry that its reader has not settled is given to another."""

FORGOTTEN: Final = 3_600_000
"""Milliseconds of silence after which a reader is forgotten that has nothing left."""

# First what this reader has left unsettled, so that nobody else takes it while it is tried again; then what others
# have; then what is new. Ids alone are claimed, since Redis 6.2 says nothing of entries that others have deleted.
_TAKE: Final = """
local inbox, group, reader, count, silent = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local largest, enough = tonumber(ARGV[5]), tonumber(ARGV[6])
local taken, total = {}, 0
local function take(entry)
    local size = 0
    for _, text in ipairs(entry[2]) do size = size + #text end
    if size > largest then entry[2] = size else total = total + size end
    table.insert(taken, entry)
end
local function take_up(ids)
    for _, id in ipairs(ids) do
        local found = redis.call("XRANGE", inbox, id, id)
        if #found == 0 then redis.call("XACK", inbox, group, id) else take(found[1]) end
    end
end
local claim = {"XCLAIM", inbox, group, reader, "0"}
for _, left in ipairs(redis.call("XPENDING", inbox, group, "-", "+", count, reader)) do table.insert(claim, left[1]) end
if #claim > 5 then
    table.insert(claim, "JUSTID")
    redis.call(unpack(claim))
    take_up({unpack(claim, 6, #claim - 1)})
end
if #taken < count then
    take_up(redis.call("XAUTOCLAIM", inbox, group, reader, silent, "0-0", "COUNT", count - #taken, "JUSTID")[2])
end
while #taken < count and total < enough do
    local some = math.min(10, count - #taken)
    local new = redis.call("XREADGROUP", "GROUP", group, reader, "COUNT", some, "STREAMS", inbox, ">")
    if not new then break end
    for _, entry in ipairs(new[1][2]) do take(entry) end
    if #new[1][2] < some then break end
end
for _, known in ipairs(redis.call("XINFO", "GROUPS", inbox)) do
    local of = {}
    for field = 1, #known, 2 do of[known[field]] = known[field + 1] end
    if of.name == group then return {of["last-delivered-id"], redis.call("XLEN", inbox), taken} end
end
"""

_SETTLE: Final = """
local inbox, group = KEYS[1], ARGV[1]
for number = 2, #ARGV do
    redis.call("XACK", inbox, group, ARGV[number])
    redis.call("XDEL", inbox, ARGV[number])
end
"""

_REJECT: Final = """
local inbox, rejected, group, most, largest = KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3])
for number = 4, #ARGV, 2 do
    local id, reason = ARGV[number], ARGV[number + 1]
    local entry = {"XADD", rejected, "MAXLEN", "~", most, "*"}
    local found = redis.call("XRANGE", inbox, id, id)
    if #found > 0 then
        local left = largest
        for place, text in ipairs(found[1][2]) do
            if place > 200 then break end
            local shown = string.sub(text, 1, math.max(left, 0))
            left = left - #shown
            table.insert(entry, shown)
        end
        for _, text in ipairs({"reason", reason, "entry", id}) do table.insert(entry, text) end
        redis.call(unpack(entry))
    end
    redis.call("XACK", inbox, group, id)
    redis.call("XDEL", inbox, id)
end
"""

_FORGET: Final = """
for _, known in ipairs(redis.call("XINFO", "CONSUMERS", KEYS[1], ARGV[1])) do
    local of = {}
    for field = 1, #known, 2 do of[known[field]] = known[field + 1] end
    if of.pending == 0 and of.idle > tonumber(ARGV[2]) then
        redis.call("XGROUP", "DELCONSUMER", KEYS[1], ARGV[1], of.name)
    end
end
"""


@dataclass(frozen=True, slots=True)
class InboxEntry:
    """An entry; ``fields`` is its size where that is more than is read."""

    id: str
    fields: Mapping[bytes, bytes] | int


@dataclass(frozen=True, slots=True)
class Taken:
    """Entries to be settled; behind ``last`` nobody has read yet, and ``waiting`` are there in all."""

    last: str
    waiting: int
    entries: Sequence[InboxEntry]


async def open_(redis: Redis) -> None:
    """Make inbox and group where they are missing; whatever is in the inbox already is read."""
    try:
        await redis.xgroup_create(INBOX, GROUP, id="0", mkstream=True)
    except _ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise


async def take(redis: Redis, *, reader: str, limit: int) -> Taken:
    """
    Take entries; they are ``reader``'s until it settles them or is silent for too long.

    Raises:
        Closed: the inbox or its group is gone; open it again.
        redis.RedisError: nothing was taken.
    """
    try:
        found: Any = await redis.eval(_TAKE, 1, INBOX, GROUP, reader, limit, SILENT, MAX_ENTRY, READ_AT_ONCE)
    except _ResponseError as error:
        if "NOGROUP" in str(error):
            raise ClosedError from None
        raise
    if found is None:
        raise ClosedError
    last, waiting, entries = found
    return Taken(last.decode(), waiting, [InboxEntry(id_.decode(), _fields(told)) for id_, told in entries])


async def wait(redis: Redis, *, after: str, seconds: float) -> None:
    """Return when something stands behind an entry, or after some seconds."""
    await redis.xread({INBOX: after}, count=1, block=int(seconds * 1000))


async def settle(redis: Redis, ids: Sequence[str]) -> None:
    """Take away what was published."""
    if ids:
        await redis.eval(_SETTLE, 1, INBOX, GROUP, *ids)


async def reject(redis: Redis, reasons: Mapping[str, str]) -> None:
    """Move entries to those that were no events, each with a reason."""
    if reasons:
        told = [text for pair in reasons.items() for text in pair]
        await redis.eval(_REJECT, 2, INBOX, REJECTED, GROUP, MAX_REJECTED, MAX_ENTRY, *told)


async def forget_readers(redis: Redis) -> None:
    """Forget readers that are long gone and have nothing left."""
    await redis.eval(_FORGET, 1, INBOX, GROUP, FORGOTTEN)


class ClosedError(redis.RedisError):
    """There is no inbox, or nobody reads it."""


_ResponseError: Final = redis.ResponseError
"""The module's name is that of the client in the functions above."""


def _fields(told: Any) -> Mapping[bytes, bytes] | int:
    return told if isinstance(told, int) else dict(zip(told[::2], told[1::2], strict=True))

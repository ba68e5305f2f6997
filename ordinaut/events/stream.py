"""
The Redis stream that carries news to agents.

The relay is the only writer, but for ``ordinaut replay-events``, which fills a stream that was lost. Entries have the
fields ``id``, ``type``, ``subject`` (to be filtered without parsing) and ``event``, the whole CloudEvent as JSON. The
stream is capped and may be lost: PostgreSQL keeps what was accepted.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from struct import Struct
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

STREAM = "ordinaut:events"

AT_ONCE = 500
"""Events appended by one command; some milliseconds, in which the server does nothing else."""

# One command for many entries, and one argument: packing a command or arguments of its own for each costs the client
# several times as much. The fields follow each other, each behind its length.
_APPEND = """
local at, id, type, subject, event = 1
while at <= #ARGV[2] do
    id, type, subject, event, at = struct.unpack(">I4c0I4c0I4c0I4c0", ARGV[2], at)
    redis.call("XADD", KEYS[1], "MAXLEN", "~", ARGV[1], "*", "id", id, "type", type, "subject", subject, "event", event)
end
"""
_LENGTH: Final = Struct(">I")

CONNECT_TIMEOUT = 2.0
"""Seconds; the relay tries again by itself, so it need not wait long."""

REPLY_TIMEOUT = 5.0
"""Seconds until a silent server counts as away."""


def connect(url: str, *, ca_file: Path | None = None) -> Redis:
    """
    Return a client that connects when first used, and reports failures instead of retrying them itself.

    ``ca_file`` vouches for the server of a ``rediss://`` address, instead of the authorities that the system trusts.
    """
    trust: dict[str, Any] = {} if ca_file is None else {"ssl_ca_certs": str(ca_file)}
    return Redis.from_url(
        url,
        **trust,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=REPLY_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=15,
    )


async def newest(redis: Redis) -> str | None:
    """Return the id of the event that was appended last, or None if the stream is empty."""
    entries: Any = await redis.xrevrange(STREAM, count=1)
    return str(entries[0][1][b"id"].decode()) if entries else None


async def publish(redis: Redis, events: Sequence[Mapping[str, Any]], *, max_length: int) -> None:
    """
    Append CloudEvents to the stream, in order.

    Raises:
        redis.RedisError: nothing, or only the first part, was appended; sending all of it again is safe.
    """
    left = iter(events)
    while some := list(islice(left, AT_ONCE)):
        parts: list[bytes] = []
        for event in some:
            for field in (event["id"].encode(), event["type"].encode(), event.get("subject", "").encode()):
                parts += (_LENGTH.pack(len(field)), field)
            whole = orjson.dumps(event)
            parts += (_LENGTH.pack(len(whole)), whole)
        await redis.eval(_APPEND, 1, STREAM, max_length, b"".join(parts))

"""
The Redis stream that carries news to agents.

The relay is the only writer. Entries have the fields ``id``, ``type``, ``subject`` (to be filtered without parsing) and
``event``, the whole CloudEvent as JSON. The stream is capped and may be lost: PostgreSQL keeps what was accepted.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

STREAM = "ordinaut:events"

CONNECT_TIMEOUT = 2.0
"""Seconds; the relay tries again by itself, so it need not wait long."""

REPLY_TIMEOUT = 5.0
"""Seconds until a silent server counts as away."""


def connect(url: str) -> Redis:
    """Return a client that connects when first used, and reports failures instead of retrying them itself."""
    return Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=REPLY_TIMEOUT,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=15,
    )


async def publish(redis: Redis, events: Sequence[Mapping[str, Any]], *, max_length: int) -> None:
    """
    Append CloudEvents to the stream, in order, in one round trip.

    Raises:
        redis.RedisError: nothing, or only the first part, was appended; sending all of it again is safe.
    """
    async with redis.pipeline(transaction=False) as pipeline:
        for event in events:
            fields: dict[Any, Any] = {
                "id": event["id"],
                "type": event["type"],
                "subject": event["subject"],
                "event": orjson.dumps(event),
            }
            pipeline.xadd(STREAM, fields, maxlen=max_length, approximate=True)
        await pipeline.execute()

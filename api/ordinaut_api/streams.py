"""
Streams of Server-Sent Events: how many may be open, how they are answered, and an end to connections nobody reads.

Routes whose answer goes on for minutes take a slot first (:func:`slot`), and answer with an :class:`EventStream`. What
makes its messages asks a :class:`Watch` when to end. ``server`` speaks HTTP with :class:`Unread`.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

import orjson
from fastapi.responses import StreamingResponse
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from ordinaut_api.identity.guard import Call
from ordinaut_api.messages import message
from ordinaut_api.problems import Problem, ProblemError

MAX_OPEN: Final = 1000
"""Streams of a process, whoever's they are; each costs some ten kilobytes, and a bit of time at each event."""

MAX_FOLLOWED: Final = 600.0
"""Seconds that a stream lasts; whoever follows on comes back with a token that is still good."""

ASK_AGAIN: Final = 30.0
"""Seconds between questions whether the caller of a stream may still see what it shows."""

HEARTBEAT: Final = 15.0
"""Seconds of silence after which a message is sent, so that nobody on the way takes the connection for dead."""

PATIENCE: Final = 60.0
"""Seconds in which who is sent something must read some of it, or the connection is broken off."""

RETRY: Final = (500, 2500)
"""Milliseconds after which readers of a stream that has ended come back: not all at once."""

HEADERS: Final = {
    "Cache-Control": "no-cache",
    "X-Accel-Buffering": "no",  # proxies like nginx would keep messages back
}


class EventStream(StreamingResponse):
    """An answer made of messages."""

    media_type = "text/event-stream"

    def __init__(self, messages: AsyncIterator[bytes], status_code: int = 200) -> None:  # whose default FastAPI reads
        super().__init__(messages, status_code, headers=HEADERS)


def end(reason: str, *, at: str | None) -> bytes:
    """Return the last message of a stream. It has data, since browsers pass none on that has none."""
    return message("end", orjson.dumps({"reason": reason}), at=at, retry=random.randint(*RETRY))  # noqa: S311 - no secret


@contextmanager
def slot(call: Call) -> Iterator[None]:
    """Take one of the streams that may be open; raises a problem if the caller (429) or the process (503) has none."""
    streams, most = call.backend.streams, call.backend.max_streams
    if streams[call.caller.id] >= most:
        detail = f"{call.caller.user} has {most} streams open already: end one of them first."
        raise ProblemError(Problem(429, detail, headers={"Retry-After": "1"}))
    if streams.total() >= MAX_OPEN:
        detail = f"This process has {MAX_OPEN} streams open already: come back later, or have more replicas."
        raise ProblemError(Problem(503, detail, headers={"Retry-After": "5"}))
    streams[call.caller.id] += 1
    try:
        yield
    finally:
        streams[call.caller.id] -= 1
        if not streams[call.caller.id]:
            del streams[call.caller.id]


class Watch:
    """Tells when a stream has to end, whatever it shows and however much there is to come."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._began = self._asked = time.monotonic()

    async def reason(self) -> str | None:
        """Return why the stream ends now, None if it does not."""
        call, now = self._call, time.monotonic()
        if call.backend.stopping() or now - self._began > MAX_FOLLOWED:
            return "reconnect"
        if now - self._asked > ASK_AGAIN:
            self._asked = now
            try:
                allowed = await call.backend.gatekeeper.allows(call.caller, call.right, namespace=call.namespace)
            except ProblemError:  # nobody can tell: the caller is asked again when it comes back
                return "reconnect"
            if not allowed:
                return "forbidden"
        return None


class Unread(AutoHTTPProtocol):  # type: ignore[valid-type,misc]  # uvicorn chooses it when it is imported
    """
    HTTP as uvicorn speaks it, but it breaks off a connection that is not read.

    Waiting for somebody to read takes no memory beyond a full buffer, but would keep what the answer holds for ever.
    """

    _end: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Begin to lose patience: more is to be sent than the other side reads."""
        super().pause_writing()
        self._end = self.loop.call_later(PATIENCE, self.transport.abort)

    def resume_writing(self) -> None:
        """Be patient again."""
        super().resume_writing()
        self._calm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget about it."""
        super().connection_lost(exc)
        self._calm()

    def _calm(self) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None

"""
A transport for programs that do one thing at a time, such as a command line: it blocks while it waits.

The usual transport of an async client loads anyio, which takes as long as everything else about a short command.
"""

from collections.abc import AsyncIterator

import httpx2

from ordinaut.client.connection import needs_certificates


class BlockingTransport(httpx2.AsyncBaseTransport):
    """Sends one request at a time, and lets everything else in the program wait for the answer."""

    def __init__(self, url: str) -> None:
        self._transport = httpx2.HTTPTransport(verify=needs_certificates(url))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the answer to a request; its content is read when it is asked for."""
        answer = self._transport.handle_request(request)
        assert isinstance(answer.stream, httpx2.SyncByteStream)  # noqa: S101 - the transport makes no other
        return httpx2.Response(
            answer.status_code, headers=answer.headers, stream=_Content(answer.stream), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        """Close the connections."""
        self._transport.close()


class _Content(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._stream:
            yield chunk

    async def aclose(self) -> None:
        self._stream.close()

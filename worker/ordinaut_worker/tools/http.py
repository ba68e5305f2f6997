"""
Tools that are one HTTP request.

GET and DELETE carry the input as query, the other methods as a JSON body. Every call has an ``Idempotency-Key`` that
is equal on each retry (draft-ietf-httpapi-idempotency-key-header), and where there are traces a ``traceparent``. What
may pass (no connection, 408, 425, 429, 5xx) is ``Transient`` and respects ``Retry-After``; everything else that is no
success is final. Redirects are not followed, proxies of the environment not used, and an answer is read up to a limit.
"""

import email.utils
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import httpx2
import orjson

from ordinaut import __version__, spans
from ordinaut.errors import OrdinautError, Permanent, StepFailed, Transient, shown
from ordinaut.resources.tool import HttpTool as HttpSpec
from ordinaut.spans import Receiver, Try
from ordinaut_worker.tools import Call

_MAY_PASS = frozenset({408, 425, 429})
_FIRST_REDIRECT, _FIRST_CLIENT_ERROR, _FIRST_SERVER_ERROR = 300, 400, 500
_WITH_QUERY = frozenset({"GET", "DELETE"})


def client(*, connections: int) -> httpx2.AsyncClient:
    """Return the client that all HTTP tools of a worker share; the step's own time limit is the only one."""
    return httpx2.AsyncClient(
        timeout=None,
        limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        headers={"User-Agent": f"ordinaut/{__version__}", "Accept": "application/json"},
        follow_redirects=False,
        trust_env=False,
    )


class HttpTool:
    """A declared HTTP tool; ``spec`` is the ``http`` part of its Tool resource."""

    def __init__(self, http: httpx2.AsyncClient, spec: HttpSpec, *, max_answer_bytes: int) -> None:
        self._http = http
        self._method = spec.method
        self._url = spec.url
        self._headers = spec.headers
        self._goes_on = spans.TRACEPARENT not in {name.lower() for name in spec.headers}
        self._max_answer_bytes = max_answer_bytes

    async def __call__(self, call: Call) -> Any:
        """Send the request and return the answer: JSON if it says so, else text, None if it is empty."""
        headers = {
            **self._headers,
            "Idempotency-Key": call.idempotency_key,
            "X-Ordinaut-Run": call.run,
            "X-Ordinaut-Step": call.step,
        }
        payload = self._payload(call.arguments)
        try:
            if spans.receiver is None or call.traced is None:
                answer, body = await self._exchange(headers, payload)
            else:
                answer, body = await self._traced(headers, payload, call.traced, to=spans.receiver)
        except httpx2.TransportError as error:
            raise Transient(f"{self._method} {self._url}: {error or type(error).__name__}") from None
        except httpx2.InvalidURL as error:
            raise Permanent(f"{self._url}: {error}") from None
        if failure := self._failure(answer, body):
            raise failure
        return _decoded(answer, body)

    async def _exchange(self, headers: Mapping[str, str], payload: Mapping[str, Any]) -> tuple[httpx2.Response, bytes]:
        async with self._http.stream(self._method, self._url, headers=headers, **payload) as answer:
            return answer, await self._read(answer)

    async def _traced(
        self, headers: Mapping[str, str], payload: Mapping[str, Any], traced: Try, *, to: Receiver
    ) -> tuple[httpx2.Response, bytes]:
        """Exchange as a part of a trace that the tool goes on with, unless the declaration names another one."""
        if self._goes_on:
            sampled = to.is_sampled(traced.run)
            headers = {**headers, spans.TRACEPARENT: spans.traceparent(traced.run, traced.call_role, sampled=sampled)}
        started, status, error = monotonic(), None, None
        try:
            answer, body = await self._exchange(headers, payload)
        except BaseException as failure:
            error = type(failure).__name__
            raise
        else:
            status = answer.status_code
            error = str(status) if status >= _FIRST_CLIENT_ERROR else None
            return answer, body
        finally:
            to.record(
                [
                    spans.called(
                        traced,
                        method=self._method,
                        **_server_of(self._url),
                        status=status,
                        error=error,
                        started=to.at(started),
                        ended=to.now(),
                    )
                ]
            )

    def _payload(self, arguments: Any) -> dict[str, Any]:
        if self._method in _WITH_QUERY:
            return {"params": {name: _query_value(value) for name, value in arguments.items()}} if arguments else {}
        return {"json": arguments}

    async def _read(self, answer: httpx2.Response) -> bytes:
        body = bytearray()
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > self._max_answer_bytes:
                raise Permanent(f"{self._url} answered with more than the {self._max_answer_bytes} bytes allowed")
        return bytes(body)

    def _failure(self, answer: httpx2.Response, body: bytes) -> OrdinautError | None:
        if answer.status_code < _FIRST_REDIRECT:
            return None
        message = f"{self._method} {self._url} answered {answer.status_code} {answer.reason_phrase}".rstrip()
        if answer.status_code < _FIRST_CLIENT_ERROR:
            return Permanent(f"{message}; redirects are not followed, declare the tool with the address it leads to")
        if body:
            message += f": {shown(body[:500].decode(errors='replace').strip())}"
        if answer.status_code in _MAY_PASS or answer.status_code >= _FIRST_SERVER_ERROR:
            return Transient(message, delay=_retry_after(answer.headers.get("Retry-After")))
        return StepFailed(message)


def _server_of(url: str) -> dict[str, Any]:
    """Return what a trace may tell of an address; paths and queries may hold keys."""
    with suppress(ValueError):
        parts = urlsplit(url)
        return {"host": parts.hostname or "", "port": parts.port}
    return {"host": "", "port": None}


def _query_value(value: Any) -> str | int | float | bool | None:
    return value if isinstance(value, str | int | float | bool | None) else orjson.dumps(value).decode()


def _decoded(answer: httpx2.Response, body: bytes) -> Any:
    if not body:
        return None
    if "json" in answer.headers.get("Content-Type", ""):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise Permanent(f"{answer.url} answered with what it calls JSON and is not: {error}") from None
    return body.decode(answer.encoding or "utf-8", errors="replace")


def _retry_after(header: str | None) -> timedelta | None:
    """Read ``Retry-After`` (RFC 9110 10.2.3): seconds or a date; what can't be read counts as absent."""
    if not header:
        return None
    with suppress(ValueError, OverflowError):
        return max(timedelta(0), timedelta(seconds=int(header)))
    with suppress(ValueError):
        return max(timedelta(0), email.utils.parsedate_to_datetime(header) - datetime.now(UTC))
    return None

"""
What every request passes on its way in and out, before any route is chosen.

The gate gives each request an id, counts and logs the answer, and turns errors into problems. Where there are no
identities it also refuses what a browser may have been tricked into sending. It is plain ASGI, so nothing of a response
is held back or copied.
"""

import re
import time
import uuid
from collections.abc import Mapping
from functools import cache
from logging import DEBUG, INFO
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ordinaut.errors import FieldError
from ordinaut.logging import get_logger
from ordinaut.metrics import HTTP_DURATION, HTTP_REQUESTS
from ordinaut_api.problems import INTERNAL, Problem, invalid, problem_of
from ordinaut_api.settings import is_loopback

log = get_logger(__name__)

REQUEST_ID: Final = "x-request-id"

_ACCEPTED_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SERVER_ERROR: Final = 500

MAX_QUERY: Final = 4096
"""Bytes; reading thousands of parameters, and naming each as a mistake, would keep the event loop from others."""

_LONG_QUERY: Final = invalid(
    [FieldError("query", None, f"longer than {MAX_QUERY} bytes", "leave out what is no parameter of this path")]
)

CORS: Final[Mapping[str, Any]] = {
    "allow_methods": ("GET", "POST", "PUT", "PATCH", "DELETE"),
    "allow_headers": (
        "Authorization",
        "Content-Type",
        "Idempotency-Key",
        "If-Match",
        "If-None-Match",
        "Last-Event-ID",
        "X-Request-ID",
    ),
    "expose_headers": (
        "ETag",
        "Idempotency-Replayed",
        "Location",
        "RateLimit",
        "RateLimit-Policy",
        "Retry-After",
        "X-Request-ID",
    ),
    "allow_credentials": False,  # cookies mean nothing here
}
"""What pages of the sites that the settings name may send and read; no others may send anything."""


class Gate:
    """The outermost part of the application; ``local`` where reaching the port is all the right that is needed."""

    def __init__(self, app: ASGIApp, *, local: bool) -> None:
        self._app = app
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        passage = _Passage(scope, send)
        with structlog.contextvars.bound_contextvars(request=passage.id):
            try:
                if len(scope["query_string"]) > MAX_QUERY:
                    await passage.answer(_LONG_QUERY, receive)
                elif self._local and (strange := stranger(Headers(scope=scope))):
                    await passage.answer(strange, receive)
                else:
                    await self._app(scope, receive, passage.send)
            except Exception as error:
                await passage.fail(error, receive)
            finally:
                passage.done()


class _Passage:
    """One request under way."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.id = request_id(Headers(scope=scope).get(REQUEST_ID))
        # The guard adds who calls, and headers that say how the caller stands.
        self._state = scope.setdefault("state", {})
        self._state["request_id"] = self.id
        self._scope = scope
        self._send = send
        self._status = 0
        self._started = time.perf_counter()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            ours = [(REQUEST_ID.encode(), self.id.encode()), *self._state.get("headers", ())]
            message["headers"] = [*message.get("headers", []), *ours]
        await self._send(message)

    async def answer(self, problem: Problem, receive: Receive) -> None:
        response = problem.response(instance=self._scope["path"], request_id=self.id)
        await response(self._scope, receive, self.send)

    async def fail(self, error: Exception, receive: Receive) -> None:
        if self._status:
            raise error  # the response is under way: only the server can break it off
        problem = problem_of(error)
        if problem is None:
            log.exception("a request failed", method=self._scope["method"], path=self._scope["path"])
        await self.answer(problem or INTERNAL, receive)

    def done(self) -> None:
        # Labels must not grow with what callers write: the template of the route, and methods that exist.
        route = getattr(self._scope.get("route"), "path", "none")
        method = self._scope["method"] if self._scope["method"] in _METHODS else "other"
        took = time.perf_counter() - self._started
        requests, duration = _meters(route, method, self._status or _SERVER_ERROR)
        requests.inc()
        duration.observe(took)
        level = DEBUG if method in {"GET", "HEAD"} and self._status < _SERVER_ERROR else INFO
        if not log.is_enabled_for(level):
            return
        said = {"method": method, "path": self._scope["path"], "status": self._status, "ms": round(took * 1000, 1)}
        if caller := self._state.get("caller"):
            said["caller"] = caller
        log.log(level, "request", **said)


@cache
def _meters(route: str, method: str, status: int) -> tuple[Counter, Histogram]:
    """Return the metrics of a kind of request; there are as many as routes, methods and statuses."""
    return HTTP_REQUESTS.labels(route, method, str(status)), HTTP_DURATION.labels(route)


def request_id(given: str | None) -> str:
    """Return the caller's request id if it can be repeated anywhere without harm, else a new one."""
    return given if given and _ACCEPTED_ID.fullmatch(given) else uuid.uuid4().hex


def stranger(headers: Mapping[str, str]) -> Problem | None:
    """
    Return why a request is refused that a web page may have sent from the browser of somebody on this machine.

    On loopback, reaching the port is all the right that is asked for. A page of any site can make a browser send
    requests here (its ``Origin`` tells) or make its own name resolve to 127.0.0.1 (the ``Host`` tells).
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    if not is_loopback(_hostname(f"//{host}")):
        return Problem(403, f"Requests must name this machine: 127.0.0.1, ::1 or localhost, not {host[:80]!r}.")
    if origin is not None and not is_loopback(_hostname(origin)):
        return Problem(403, "Web pages of other sites may not use this API.")
    return None


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""

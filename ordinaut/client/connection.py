"""
One connection to the API: sends requests, again where that is right, and turns refusals into errors.

The nouns (``declared``, ``tasks``, ``runs``, …) say what to send as a :class:`Call`; here it gets its token, its tries
and its time limit. JSON comes out.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import quote

import httpx2

from ordinaut.client.errors import (
    ClientError,
    NotFound,
    NotTheApi,
    ProblemError,
    Unauthenticated,
    Unreachable,
    WrongName,
)
from ordinaut.client.errors import problem_error as _problem_error
from ordinaut.client.reading import Json
from ordinaut.client.retrying import Outcome, Retries, outcome_of
from ordinaut.client.tokens import TokenSource

KEY: Final = "Idempotency-Key"
IF_MATCH: Final = "If-Match"
_STREAM: Final = "text/event-stream"
_SILENCE: Final = 60.0
"""Seconds without a sign of life after which a stream is opened anew; the API sends one at least every 15 s."""

_NOTHING_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Call:
    """A request, before it has a token. ``path`` is what follows the URL of the API, its names already quoted."""

    method: str
    path: str
    query: Mapping[str, object] = field(default_factory=dict)
    body: Any = None
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    patience: float = 0.0
    """Seconds that the API may take on purpose, on top of the usual time limit."""

    @property
    def repeatable(self) -> bool:
        """Whether doing it twice is the same as doing it once."""
        if IF_MATCH in self.headers:
            return False  # the second time would fail, since the first has changed the object
        return self.method != "POST" or KEY in self.headers


class Connection:
    """A connection to the API at one URL; closed by :meth:`close`."""

    def __init__(
        self,
        url: str,
        *,
        token: TokenSource | None,
        timeout: float,
        retries: Retries,
        user_agent: str,
        transport: httpx2.AsyncBaseTransport | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.url = checked_url(url)
        self._token = token
        self._timeout = timeout
        self._retries = retries
        self._draw = draw
        self._http = httpx2.AsyncClient(
            base_url=self.url,
            timeout=timeout,
            transport=transport,
            trust_env=not is_loopback(self.url),  # to this machine through no proxy
            verify=needs_certificates(self.url),
            headers={"User-Agent": user_agent, "Accept": "application/json"},
        )

    def __repr__(self) -> str:
        return f"Connection({self.url!r})"

    async def close(self) -> None:
        """Close it."""
        await self._http.aclose()

    async def ask(self, call: Call) -> Json:
        """
        Return what the API answers; an empty object for an answer without content.

        Raises:
            ProblemError: the API refused.
            Unreachable: it did not answer.
            NotTheApi: somebody else did.
            TokenUnavailable: there was no token to ask with.
        """
        tries, was_unsure, renewed = 0, False, False
        while True:
            tries += 1
            token = await self._bearer()
            try:
                return await self._try(call, token)
            except _Failed as failed:
                error, outcome = failed.error, failed.outcome
            if isinstance(error, Unauthenticated) and not renewed and await self._is_replaced(token):
                renewed = True
                continue
            if was_unsure and call.method == "DELETE" and isinstance(error, NotFound):
                return {}  # by the try whose answer was lost
            was_unsure = was_unsure or outcome is Outcome.UNSURE
            delay = self._retries.delay(
                outcome, tries=tries, repeatable=call.repeatable, asked=_asked(error), draw=self._draw
            )
            if delay is None:
                raise error
            await asyncio.sleep(delay)

    async def _bearer(self) -> str | None:
        return await self._token.token() if self._token else None

    async def _is_replaced(self, token: str | None) -> bool:
        """Tell the source that a token was refused; return whether it has another by now."""
        if self._token is None or token is None:
            return False
        self._token.refused(token)
        return await self._bearer() != token

    async def _try(self, call: Call, token: str | None) -> Json:
        """Send a request once; raises `_Failed`."""
        request = self._request(call, token)
        limit = self._timeout + call.patience
        problem: Unreachable | None = None
        try:
            # httpx2 limits each wait for the network; this limits them all.
            async with asyncio.timeout(limit):
                response = await self._http.send(request)
        except (httpx2.TransportError, TimeoutError) as error:
            problem, outcome = self._unreachable(error, limit=limit)
        # Outside of the except clause: httpx2's error holds the request, and so the token.
        if problem:
            raise _Failed(problem, outcome)
        return self._answer(response)

    def _request(self, call: Call, token: str | None) -> httpx2.Request:
        headers = dict(call.headers)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        content = None
        if call.body is not None:
            content = encode(call.body)
            headers["Content-Type"] = call.media_type
        return self._http.build_request(
            call.method,
            call.path,
            params={name: _as_texts(value) for name, value in call.query.items() if value is not None},
            content=content,
            headers=headers,
            timeout=self._timeout + call.patience,
        )

    def _answer(self, response: httpx2.Response) -> Json:
        if response.is_success:
            return self._read(response)
        raise _Failed(self._refusal(response), outcome_of(response.status_code))

    def _read(self, response: httpx2.Response) -> Json:
        try:
            body = response.json() if response.content else {}
        except ValueError:
            body = None
        if isinstance(body, dict):
            return body
        raise NotTheApi(f"{self.url} does not answer like the API of Ordinaut (HTTP {response.status_code})")

    def _refusal(self, response: httpx2.Response) -> ProblemError | NotTheApi:
        """Return the error for an answer that is no success."""
        status, after = response.status_code, retry_after(response.headers.get("retry-after"))
        try:
            body = response.json()
        except ValueError:
            body = None
        if isinstance(body, dict) and "type" in body:
            return _problem_error(status, body, retry_after=after)
        if outcome_of(status) is Outcome.FINAL:
            return NotTheApi(f"{self.url} does not answer like the API of Ordinaut (HTTP {status})")
        # Something in front of the API.
        detail = f"{self.url} answered {status} {response.reason_phrase}: something in front of the API can't reach it"
        return _problem_error(status, {"detail": detail}, retry_after=after)

    def _unreachable(self, error: Exception, *, limit: float) -> tuple[Unreachable, Outcome]:
        outcome = Outcome.NOT_DONE if isinstance(error, _NOTHING_SENT) else Outcome.UNSURE
        if isinstance(error, httpx2.TimeoutException | TimeoutError):
            return Unreachable(f"the API at {self.url} did not answer within {limit:g} s"), outcome
        why = str(error) or type(error).__name__
        return Unreachable(f"cannot reach the API at {self.url}: {why}"), outcome

    @asynccontextmanager
    async def lines(self, call: Call) -> AsyncIterator[AsyncIterator[str]]:
        """
        Open a stream of server-sent events; yields its lines.

        Raises the errors of :meth:`ask`, and `Unreachable` also when the stream breaks off. It is tried once:
        whoever reads the stream knows where to go on.
        """
        request = self._request(replace(call, headers={**call.headers, "Accept": _STREAM}), await self._bearer())
        request.extensions["timeout"] = httpx2.Timeout(self._timeout, read=_SILENCE).as_dict()
        problem: Unreachable | ProblemError | NotTheApi | None = None
        try:
            response = await self._http.send(request, stream=True)
            try:
                if response.is_success:
                    yield response.aiter_lines()
                else:
                    await response.aread()
                    problem = self._refusal(response)
            finally:
                await response.aclose()
        except httpx2.TransportError as error:
            problem, _ = self._unreachable(error, limit=_SILENCE)
        if problem:
            raise problem

    def back_off(self, error: ClientError, *, tries: int) -> float | None:
        """Return after how long a stream that broke off is opened again, or None if it is not."""
        outcome = Outcome.UNSURE if isinstance(error, Unreachable) else Outcome.FINAL
        if isinstance(error, ProblemError):
            outcome = outcome_of(error.status)
        return self._retries.delay(outcome, tries=tries, repeatable=True, asked=_asked(error), draw=self._draw)


class _Failed(Exception):
    """One try failed."""

    def __init__(self, error: ProblemError | NotTheApi | Unreachable, outcome: Outcome) -> None:
        super().__init__(str(error))
        self.error = error
        self.outcome = outcome


def _asked(error: ClientError) -> float | None:
    return error.retry_after if isinstance(error, ProblemError) else None


def encode(body: Any) -> bytes:
    """Return a body as JSON; refuses NaN and what JSON has no form for, before anything is sent."""
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def as_text(value: object) -> str:
    """Return a value as a query has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _as_texts(value: object) -> str | list[str]:
    """Return a value as a query has it: of several, each by itself."""
    return [as_text(one) for one in value] if isinstance(value, list | tuple) else as_text(value)


def segment(name: str) -> str:
    """Return a name as one segment of a path; raises `WrongName` for what would lead to another path."""
    if name in {"", ".", ".."}:
        raise WrongName(f"{name!r} is not a name; write it like morning-briefing")
    return quote(name, safe="")


def retry_after(header: str | None) -> float | None:
    """Return the seconds of a ``Retry-After`` header, in either of its forms; None for no header or nonsense."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None


def checked_url(url: str) -> str:
    """Return a URL without a final slash; raises ``ValueError`` if it is none, or holds a password."""
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError):
        parsed = httpx2.URL("")
    if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.query or parsed.fragment:
        raise ValueError(f"{url}: not the URL of an API; write one such as http://127.0.0.1:8080")
    if parsed.userinfo:
        raise ValueError("the URL holds a user or a password; give a token instead")
    return url.rstrip("/")


def needs_certificates(url: str) -> bool:
    """Whether TLS may be spoken on the way to a URL, with the API or a proxy; loading certificates takes long."""
    return url.startswith("https:") or not is_loopback(url)


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine only."""
    host = httpx2.URL(url).host
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False

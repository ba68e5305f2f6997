"""
Asking the API: requests of the command line, and its problems as failures of a command.

Every command that needs the API opens one :class:`Rest` for the time it runs.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Self
from urllib.parse import quote

import httpx

import ordinaut
from ordinaut_cli.errors import FAILED, WRONG_INPUT, CommandError
from ordinaut_cli.options import DEFAULT_API

TIMEOUT: Final = 15.0
"""Seconds; the API answers within milliseconds or says itself that the database is away."""

PAGE: Final = 500

Json = dict[str, Any]


class RefusedError(CommandError):
    """The API refused a request; ``errors`` are the mistakes as it reported them, ``status`` is that of HTTP."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.errors: list[Json] = list(problem.get("errors", []))
        lines = [str(error["detail"]) for error in self.errors] or [str(problem.get("detail") or f"HTTP {status}")]
        super().__init__(*lines, exit_code=WRONG_INPUT if status in {400, 413, 422} else FAILED)


class Rest:
    """The API at one URL, in one namespace."""

    def __init__(self, url: str, *, namespace: str) -> None:
        self.url = checked_url(url)
        # Through no proxy: the API listens on this machine only.
        self._http = httpx.Client(
            base_url=f"{self.url}/v1/namespaces/{quote(namespace, safe='')}/",
            timeout=TIMEOUT,
            trust_env=False,
            headers={"User-Agent": f"ordinaut/{ordinaut.__version__}"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._http.close()

    def get(self, path: str, **query: object) -> Json:
        """Return the object at a path within the namespace."""
        return self._request("GET", path, params=_given(query))

    def items(self, path: str, *, limit: int | None = None, **query: object) -> Iterator[Json]:
        """Yield the items of a list, page by page, at most ``limit``."""
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            page = self.get(path, limit=PAGE if left is None else min(PAGE, left), cursor=cursor, **query)
            yield from page["items"]
            left = None if left is None else left - len(page["items"])
            cursor = page.get("nextCursor")
            if cursor is None:
                return

    def post(self, path: str, body: Json | None = None) -> Json:
        """Ask for something to be done."""
        return self._request("POST", path, json=body)

    def put(self, path: str, body: Json) -> Json:
        """Create or replace an object."""
        return self._request("PUT", path, json=body)

    def _request(self, method: str, path: str, **options: Any) -> Json:
        try:
            response = self._http.request(method, path, **options)
        except httpx.TimeoutException:
            raise CommandError(f"the API at {self.url} did not answer within {TIMEOUT:g} s") from None
        except httpx.HTTPError as error:
            raise CommandError(
                f"cannot reach the API at {self.url}: {error or type(error).__name__}",
                "start it with `ordinaut dev DIR`, or say where it is with --api or ORDINAUT_API_URL",
            ) from None
        return self._read(response)

    def _read(self, response: httpx.Response) -> Json:
        try:
            body = response.json() if response.content else {}
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise CommandError(f"{self.url} does not answer like the API of Ordinaut (HTTP {response.status_code})")
        if response.is_success:
            return body
        raise RefusedError(response.status_code, body)


def checked_url(url: str) -> str:
    """Return a URL without a final slash, or end the command because it is none."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme in {"http", "https"} and parsed.host:
        return url.rstrip("/")
    raise CommandError(f"--api: {url}: not a URL; write one such as {DEFAULT_API}", exit_code=WRONG_INPUT)


def _given(query: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in query.items() if value is not None}

"""
Reading from the API server with the caller's rights: one ``kubectl proxy`` on a socket that only the caller can open.

``installation`` and ``report`` ask dozens of questions; a kubectl for each of them would take many seconds, and the
program that makes the credentials would run as often. What can't be read raises :class:`Unseen` with the reason, so
that who gathers can go on without it and say so.
"""

import asyncio
import email.utils
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx2
import orjson

from ordinaut_cli.cluster.kubectl import Access, KubectlError, Serving, current_context

PATIENCE: Final = 5.0
"""Seconds for one answer."""

Object = Mapping[str, Any]

_CORE: Final = "/api/v1"
_JSON: Final = "application/json"
_UNREACHABLE: Final = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})


class Unseen(Exception):
    """Something could not be read; the text says why."""


class NotThere(Unseen):
    """There is no such object, or no such kind."""


class NotAllowed(Unseen):
    """The caller may not read it."""


class Away(Unseen):
    """The API server does not answer."""


class ApiServer:
    """The API server, as far as the caller may read it."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self.now = datetime.now(UTC)
        """The API server's time, by its latest answer."""

    async def get(self, path: str, **query: str) -> Any:
        """Return an object or a list; raises `Unseen`."""
        return orjson.loads((await self._ask(path, query)).content)

    async def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        """Return the objects of a list, each with its kind; raises `Unseen`."""
        found = await self.get(path, **query)
        kind = {"apiVersion": found.get("apiVersion"), "kind": str(found.get("kind", "")).removesuffix("List")}
        return [kind | item for item in found.get("items") or []]

    async def served(self, paths: Mapping[str, str]) -> dict[str, str]:
        """
        Return those of some kinds whose API group the server has, each with the path of its group.

        Who may not list a kind is refused before they are told that there is no such kind.
        """
        try:
            groups = {one["name"] for one in (await self.get("/apis"))["groups"]}
        except Unseen:
            return dict(paths)
        return {kind: path for kind, path in paths.items() if path == _CORE or path.split("/")[2] in groups}

    async def text(self, path: str, *, within: float = PATIENCE, **query: str) -> str:
        """Return an answer as text; raises `Unseen`."""
        return (await self._ask(path, query, within=within)).text

    async def of_pod(
        self, namespace: str, pod: str, port: int | str, path: str, *, within: float = PATIENCE
    ) -> tuple[int, str]:
        """Return status and text of what a process in a pod answers, also if it complains; raises `Unseen`."""
        whole = f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/{path}"
        answer = await self._send(whole, {}, within=within)
        if _is_the_servers(answer):
            raise _unseen(answer)
        return answer.status_code, answer.text

    async def _ask(self, path: str, query: Mapping[str, str], *, within: float = PATIENCE) -> httpx2.Response:
        answer = await self._send(path, query, within=within)
        if answer.is_success:
            return answer
        raise _unseen(answer)

    async def _send(self, path: str, query: Mapping[str, str], *, within: float) -> httpx2.Response:
        try:
            async with asyncio.timeout(within):
                answer = await self._http.get(path, params=dict(query), headers={"Accept": f"{_JSON}, */*"})
        except (httpx2.TransportError, TimeoutError) as error:
            raise Away(str(error) or f"no answer within {within:g} s") from None
        if date := answer.headers.get("date"):
            self.now = email.utils.parsedate_to_datetime(date)
        return answer


def _is_the_servers(answer: httpx2.Response) -> bool:
    """Whether an answer to a proxied request is the API server's own: what stands behind it did not answer."""
    if answer.is_success:
        return False
    try:
        body = answer.json()
    except ValueError:
        return answer.status_code in _UNREACHABLE
    return isinstance(body, dict) and body.get("kind") == "Status"


def _unseen(answer: httpx2.Response) -> Unseen:
    """Return the error for an answer that is no success, with the server's own words."""
    try:
        why = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        why = answer.text.strip().partition("\n")[0][:300] or f"HTTP {answer.status_code}"
    match answer.status_code:
        case HTTPStatus.NOT_FOUND:
            return NotThere(why)
        case HTTPStatus.FORBIDDEN | HTTPStatus.UNAUTHORIZED:
            return NotAllowed(why)
        case HTTPStatus.BAD_GATEWAY | HTTPStatus.GATEWAY_TIMEOUT:
            return Away(why)
        case _:
            return Unseen(why)


def _knows_no_cluster(access: Access) -> bool:
    """Whether kubectl would ask whatever listens on port 8080 of this machine: neither told where, nor in a pod."""
    return access == Access() and "KUBERNETES_SERVICE_HOST" not in os.environ and current_context() is None


@asynccontextmanager
async def reached(access: Access) -> AsyncIterator[ApiServer]:
    """Yield the API server of kubectl's cluster; raises `KubectlError` if kubectl knows none."""
    if await asyncio.to_thread(_knows_no_cluster, access):
        raise KubectlError(
            "kubectl knows no cluster: there is no current context",
            "name a kubeconfig with --kubeconfig or KUBECONFIG, or a context with --context",
        )
    with tempfile.TemporaryDirectory(prefix="ordinaut-") as folder:  # only its owner can enter it
        socket = str(Path(folder) / "api")
        proxy = Serving(access.command("proxy", f"--unix-socket={socket}"), announces="^Starting to serve on")
        try:
            limits = httpx2.Limits(max_connections=16)
            transport = httpx2.AsyncHTTPTransport(uds=socket, limits=limits)
            async with httpx2.AsyncClient(base_url="http://localhost", transport=transport, timeout=None) as http:
                yield ApiServer(http)
        finally:
            proxy.close()

"""
A proxy in front of the API server that a test can make fail: 503 to everything, connections refused, and back.

Killing the API server (`ControlPlane.stop_apiserver`) takes it away from every client; this proxy takes it away from
one client only, and gives the answers that a load balancer without back-ends gives. A test points the client under
test at `kubeconfig_for(...)` and calls `switch`. TLS ends here, with a certificate of the control plane's own
authority; the client's `Authorization` header goes on to the API server, and watches stream through. The event loop
runs in a thread of its own.
"""

import asyncio
import enum
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Coroutine, Mapping
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from tests.cluster.controlplane import ControlPlane
from tests.cluster.processes import free_port

_HOP_BY_HOP = {"connection", "host", "keep-alive", "transfer-encoding", "upgrade"}  # RFC 9110, section 7.6.1
_BODY_LIMIT = 16 * 1024 * 1024  # bytes; the API server takes 3 MiB
_SWITCH_DEADLINE = 10.0  # seconds


class Mode(enum.Enum):
    """What a request meets."""

    PASSING = "the API server"
    UNAVAILABLE = "503 for everything, as from a load balancer without back-ends"
    REFUSING = "no listener: the connection is refused"


class FaultProxy:
    """A context manager; `url` stays the same over all modes, `answered` counts the requests answered in each mode."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self._control_plane = control_plane
        self._port = free_port()
        self.url = f"https://127.0.0.1:{self._port}"
        self.answered: Counter[Mode] = Counter()
        self._mode = Mode.PASSING
        self._runner: web.AppRunner | None = None
        self._sockets: WeakSet[socket.socket] = WeakSet()

    def kubeconfig_for(self, service_account: str, namespace: str) -> Path:
        """As `ControlPlane.kubeconfig_for`, through this proxy."""
        return self._control_plane.kubeconfig_for(service_account, namespace, url=self.url)

    def switch(self, mode: Mode) -> None:
        """Change the mode; all open connections, watches too, are dropped, so no client lives on in the old one."""
        self._run(self._switch(mode))

    def __enter__(self) -> Self:
        pair = self._control_plane.authority.issue("fault-proxy", addresses=["127.0.0.1"])
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(pair.certificate, pair.key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy")
        self._thread.start()
        try:
            self._run(self._open())
        except BaseException:
            self._end_loop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._run(self._close())
        finally:
            self._end_loop()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_SWITCH_DEADLINE)

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> None:
        self._upstream = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._control_plane.tls(), limit=0, socket_factory=self._socket),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        await self._switch(Mode.PASSING)

    async def _close(self) -> None:
        await self._switch(Mode.REFUSING)
        await self._upstream.close()
        # TLS says farewell and waits for an answer; what is still open when the loop ends would never be closed.
        while any(one.fileno() >= 0 for one in self._sockets):
            await asyncio.sleep(0.01)

    def _socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """Make a socket for the way to the API server."""
        family, kind, protocol, _, _ = address
        made = socket.socket(family, kind, protocol)
        self._sockets.add(made)
        return made

    async def _switch(self, mode: Mode) -> None:
        if self._runner:
            await _drop(self._runner)
            self._runner = None
        self._mode = mode
        if mode is Mode.REFUSING:
            return
        application = web.Application(client_max_size=_BODY_LIMIT)
        application.router.add_route("*", "/{path:.*}", self._answer)
        # Cancelled with its connection, a watch ends in the API server as soon as its client has left.
        self._runner = web.AppRunner(application, handler_cancellation=True, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._tls).start()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.answered[self._mode] += 1
        if self._mode is Mode.UNAVAILABLE:
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE, text="no back-end is available\n")
        try:
            return await self._pass_on(request)
        except aiohttp.ClientConnectorError as error:
            return web.Response(status=HTTPStatus.BAD_GATEWAY, text=f"{error}\n")

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        target = URL(self._control_plane.url + request.raw_path, encoded=True)
        headers = _end_to_end(request.headers)
        body = await request.read()
        async with self._upstream.request(request.method, target, headers=headers, data=body or None) as upstream:
            answer = web.StreamResponse(status=upstream.status, headers=_end_to_end(upstream.headers))
            await answer.prepare(request)
            async for chunk in upstream.content.iter_any():
                await answer.write(chunk)
            await answer.write_eof()
            return answer


async def _drop(runner: web.AppRunner) -> None:
    """Stop listening and cut every connection, without the farewell of TLS that a client could hold up."""
    assert runner.server
    for site in list(runner.sites):
        await site.stop()
    while connections := runner.server.connections:
        for connection in connections:
            if connection.transport:
                connection.transport.abort()
        await asyncio.sleep(0)
    await runner.cleanup()


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _HOP_BY_HOP)

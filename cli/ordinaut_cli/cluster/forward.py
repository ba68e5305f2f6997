"""
The way to an API inside of a cluster: ``kubectl port-forward`` for as long as a command works.

The client of ``asking`` sends its requests through a :class:`ForwardedTransport`. A token goes to the local port only
while the kubectl that opened it runs: a port that it has left may belong to somebody else. One that broke off, since
its pod went, is opened again on another port.
"""

from typing import Final

import httpx2

from ordinaut_cli.cluster.address import Address
from ordinaut_cli.cluster.kubectl import Access, KubectlError, Serving

LOOPBACK: Final = "127.0.0.1"
_ANNOUNCES: Final = rf"Forwarding from {LOOPBACK}:(\d+) ->"


class Forward:
    """A port of this machine that leads to a Service; opened when it is needed."""

    def __init__(self, address: Address, access: Access) -> None:
        self._address = address
        self._access = access
        self._serving: Serving | None = None

    def port(self) -> int:
        """
        Return the port that leads there now.

        Raises:
            KubectlError: the way could not be opened; that ends the command.
            httpx2.ConnectError: it broke off and could not be opened again yet.
        """
        if self._serving is not None and not self._serving.alive:
            self._serving.close()
            try:
                self._serving = self._open()
            except KubectlError as error:
                raise httpx2.ConnectError(str(error)) from None
        elif self._serving is None:
            self._serving = self._open()
        return int(self._serving.said[1])

    @property
    def complaint(self) -> str:
        """What kubectl has complained about last."""
        return self._serving.complaint if self._serving else ""

    def close(self) -> None:
        """Close the way."""
        if self._serving is not None:
            self._serving.close()
            self._serving = None

    def _open(self) -> Serving:
        address = self._address
        command = self._access.command(
            "port-forward",
            f"--namespace={address.namespace}",
            f"--address={LOOPBACK}",
            f"service/{address.service}",
            f":{address.port}",
        )
        return Serving(command, announces=_ANNOUNCES)


class ForwardedTransport(httpx2.AsyncBaseTransport):
    """Sends every request through a `Forward`."""

    def __init__(self, forward: Forward, inner: httpx2.AsyncBaseTransport) -> None:
        self._forward = forward
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the answer to a request, wherever its URL leads."""
        port = self._forward.port()
        request.url = request.url.copy_with(scheme="http", host=LOOPBACK, port=port)
        request.headers["Host"] = f"{LOOPBACK}:{port}"
        try:
            return await self._inner.handle_async_request(request)
        except httpx2.TransportError as error:
            if complaint := self._forward.complaint:
                raise type(error)(f"{error}; kubectl: {complaint}") from None
            raise

    async def aclose(self) -> None:
        """Close the connections, and the way."""
        await self._inner.aclose()
        self._forward.close()

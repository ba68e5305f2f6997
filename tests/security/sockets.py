"""The api as a process of its own, and requests to it as bytes, which no client library mends on the way."""

import contextlib
import http.client
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx2

from tests.cluster.processes import free_port
from tests.running import Processes, Running
from tests.security.tenants import Access


@dataclass(frozen=True)
class Raw:
    """An answer, read from the socket; status 0 means that the connection was closed without one."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass(frozen=True)
class Served:
    """A started api."""

    process: Running
    port: int
    access: Access

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def call(self, who: str | None, method: str, path: str, **more: Any) -> httpx2.Response:
        """Send a well-formed request as somebody; None sends no token."""
        headers = {**(self.access.headers(who) if who else {}), **more.pop("headers", {})}
        return httpx2.request(method, f"{self.url}{path}", headers=headers, timeout=30, **more)

    def send(self, *parts: bytes, seconds: float = 20) -> Raw:
        """Send bytes and return the first answer to them."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            for part in parts:
                connection.sendall(part)
            return next(iter(read(connection)), Raw(0, http.client.HTTPMessage(), b""))

    def get(self, target: bytes, *headers: bytes, who: str | None = "admin-a") -> Raw:
        """Send a GET of a target that stands in the request line as it is."""
        return self.send(self.request(target, *headers, who=who))

    def request(self, target: bytes, *headers: bytes, who: str | None = "admin-a", method: bytes = b"GET") -> bytes:
        """Return the bytes of a request without a body."""
        token = [f"Authorization: Bearer {self.access.tokens[who]}".encode()] if who else []
        return lines([method + b" " + target + b" HTTP/1.1", b"Host: x", b"Connection: close", *token, *headers])

    def is_well(self) -> bool:
        """Whether the process is the same as ever: alive, answering, and answering to those who may ask."""
        alive = self.process.process.poll() is None and self.call(None, "GET", "/healthz").status_code == 200
        return alive and self.call("viewer-a", "GET", "/v1/whoami").status_code == 200


def serve(processes: Processes, access: Access, *, module: str = "api", **settings: object) -> Served:
    """Start the api; returns when it is ready."""
    port = free_port()
    process = processes.start(module, api_port=port, **{**access.environment, **settings})
    return Served(process, port, access)


def lines(parts: Iterable[bytes]) -> bytes:
    """Return the head of a request."""
    return b"\r\n".join([*parts, b"", b""])


def read(connection: socket.socket, count: int = 1) -> list[Raw]:
    """Return the answers that come on a connection, one after the other; fewer if it is closed before."""
    found = []
    with connection.makefile("rb") as reader, contextlib.suppress(ConnectionError):
        while len(found) < count and (first := reader.readline()):
            headers = http.client.parse_headers(reader)
            body = reader.read(int(headers["content-length"] or 0))
            found.append(Raw(int(first.split()[1]), headers, body))
    return found

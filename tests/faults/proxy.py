"""
A proxy in front of PostgreSQL that makes a network's faults, one connection at a time.

It reads as much of the wire protocol as it needs to lose the reply of a commit: the transaction is over, and whoever
asked for it never hears so. The event loop runs in a thread of its own. Frontend and backend messages are described in
PostgreSQL's manual, "Message Formats".
"""

import asyncio
import enum
import random
import socket
import struct
import threading
from collections import Counter
from typing import Self

from psycopg import conninfo

_LONGEST_DELAY = 0.3
"""Seconds that a slow connection keeps back each answer, at most."""


class Fault(enum.Enum):
    """What may happen to a connection."""

    RESET = "cut with a RST, both ways"
    BLACK_HOLE = "everything is taken and nothing arrives, until the client gives up"
    LATENCY = "answers come late from now on"
    COMMIT_REPLY = "the next transaction that ends is cut after its end and before its reply"


class _Link:
    """One connection of a client, and the one to PostgreSQL that it stands for."""

    def __init__(self, proxy: "DatabaseProxy", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._held = bytearray()
        self.silent = False
        self.delay = 0.0

    async def carry(self) -> None:
        """Carry what both sides say until one of them hangs up."""
        from_server, to_server = await self._proxy.connect()
        pumps = [
            asyncio.create_task(self._forward(self._reader, to_server)),
            asyncio.create_task(self._back(from_server)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            if self.silent:  # the server may hang up as it likes: the client doesn't hear of it
                await asyncio.wait(pumps[:1])
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)
            to_server.close()
            self._writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await _read(reader):
            if not self.silent:
                writer.write(data)

    async def _back(self, reader: asyncio.StreamReader) -> None:
        while message := await _message(reader):
            if self.silent:
                continue
            if self.delay:
                await asyncio.sleep(self.delay)
            self._held += message
            if not self._proxy.armed:
                self.flush()
            elif message[:1] == b"Z":  # ReadyForQuery, with the state of the transaction
                if message[-1:] == b"I":
                    self._proxy.armed = False
                    self._proxy.done[Fault.COMMIT_REPLY] += 1
                    self.reset()
                    return
                self.flush()

    def flush(self) -> None:
        """Pass on what was held back."""
        if self._held and not self._writer.is_closing():
            self._writer.write(bytes(self._held))
        self._held.clear()

    def reset(self) -> None:
        """Cut the connection with a RST."""
        sock = self._writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


class DatabaseProxy:
    """A context manager; ``url`` leads to the same database as ``upstream``, ``done`` counts what was done to links."""

    def __init__(self, upstream: str) -> None:
        self._to = conninfo.conninfo_to_dict(upstream)
        self.armed = False
        self.done: Counter[Fault] = Counter()
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="database-proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._accept, "127.0.0.1", 0), self._loop
        ).result()
        port = self._server.sockets[0].getsockname()[1]
        self.url = conninfo.make_conninfo(
            **self._to | {"host": "127.0.0.1", "port": port, "sslmode": "disable", "gssencmode": "disable"}
        )
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def strike(self, fault: Fault, *, chance: random.Random) -> None:
        """Make a fault on some connection."""
        self._loop.call_soon_threadsafe(self._strike, fault, chance)

    def _strike(self, fault: Fault, chance: random.Random) -> None:
        if fault is Fault.COMMIT_REPLY:
            self.armed = True
            return
        whole = sorted((link for link in self._links if not link.silent), key=id)
        if not whole:
            return
        link = chance.choice(whole)
        if fault is Fault.RESET:
            link.reset()
        elif fault is Fault.BLACK_HOLE:
            link.silent = True
        else:
            link.delay = chance.uniform(0, _LONGEST_DELAY)
        self.done[fault] += 1

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to PostgreSQL."""
        host, port = str(self._to.get("host", "127.0.0.1")), self._to.get("port", 5432)
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, int(port))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._links.add(link := _Link(self, reader, writer))
        try:
            await link.carry()
        except (OSError, asyncio.CancelledError):  # PostgreSQL refuses it, or the proxy closes
            writer.close()
        finally:
            self._links.discard(link)
            self._tasks.discard(task)
            if not self.armed:
                for other in self._links:
                    other.flush()

    async def _close(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(1 << 16)
    except OSError:
        return b""


async def _message(reader: asyncio.StreamReader) -> bytes:
    """Read one message of the server: its type, its length, its body."""
    try:
        head = await reader.readexactly(5)
        return head + await reader.readexactly(int.from_bytes(head[1:], "big") - 4)
    except (OSError, asyncio.IncompleteReadError):
        return b""

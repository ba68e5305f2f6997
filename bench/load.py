"""
``python -m bench.load URL``: asks for one URL over and over from some connections, and prints what it saw as JSON.

A process of its own, so that its work is not the server's. It speaks just enough HTTP/1.1 to take some 40 µs a
request, where a full client takes ten times that and would be what is measured. With ``--rate`` requests are sent at
fixed times whatever becomes of those before (their latency counts from that time on), else as fast as answers come.
"""

import argparse
import asyncio
import json
import time
from urllib.parse import urlsplit

import uvloop


class Connection:
    """One kept-alive connection."""

    def __init__(self, url: str, *, token: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        head = [f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}"]
        if token:
            head.append(f"Authorization: Bearer {token}")
        self._request = "\r\n".join([*head, "", ""]).encode()

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)

    async def ask(self) -> None:
        """Send the request and read the answer; anything but 200 ends the benchmark."""
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        body = await self._reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"{head.decode()}{body.decode()}")


async def closed(connections: list[Connection], *, seconds: float) -> list[float]:
    """Ask on all connections at once, each as soon as it has its answer."""
    end = time.perf_counter() + seconds
    taken: list[float] = []

    async def client(connection: Connection) -> None:
        while (start := time.perf_counter()) < end:
            await connection.ask()
            taken.append(time.perf_counter() - start)

    await asyncio.gather(*map(client, connections))
    return taken


async def paced(connections: list[Connection], *, seconds: float, rate: float) -> list[float]:
    """Ask at fixed times."""
    begin = time.perf_counter()
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in connections:
        free.put_nowait(connection)
    taken: list[float] = []

    async def one(due: float) -> None:
        connection = await free.get()
        await connection.ask()
        taken.append(time.perf_counter() - due)
        free.put_nowait(connection)

    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * rate)):
            due = begin + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(one(due))
    return taken


async def run(asked: argparse.Namespace) -> None:
    connections = [Connection(asked.url, token=asked.token) for _ in range(asked.clients)]
    for connection in connections:
        await connection.open()
    start = time.perf_counter()
    if asked.rate:
        taken = await paced(connections, seconds=asked.seconds, rate=asked.rate)
    else:
        taken = await closed(connections, seconds=asked.seconds)
    print(json.dumps({"seconds": time.perf_counter() - start, "taken": taken}))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--token", default="")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second; 0: as fast as answers come")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()

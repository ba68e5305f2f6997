"""DBOS: a durable workflow with one step, from a queue that is asked every 10 ms."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import psycopg
from dbos import DBOS, DBOSClient, DBOSConfig

from bench.peers.protocol import Handle, main

QUEUE = "noop"
POLLING = 0.01
"""Seconds between two looks at the queue, and at whether all is settled."""

SENDERS = 8
CONCURRENCY = 100
"""Workflows of one process at a time; without a limit all that wait are taken at once, and it is slower."""

UNSETTLED = b"SELECT count(*) FROM dbos.workflow_status WHERE queue_name = 'noop' AND status <> 'SUCCESS'"

_handle: Handle
"""Of the drain or worker under way."""

_one_at_a_time = Lock()
"""Steps run in threads, and what counts them is not made for that."""


@DBOS.step()
def step(n: int) -> None:
    with _one_at_a_time:
        _handle(n)


@DBOS.workflow()
def noop(n: int) -> None:
    step(n)


class Dbos:
    """The queue; a process either sends or, once it has been launched, works."""

    def __init__(self, url: str, variant: str) -> None:
        del variant
        self._url = url

    async def open(self) -> None:
        self._connection = await psycopg.AsyncConnection.connect(self._url, autocommit=True)
        row = await (await self._connection.execute(b"SELECT to_regclass('dbos.workflow_status')")).fetchone()
        if row == (None,):
            # By starting it, which a process that only sends must not do: it would work, too.
            await asyncio.to_thread(self._install)
        self._client = DBOSClient(system_database_url=_sqlalchemy(self._url))

    async def enqueue(self, numbers: Sequence[int]) -> None:
        with ThreadPoolExecutor(SENDERS) as senders:
            loop = asyncio.get_running_loop()
            await asyncio.gather(*(loop.run_in_executor(senders, self._send, number) for number in numbers))

    async def drain(self, handle: Handle, *, until: Callable[[], bool]) -> None:
        await asyncio.to_thread(self._launch, handle)
        while not until() or await self.left():
            await asyncio.sleep(POLLING)
        await asyncio.to_thread(DBOS.destroy)

    async def work(self, handle: Handle) -> None:
        await asyncio.to_thread(self._launch, handle)
        try:
            await asyncio.Event().wait()
        finally:
            DBOS.destroy()

    async def left(self) -> int:
        row = await (await self._connection.execute(UNSETTLED)).fetchone()
        assert row is not None
        return int(row[0])

    async def close(self) -> None:
        self._client.destroy()
        await self._connection.close()

    def _send(self, number: int) -> None:
        # Work is taken only of the application's own version, which others must name.
        self._client.enqueue({"queue_name": QUEUE, "workflow_name": noop.__qualname__, "app_version": VERSION}, number)

    def _install(self) -> None:
        """Have DBOS make its tables."""
        self._start()
        DBOS.destroy()

    def _launch(self, handle: Handle) -> None:
        global _handle  # noqa: PLW0603 - workflows are functions of a module
        _handle = handle
        self._start()

    def _start(self) -> None:
        config: DBOSConfig = {
            "name": "bench",
            "system_database_url": _sqlalchemy(self._url),
            "application_version": VERSION,
            "console_log_level": "ERROR",
        }
        made: Any = DBOS(config=config)
        del made
        DBOS.launch()
        DBOS.register_queue(QUEUE, worker_concurrency=CONCURRENCY, polling_interval_sec=POLLING)


VERSION = "1"


def _sqlalchemy(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


if __name__ == "__main__":
    main(Dbos)

"""procrastinate with its psycopg connector, 20 jobs at a time."""

from collections.abc import Callable, Sequence

import uvloop
from procrastinate import App, PsycopgConnector

from bench.peers.protocol import Handle, main

CONCURRENCY = 20


class Procrastinate:
    """The queue."""

    def __init__(self, url: str, variant: str) -> None:
        del variant
        self._app = App(connector=PsycopgConnector(conninfo=url, max_size=CONCURRENCY + 4))
        self._handle: Handle
        # The name is what joins the task of the process that sends with that of the one that works.
        self._task = self._app.task(name="noop")(self._noop)

    async def _noop(self, n: int) -> None:
        self._handle(n)

    async def open(self) -> None:
        await self._app.open_async()
        there = await self._app.connector.execute_query_one_async(
            "SELECT to_regclass('procrastinate_jobs') IS NOT NULL AS there"
        )
        if not there["there"]:
            await self._app.schema_manager.apply_schema_async()

    async def enqueue(self, numbers: Sequence[int]) -> None:
        await self._task.batch_defer_async(*({"n": number} for number in numbers))

    async def drain(self, handle: Handle, *, until: Callable[[], bool]) -> None:
        del until
        self._handle = handle
        await self._app.run_worker_async(wait=False, concurrency=CONCURRENCY, install_signal_handlers=False)

    async def work(self, handle: Handle) -> None:
        self._handle = handle
        await self._app.run_worker_async(concurrency=CONCURRENCY, install_signal_handlers=False)

    async def left(self) -> int:
        row = await self._app.connector.execute_query_one_async(
            "SELECT count(*) AS jobs FROM procrastinate_jobs WHERE status <> 'succeeded'"
        )
        return int(row["jobs"])

    async def close(self) -> None:
        await self._app.close_async()


if __name__ == "__main__":
    main(Procrastinate, run=uvloop.run)

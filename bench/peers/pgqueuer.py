"""pgqueuer with its asyncpg driver on uvloop, as its own command line runs it, and batches of 100."""

from collections.abc import Callable, Sequence

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

from bench.peers.protocol import Handle, main

BATCH = 100


class Pgqueuer:
    """The queue."""

    def __init__(self, url: str, variant: str) -> None:
        del variant
        self._url = url

    async def open(self) -> None:
        self._connection = await asyncpg.connect(self._url)
        self._queries = Queries(AsyncpgDriver(self._connection))
        if not await self._connection.fetchval("SELECT to_regclass('pgqueuer') IS NOT NULL"):
            await self._queries.install()

    async def enqueue(self, numbers: Sequence[int]) -> None:
        jobs = len(numbers)
        await self._queries.enqueue(["noop"] * jobs, [str(number).encode() for number in numbers], [0] * jobs)

    async def drain(self, handle: Handle, *, until: Callable[[], bool]) -> None:
        del until
        await self._run(handle, QueueExecutionMode.drain)

    async def work(self, handle: Handle) -> None:
        await self._run(handle, QueueExecutionMode.continuous)

    async def left(self) -> int:
        return int(await self._connection.fetchval("SELECT count(*) FROM pgqueuer"))

    async def close(self) -> None:
        await self._connection.close()

    async def _run(self, handle: Handle, mode: QueueExecutionMode) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            queuer = PgQueuer(AsyncpgDriver(connection))

            @queuer.entrypoint("noop")
            async def noop(job: Job) -> None:
                handle(int(job.payload or b"0"))

            await queuer.run(batch_size=BATCH, mode=mode)
        finally:
            await connection.close()


if __name__ == "__main__":
    main(Pgqueuer, run=uvloop.run)

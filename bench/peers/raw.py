"""
The least that a durable queue in PostgreSQL must do, as a bar: a table, a lease and a delete, and nothing around them.

No priorities, no attempts, nobody to take a lost lease back. Variants: ``one`` leases and deletes one job at a time on
16 connections; ``batch`` a hundred, in two statements; ``fused`` five hundred, and deletes those of the batch before in
the same statement. They use psycopg as Ordinaut does, with lists packed at once.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
import uvloop
from psycopg import AsyncConnection

from bench.peers.protocol import Handle, main
from ordinaut.store import arrays

CONNECTIONS = 16
BATCH: Final = {"one": 1, "batch": 100, "fused": 500}

TABLE = b"""
CREATE TABLE IF NOT EXISTS job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    due_at timestamptz NOT NULL DEFAULT now(),
    locked_until timestamptz,
    payload jsonb NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX IF NOT EXISTS job_ready ON job (due_at, id) WHERE locked_until IS NULL
"""
ENQUEUE = (
    b"WITH made AS (INSERT INTO job (payload) SELECT p::jsonb FROM unnest(%(payloads)b::text[]) AS p RETURNING id)"
    b" SELECT pg_notify('job', ''), count(*) FROM made"
)
LEASE = (
    b"UPDATE job SET locked_until = now() + interval '30 s' WHERE ctid = ANY(ARRAY("
    b" SELECT ctid FROM job WHERE locked_until IS NULL AND (due_at, id) > (%(after_due)b, %(after_id)b::bigint)"
    b" ORDER BY due_at, id LIMIT %(limit)b FOR UPDATE SKIP LOCKED)) RETURNING id, due_at, payload"
)
SETTLE = b"DELETE FROM job WHERE id = ANY(%(done)b::bigint[])"
FUSED = b"WITH settled AS (" + SETTLE + b") " + LEASE

START: Final = {"after_due": datetime.min.replace(tzinfo=UTC), "after_id": 0}

arrays.register()


class Raw:
    """The loop; ``variant`` is one of :data:`BATCH`."""

    def __init__(self, url: str, variant: str) -> None:
        self._url = url
        self._variant = variant or "fused"
        self._batch = BATCH[self._variant]

    async def open(self) -> None:
        self._connection = await self._connect()
        await self._connection.execute(TABLE, prepare=False)

    async def enqueue(self, numbers: Sequence[int]) -> None:
        payloads = [json.dumps({"n": number}) for number in numbers]
        await self._connection.execute(ENQUEUE, {"payloads": payloads})

    async def drain(self, handle: Handle, *, until: Callable[[], bool]) -> None:
        del until  # it is empty when nothing comes back
        if self._variant == "fused":
            await self._fused(self._connection, handle)
        elif self._variant == "batch":
            await self._one_by_one(self._connection, handle)
        else:
            async with asyncio.TaskGroup() as group:
                for _ in range(CONNECTIONS):
                    group.create_task(self._alone(handle))

    async def work(self, handle: Handle) -> None:
        async with self._notified() as wake:
            while True:
                await wake.wait()
                wake.clear()
                await self._fused(self._connection, handle)

    async def left(self) -> int:
        row = await (await self._connection.execute(b"SELECT count(*) FROM job")).fetchone()
        assert row is not None
        return int(row[0])

    async def close(self) -> None:
        await self._connection.close()

    async def _connect(self) -> AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(self._url, autocommit=True, prepare_threshold=0)

    async def _alone(self, handle: Handle) -> None:
        async with await self._connect() as connection:
            await self._one_by_one(connection, handle)

    async def _one_by_one(self, connection: AsyncConnection[Any], handle: Handle) -> None:
        # The watermark spares what is gone already; a lone lease goes without, as others may be ahead of it.
        place: dict[str, Any] = dict(START)
        cursor = connection.cursor(binary=True)
        while jobs := await (await cursor.execute(LEASE, place | {"limit": self._batch})).fetchall():
            for _, _, payload in jobs:
                handle(payload["n"])
            await cursor.execute(SETTLE, {"done": [job[0] for job in jobs]})
            if self._variant == "batch":
                place = _behind(jobs)

    async def _fused(self, connection: AsyncConnection[Any], handle: Handle) -> None:
        place: dict[str, Any] = dict(START)
        done: list[int] = []
        cursor = connection.cursor(binary=True)
        while True:
            jobs = await (await cursor.execute(FUSED, place | {"limit": self._batch, "done": done})).fetchall()
            for _, _, payload in jobs:
                handle(payload["n"])
            if not jobs:
                return
            done = [job[0] for job in jobs]
            place = _behind(jobs)

    @asynccontextmanager
    async def _notified(self) -> AsyncIterator[asyncio.Event]:
        wake = asyncio.Event()
        wake.set()
        async with await self._connect() as connection:
            await connection.execute(b"LISTEN job")

            async def listen() -> None:
                async for _ in connection.notifies():
                    wake.set()

            task = asyncio.create_task(listen())
            try:
                yield wake
            finally:
                task.cancel()


def _behind(jobs: Sequence[tuple[int, datetime, Any]]) -> dict[str, Any]:
    due, last = max((job[1], job[0]) for job in jobs)
    return {"after_due": due, "after_id": last}


if __name__ == "__main__":
    main(Raw, run=uvloop.run)

"""
Ordinaut's own queue, in the same protocol.

``queue`` (the default) is the queue alone: runs are leased by the product's statement, from a flow behind its place
and joined with run and task as a worker needs them; the handler gets the params; and the settlement is what is left of
the product's once there is nothing to record: the fence and the end of the lease, in one transaction with the next
lease. No result, step or event is written, so the rows of ``run`` stay as they were made.

``task`` sends by running a Task by hand, as the API does, for workers of the product (:mod:`bench.stamped`).
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

import uvloop

from bench.peers.protocol import Handle, main
from ordinaut.process import keep
from ordinaut.states import Trigger
from ordinaut.store import clock, migrate, pool, runs, work
from ordinaut.store.ids import new_run_id
from ordinaut.store.listen import listen
from ordinaut.store.pool import open_pool
from ordinaut.store.queries import SQL
from ordinaut.store.runs import NewRun
from ordinaut.store.work import Head, LeasedWork, Share
from tests.declaring import declare, run_now, task

BATCH = 500
LEASE = timedelta(seconds=30)
UNSETTLED = b"SELECT (SELECT count(*) FROM due_work) + (SELECT count(*) FROM work_lease)"
STEP = {"id": "say", "uses": "std.log", "with": {"message": "${params.n}"}}


class Ours:
    """The queue of a database of Ordinaut."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def open(self) -> None:
        self._connection = await pool.connect(self._url, application="bench")
        await migrate.migrate(self._connection)
        async with open_pool(self._url, application="bench", size=1) as opened:
            await declare(opened, task("noop", STEP, params={"n": 0}))

    async def enqueue(self, numbers: Sequence[int]) -> None:
        async with self._connection.transaction():
            found = await clock.lock_task(self._connection, namespace="default", name="noop")
            assert found is not None
            assert found.revision is not None
            new = [
                NewRun(new_run_id(found.now), "default", found.task_id, found.revision, 5, {"n": number})
                for number in numbers
            ]
            async with self._connection.pipeline():
                await runs.create(self._connection, new, trigger=Trigger.MANUAL)

    async def drain(self, handle: Handle, *, until: Callable[[], bool]) -> None:
        del until  # it is empty when nothing comes back
        leased = await self._turn([], place=None)
        while leased:
            for one in leased:
                handle(one.params["n"])
            leased = await self._turn(leased, place=leased[-1] if len(leased) == BATCH else None)

    async def work(self, handle: Handle) -> None:
        wake = asyncio.Event()
        wake.set()

        async def hear(channel: str, payload: str) -> None:
            del channel, payload
            wake.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(listen(self._url, ["ordinaut_work"], hear, application="bench"))
            while True:
                await wake.wait()
                wake.clear()
                await self.drain(handle, until=lambda: True)

    async def left(self) -> int:
        row = await (await self._connection.execute(UNSETTLED)).fetchone()
        assert row is not None
        return int(row[0])

    async def close(self) -> None:
        await self._connection.close()

    async def _turn(self, before: Sequence[LeasedWork], *, place: LeasedWork | None) -> list[LeasedWork]:
        """Settle a batch and lease the next one, in one commit."""
        heads = [] if place else [Head(0, BATCH)]
        shares = [Share(place.flow, BATCH, place.due_at, place.id)] if place else []
        if not before:
            return await work.take(self._connection, worker="bench", limit=BATCH, ttl=LEASE, heads=heads, shares=shares)
        leases = {"leases": [before[0].lease_id]}
        async with self._connection.transaction():
            held = await (await self._connection.execute(SQL["fence"], leases)).fetchall()
            assert {item for _, items in held for item in items} == {one.id for one in before}, "the lease was lost"
            async with self._connection.pipeline():
                await self._connection.execute(SQL["drop_leases"], leases)
                return await work.take(
                    self._connection, worker="bench", limit=BATCH, ttl=LEASE, heads=heads, shares=shares
                )


class ByHand(Ours):
    """The same, but that runs are made by hand one by one, as the API makes them."""

    async def open(self) -> None:
        await super().open()
        self._pool = open_pool(self._url, application="bench", size=1)
        self._opened = await self._pool.__aenter__()

    async def enqueue(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            await run_now(self._opened, namespace="default", name="noop", params={"n": number})

    async def close(self) -> None:
        await self._pool.__aexit__(None, None, None)
        await super().close()


if __name__ == "__main__":
    keep()
    main(lambda url, variant: ByHand(url) if variant == "task" else Ours(url), run=uvloop.run)

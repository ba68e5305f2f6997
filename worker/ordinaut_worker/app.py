"""
The worker process, put together.

``python -m ordinaut_worker`` calls :func:`main`. SIGTERM and SIGINT drain: no more leasing, runs finish within the
grace, the rest goes back to the queue.
"""

import asyncio
import sys
from datetime import timedelta
from uuid import UUID

import httpx2

from ordinaut import __version__, process
from ordinaut.probes import Readiness
from ordinaut.store.listen import Channel, listen
from ordinaut.store.pool import Pool, open_pool
from ordinaut.store.ready import wait_until_migrated
from ordinaut.store.workers import Announcement
from ordinaut_worker import flags
from ordinaut_worker.attempt import Limits
from ordinaut_worker.execute import Executor
from ordinaut_worker.heartbeat import Heartbeat
from ordinaut_worker.holding import Holding
from ordinaut_worker.loop import WorkLoop
from ordinaut_worker.plans import Plans
from ordinaut_worker.queues import ChosenQueues
from ordinaut_worker.settings import WorkerSettings
from ordinaut_worker.settle import Settler
from ordinaut_worker.toolbox import DeclaredTools
from ordinaut_worker.tools import http

MAX_IDLE = timedelta(seconds=60)
"""Time between two statements of a transaction, at most."""

MIN_PATIENCE, MAX_PATIENCE = timedelta(seconds=5), timedelta(seconds=30)
"""Time that a statement may take; between them, that of a lease: results that come later count for nothing."""

POOL_SIZE = 4
"""Settling and leasing use one connection each; the others load plans and results."""


def main() -> None:
    """Run a worker until SIGTERM or SIGINT."""
    process.start("worker", WorkerSettings, run, flags=flags.read(sys.argv[1:]))


async def run(configured: WorkerSettings) -> None:
    """Run a worker until a signal has been taken and its runs have been drained."""
    readiness = Readiness(database="not connected yet")
    async with (
        process.running(
            configured,
            readiness=readiness,
            worker=configured.worker_name,
            slots=configured.worker_slots,
            queues=configured.worker_queues,
        ) as stopped,
        open_pool(
            configured.database_url.get_secret_value(),
            application="worker",
            size=POOL_SIZE,
            # A worker that is stopped in the middle of a commit must not keep its leases from the reaper.
            idle_in_transaction=min(configured.lease, MAX_IDLE),
            statement_timeout=max(MIN_PATIENCE, min(configured.lease, MAX_PATIENCE)),
            by_key=True,
            planned_once=True,
        ) as pool,
        http.client(connections=configured.worker_slots) as client,
    ):
        migrated = asyncio.create_task(wait_until_migrated(pool, readiness=readiness))
        await asyncio.wait({migrated, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if migrated.done():
            await _work(configured, pool, client, readiness=readiness, stopped=stopped)
        await process.stop(migrated)


async def _work(
    configured: WorkerSettings,
    pool: Pool,
    client: httpx2.AsyncClient,
    *,
    readiness: Readiness,
    stopped: "asyncio.Task[bool]",
) -> None:
    holding = Holding()
    settler = Settler(pool, holding=holding)
    executor = Executor(
        pool,
        settler=settler,
        plans=Plans(pool),
        toolbox=DeclaredTools(pool, client, max_answer_bytes=configured.max_output_bytes),
        limits=Limits(
            step_timeout=timedelta(seconds=configured.step_timeout_seconds),
            max_output_bytes=configured.max_output_bytes,
        ),
    )
    chosen = ChosenQueues(pool, names=configured.worker_queues, changed=lambda: wake(None))
    work = WorkLoop(
        pool,
        worker=configured.worker_name,
        queues=lambda: chosen.numbers,
        slots=configured.worker_slots,
        lease=configured.lease,
        poll=timedelta(seconds=configured.poll_seconds),
        holding=holding,
        settler=settler,
        begin=executor.begin,
        readiness=readiness,
    )

    def wake(payload: str | None) -> None:
        for queue in chosen.told(payload):
            work.wake(queue)

    def hear(channel: Channel, payload: str | None) -> None:
        if channel == "ordinaut_work":
            wake(payload)
        elif payload:
            holding.stop([UUID(payload)])

    url = configured.database_url.get_secret_value()
    heartbeat = Heartbeat(
        url,
        said=Announcement(
            name=configured.worker_name,
            queues=configured.worker_queues,
            slots=configured.worker_slots,
            version=__version__,
            lease=configured.lease,
        ),
        holdings=holding.view,
        lost=holding.lost,
        ended=holding.stop,
    )
    with heartbeat:
        tasks = [
            asyncio.create_task(listen(url, ["ordinaut_work", "ordinaut_cancel"], hear, application="worker")),
            asyncio.create_task(chosen.run()),
            asyncio.create_task(settler.run()),
            asyncio.create_task(work.run()),
        ]
        await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        heartbeat.drain()
        await work.drain(grace=timedelta(seconds=configured.grace_seconds))
        await process.stop(*tasks)
    for task in tasks:
        # A loop that broke off by itself is a defect: the process ends with its traceback, and is restarted.
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

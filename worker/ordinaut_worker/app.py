"""
The worker process, put together.

``python -m ordinaut_worker`` calls :func:`main`. SIGTERM and SIGINT drain: no more leasing, runs finish within the
grace, the rest goes back to the queue.
"""

import asyncio
import signal
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from uuid import UUID

import uvloop

from ordinaut import __version__, logging, settings
from ordinaut.logging import get_logger
from ordinaut.probes import Readiness, serve
from ordinaut.store.listen import Channel, listen
from ordinaut.store.pool import Pool, open_pool
from ordinaut.store.ready import wait_until_migrated
from ordinaut_worker.attempt import Limits
from ordinaut_worker.execute import Executor
from ordinaut_worker.heartbeat import Heartbeat
from ordinaut_worker.holding import Holding
from ordinaut_worker.loop import WorkLoop
from ordinaut_worker.plans import Plans
from ordinaut_worker.settings import WorkerSettings
from ordinaut_worker.settle import Settler
from ordinaut_worker.toolbox import DeclaredTools
from ordinaut_worker.tools import http

POOL_SIZE = 4
"""Settling and leasing use one connection each; the others load plans and results."""

log = get_logger(__name__)


def main() -> None:
    """Run a worker until SIGTERM or SIGINT."""
    configured = settings.load(WorkerSettings)
    logging.configure(process="worker", level=configured.log_level, log_format=configured.log_format)
    uvloop.run(run(configured))


async def run(configured: WorkerSettings) -> None:
    """Run a worker until a signal has been taken and its runs have been drained."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    readiness = Readiness(database="not connected yet")
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve(readiness, host=configured.probe_host, port=configured.probe_port))
        log.info(
            "worker started",
            version=__version__,
            worker=configured.worker_name,
            slots=configured.worker_slots,
            probe_port=port,
        )
        url = configured.database_url.get_secret_value()
        pool = await stack.enter_async_context(open_pool(url, application="worker", size=POOL_SIZE))
        migrated = asyncio.create_task(wait_until_migrated(pool, readiness=readiness))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({migrated, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if migrated.done():
            await _work(configured, pool, stack, readiness=readiness, stopped=stopped)
        migrated.cancel()
    log.info("worker stopped")


async def _work(
    configured: WorkerSettings,
    pool: Pool,
    stack: AsyncExitStack,
    *,
    readiness: Readiness,
    stopped: "asyncio.Task[bool]",
) -> None:
    holding = Holding()
    settler = Settler(pool, holding=holding)
    client = await stack.enter_async_context(http.client(connections=configured.worker_slots))
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
    work = WorkLoop(
        pool,
        worker=configured.worker_name,
        slots=configured.worker_slots,
        lease=configured.lease,
        poll=timedelta(seconds=configured.poll_seconds),
        holding=holding,
        settler=settler,
        carry_out=executor.carry_out,
        readiness=readiness,
    )

    def hear(channel: Channel, payload: str | None) -> None:
        if channel == "ordinaut_work":
            work.wake()
        elif payload:
            holding.stop([UUID(payload)])

    url = configured.database_url.get_secret_value()
    heartbeat = Heartbeat(
        url,
        worker=configured.worker_name,
        lease=configured.lease,
        holdings=holding.view,
        lost=holding.lost,
        ended=holding.stop,
    )
    with heartbeat:
        tasks = [
            asyncio.create_task(listen(url, ["ordinaut_work", "ordinaut_cancel"], hear, application="worker")),
            asyncio.create_task(settler.run()),
            asyncio.create_task(work.run()),
        ]
        await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        await work.drain(grace=timedelta(seconds=configured.grace_seconds))
        for task in tasks:
            task.cancel()
            # A loop that broke off by itself is a defect: let the process end with its traceback, and be restarted.
            with suppress(asyncio.CancelledError):
                await task

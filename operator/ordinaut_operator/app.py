"""
The operator process, put together.

``python -m ordinaut_operator`` calls :func:`main`. The source (API server or directory) feeds the database, the clock
runs every control loop; with the API server as source, the replica that holds the Lease also writes status.
Everything but that is safe on every replica at once.
"""

import asyncio
import os
import socket
import sys
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis

from ordinaut import process
from ordinaut.access.accessfile import AccessFile
from ordinaut.access.caller import Authority
from ordinaut.errors import Invalid
from ordinaut.events.connection import connect
from ordinaut.probes import Readiness
from ordinaut.store.pool import Pool, open_pool
from ordinaut.store.ready import wait_until_migrated
from ordinaut_operator import janitor, partitions
from ordinaut_operator.admission import Admission
from ordinaut_operator.backfilling import Backfilling
from ordinaut_operator.clock import Clock
from ordinaut_operator.events.dispatch import Dispatcher
from ordinaut_operator.events.gather import Closer
from ordinaut_operator.events.inbox import Inbox
from ordinaut_operator.events.relay import Relay
from ordinaut_operator.fire import Tell
from ordinaut_operator.invariants import Checker
from ordinaut_operator.rights import Rights
from ordinaut_operator.settings import OperatorSettings
from ordinaut_operator.supervision import keep_going

POOL_SIZE = 8
"""Connections: the sync, the clock, the relay and the status writer work side by side."""

DISPATCH_EVERY = timedelta(milliseconds=200)
RELAY_EVERY = timedelta(milliseconds=200)
REAP_EVERY = timedelta(seconds=1)
BACKFILL_EVERY = timedelta(seconds=1)
ADMIT_EVERY = timedelta(seconds=1)
MEND_KEYS_EVERY = timedelta(seconds=5)
ORPHANS_EVERY = timedelta(seconds=10)
MEASURE_EVERY = timedelta(seconds=5)
TAKE_STOCK_EVERY = timedelta(minutes=1)
CHECK_EVERY = timedelta(minutes=1)
VACUUM_EVERY = timedelta(seconds=10)
PARTITIONS_EVERY = timedelta(minutes=1)
FORGET_EVERY = timedelta(hours=1)
TZDATA_EVERY = timedelta(hours=1)


def main() -> None:
    """Run an operator until SIGTERM or SIGINT."""
    process.start("operator", OperatorSettings, run)


async def run(configured: OperatorSettings) -> None:
    """Run an operator until a signal has been taken."""
    readiness = Readiness(database="not connected yet")
    file = _access_file(configured)
    async with (
        process.running(configured, readiness=readiness, source=configured.source) as stopped,
        open_pool(configured.database_url.get_secret_value(), application="operator", size=POOL_SIZE) as pool,
        _stream(configured) as redis,
    ):
        working = asyncio.create_task(_work(configured, pool, redis, file=file, readiness=readiness))
        await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            await process.stop(working)
        else:
            # A loop that broke off by itself is a defect: the process ends with its traceback, and is restarted.
            await working


def _stream(configured: OperatorSettings) -> AbstractAsyncContextManager[Redis | None]:
    """Return the client of the stream, None where there is no stream."""
    if configured.events == "off":
        return nullcontext()
    return connect(configured.redis_url.get_secret_value(), ca_file=configured.redis_ca_file)


def _access_file(configured: OperatorSettings) -> AccessFile | None:
    """Read the access file, if it counts; one that is wrong ends the process with status 2 and what to mend."""
    if configured.access_file is None or not {Authority.TOKENS, Authority.OIDC} & set(configured.authentication):
        return None
    try:
        return AccessFile.open(configured.access_file)
    except Invalid as invalid:
        sys.stderr.write(f"{invalid}\n")
        raise SystemExit(2) from None


async def _work(
    configured: OperatorSettings, pool: Pool, redis: Redis | None, *, file: AccessFile | None, readiness: Readiness
) -> None:
    await wait_until_migrated(pool, readiness=readiness)
    async with AsyncExitStack() as stack:
        review = None
        if Authority.KUBERNETES in configured.authentication:
            from ordinaut_operator.kubernetes import reviews  # noqa: PLC0415 - as in _source

            review = await stack.enter_async_context(reviews(readiness=readiness))
        rights = Rights(configured.authentication, file=file, review=review, readiness=readiness)
        recorder = None
        if configured.source == "kubernetes":
            from ordinaut_operator.kubernetes import recording  # noqa: PLC0415 - as in _source

            recorder = await stack.enter_async_context(recording(configured, pool))
        told = None if recorder is None else recorder.hear
        clock = Clock(
            pool, url=configured.database_url.get_secret_value(), readiness=readiness, rights=rights, tell=told
        )
        _keep_house(clock, configured, pool)
        admission = Admission(pool)
        clock.every(ADMIT_EVERY, admission.sweep, name="keys")
        clock.every(MEND_KEYS_EVERY, admission.mend, name="slots")
        clock.hear("ordinaut_keys", admission.wake)
        clock.every(BACKFILL_EVERY, Backfilling(pool, rights=rights).advance, name="backfill")
        closer = Closer(pool, rights=rights, max_hops=configured.max_hops, told=told)
        events = _follow_events(clock, configured, pool, redis, rights=rights, told=told, closer=closer)
        if redis is not None and configured.inbox == "on":
            # A name of its own for each process, since another reader of the same name would get its entries.
            reader = f"{os.environ.get('POD_NAME') or socket.gethostname()}_{uuid.uuid4().hex[:8]}"
            events["inbox"] = Inbox(pool, redis, reader=reader, readiness=readiness).run

        def answered() -> None:
            clock.hurry()
            closer.wake()

        async with asyncio.TaskGroup() as group:
            group.create_task(clock.run())
            group.create_task(keep_going("keys", admission.follow))
            for name, follow in events.items():
                group.create_task(keep_going(name, follow))
            group.create_task(rights.run(answered=answered))
            if recorder is not None:
                group.create_task(recorder.run())
            if file is not None:
                group.create_task(file.follow())
            for part in _source(configured, pool, readiness=readiness):
                group.create_task(part)


def _follow_events(
    clock: Clock,
    configured: OperatorSettings,
    pool: Pool,
    redis: Redis | None,
    *,
    rights: Rights,
    told: Tell | None,
    closer: Closer,
) -> dict[str, Callable[[], Awaitable[None]]]:
    """Have the clock look after events from time to time, and return the loops that do so at once, by their names."""
    relay = Relay(pool, redis, max_length=configured.stream_max_length, when=clock.at_rest)
    dispatcher = Dispatcher(
        pool, rights=rights, max_hops=configured.max_hops, told=told, moved=relay.wake, gathered=closer.wake
    )

    async def dispatch() -> None:
        await clock.at_rest()
        await dispatcher.sweep()

    clock.every(DISPATCH_EVERY, dispatch, name="dispatch")
    clock.every(RELAY_EVERY, relay.sweep, name="relay", need="database" if redis is None else "redis")
    clock.hear("ordinaut_events", dispatcher.wake)
    return {"dispatch": dispatcher.follow, "relay": relay.follow, "gather": closer.follow}


def _keep_house(clock: Clock, configured: OperatorSettings, pool: Pool) -> None:
    """Have the clock do what must be done from time to time."""
    reaper = janitor.Reaper(
        pool, max_deliveries=configured.max_deliveries, recovery=timedelta(seconds=configured.recovery_seconds)
    )
    clock.every(REAP_EVERY, reaper.reap, name="reap")
    clock.every(ORPHANS_EVERY, lambda: janitor.cancel_orphans(pool), name="orphans")
    clock.every(MEASURE_EVERY, lambda: janitor.measure(pool), name="measure")
    clock.every(TAKE_STOCK_EVERY, lambda: janitor.take_stock(pool), name="stock")
    clock.every(CHECK_EVERY, Checker(pool).check, name="invariants")
    clock.every(VACUUM_EVERY, lambda: janitor.vacuum(pool), name="vacuum")
    clock.every(
        PARTITIONS_EVERY,
        lambda: partitions.keep(pool, history_days=configured.history_days, event_days=configured.event_days),
        name="partitions",
    )
    clock.every(FORGET_EVERY, lambda: janitor.forget_answers(pool), name="answers")
    clock.every(FORGET_EVERY, lambda: janitor.forget_workers(pool), name="workers")
    clock.every(FORGET_EVERY, lambda: janitor.forget_deliveries(pool), name="deliveries")
    clock.every(FORGET_EVERY, lambda: janitor.forget_audit(pool, days=configured.audit_days), name="audit")
    clock.every(FORGET_EVERY, lambda: janitor.forget_backfills(pool, days=configured.history_days), name="backfills")
    clock.every(FORGET_EVERY, lambda: janitor.forget_event_fires(pool, days=configured.history_days), name="fires")
    clock.every(TZDATA_EVERY, lambda: janitor.recompute_times(pool), name="tzdata")


def _source(configured: OperatorSettings, pool: Pool, *, readiness: Readiness) -> list[Coroutine[Any, Any, None]]:
    """Return what must run to take declared objects over; imported where used, since local mode needs no Kubernetes."""
    if configured.source == "directory":
        from ordinaut_operator.directory import DirectorySource  # noqa: PLC0415 - see above

        assert configured.directory is not None  # noqa: S101 - the settings have checked
        return [DirectorySource(pool=pool, directory=configured.directory, readiness=readiness).run()]
    from ordinaut_operator.kubernetes import run_kubernetes  # noqa: PLC0415 - see above

    return [run_kubernetes(configured, pool, readiness=readiness)]

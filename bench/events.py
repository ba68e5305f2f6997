"""
Events: how many a second are compared with 10,000 subscriptions, how soon a published one starts a step, and what
appending them to the stream takes.

Each part has one operator, as it always runs. Subscriptions are those of declared Tasks, one topic each. The events to
be compared are committed while the operator is stopped, so that publishing takes nothing from it. How soon is measured
from before the request that publishes until the first instruction of the step, by the api and a worker of the product,
one event every 15 to 25 ms. What waits for the stream is a row for each event, as of as many transactions, and then
rows of a hundred, as workers write them.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic

import httpx2
import redis

from bench.contest import PATIENCE, Broken
from bench.report import Options, Report, milliseconds, quantile
from bench.system import Meter, Reading, System, system
from ordinaut.events.envelope import NewEvent, Published
from ordinaut.store import events, log
from ordinaut.store.log import Reader
from ordinaut.store.pool import Pool
from tests.cluster.processes import free_port
from tests.declaring import declare, task
from tests.running import Running

SUBSCRIPTIONS = 10_000
EVENTS = 20_000
"""Events that are compared, in each round."""

ROWS = 100_000
"""Rows that wait for the stream."""

TOGETHER = 20
"""Events of one transaction, where as many are published at once."""

PACKED = 100
"""Events of a row, where they come from a busy worker."""

LONE = 300
"""Events whose way is timed."""

STAMPS = "stamps"
STEP = {"id": "a", "uses": "std.log", "with": {"message": "${params.number}"}}


@dataclass(frozen=True)
class Taken:
    """What so many events took."""

    events: int
    seconds: float
    used: Reading

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    def cpu(self, *parts: str) -> float:
        """Microseconds of CPU that parts of the system took for an event."""
        return sum(self.used.cpu[part] for part in parts) / self.events * 1e6


async def measure(options: Options) -> Report:
    """Measure the three parts, one after the other, each on a database of its own."""
    subscriptions = options.scaled(SUBSCRIPTIONS, least=10)
    async with system() as it:
        await _subscribe(it.pool, subscriptions)
        none = [await _compared(it, options, wanted=False, subscriptions=subscriptions) for _ in range(options.rounds)]
        each = [await _compared(it, options, wanted=True, subscriptions=subscriptions) for _ in range(options.rounds)]
    async with system() as it:
        waits = await _timed(it, count=options.scaled(LONE, least=10))
    async with system() as it:
        rows = options.scaled(ROWS, least=PACKED)
        relayed = [await _relayed(it, rows, together=1) for _ in range(options.rounds)]
        packed = [await _relayed(it, rows, together=PACKED) for _ in range(options.rounds)]
    rate, seconds = median(one.rate for one in each), median(one.seconds for one in relayed)
    cost = median(one.cpu("operator", "Valkey") for one in packed)
    return Report(
        f"{subscriptions:,} subscriptions; median of {options.rounds} rounds",
        "python -m bench events",
        [
            ("events a second that trigger nothing", f"{median(one.rate for one in none):,.0f}"),
            ("  CPU µs of each: operator", f"{median(one.cpu('operator') for one in none):.0f}"),
            ("    PostgreSQL", f"{median(one.cpu('PostgreSQL') for one in none):.0f}"),
            ("events a second that make a run each", f"{rate:,.0f} (best {max(one.rate for one in each):,.0f})"),
            ("  CPU µs of each: operator", f"{median(one.cpu('operator') for one in each):.0f}"),
            ("    PostgreSQL", f"{median(one.cpu('PostgreSQL') for one in each):.0f}"),
            ("from publishing by REST to the step's start", milliseconds(waits)),
            (f"{relayed[0].events:,} rows of the outbox in the stream after", f"{seconds:.1f} s"),
            ("  CPU µs of each: operator", _cpu(relayed, "operator")),
            ("    Valkey", _cpu(relayed, "Valkey")),
            ("    PostgreSQL", _cpu(relayed, "PostgreSQL")),
            (
                f"the same in rows of {PACKED} events, as workers write them",
                f"{median(one.seconds for one in packed):.1f} s",
            ),
            ("  CPU µs of each event: operator", _cpu(packed, "operator")),
            ("    Valkey", _cpu(packed, "Valkey")),
            ("    PostgreSQL", _cpu(packed, "PostgreSQL")),
        ],
        {
            "events.matched": rate,
            "events.start": quantile(waits, 0.5),
            "events.relayed": seconds,
            "events.cpu": cost,
        },
    )


async def _subscribe(pool: Pool, count: int) -> None:
    """Declare tasks, each with a trigger on a topic of its own, and a filter."""
    for first in range(0, count, 500):
        tasks = [
            task(
                f"t{number}",
                STEP,
                triggers=[
                    {
                        "topic": f"bench.t{number}",
                        "if": "data.number != `-1`",
                        "params": {"number": "${event.data.number}"},
                    }
                ],
            )
            for number in range(first, min(count, first + 500))
        ]
        await declare(pool, *tasks)


async def _compared(it: System, options: Options, *, wanted: bool, subscriptions: int) -> Taken:
    """Publish while no operator is there, then measure how one catches up."""
    count = options.scaled(EVENTS, least=TOGETHER)
    await _publish(it.pool, count, topic=lambda n: f"bench.t{n % subscriptions}" if wanted else f"bench.u{n % 1000}")
    before = await _fires(it.pool)
    taken = await _caught_up(it, "triggers", count=count)
    if (made := await _fires(it.pool) - before) != (count if wanted else 0):
        raise Broken(f"{count} events have triggered {made} runs")
    return taken


async def _relayed(it: System, count: int, *, together: int) -> Taken:
    """Let as many events wait, so many in a row, then measure how an operator sends them on."""
    await _publish(it.pool, count, topic=lambda n: f"bench.u{n % 1000}", together=together)
    return await _caught_up(it, "stream", count=count)


def _cpu(taken: Sequence[Taken], part: str) -> str:
    return f"{median(one.cpu(part) for one in taken):.1f}"


async def _publish(pool: Pool, count: int, *, topic: Callable[[int], str], together: int = TOGETHER) -> None:
    async with pool.connection() as connection, connection.transaction():
        for first in range(0, count, together):
            one = [
                Published(NewEvent(topic(n), data={"number": n}), "default", "bench").compact()
                for n in range(first, min(count, first + together))
            ]
            await events.add(connection, one)


async def _fires(pool: Pool) -> int:
    async with pool.connection() as connection:
        row = await (await connection.execute(b"SELECT count(*) FROM event_fire WHERE outcome = 'Fired'")).fetchone()
    return row[0] if row else 0


async def _caught_up(it: System, reader: Reader, *, count: int) -> Taken:
    """Start an operator and measure from its first batch until a reader of the log has read all."""
    async with it.pool.connection() as connection:
        start = (await log.progress(connection, reader)).position
        operator = it.processes.start("operator", wait=False, source="directory", directory=it.folder)
        meter = Meter(connection, pids={"operator": [operator.process.pid], "Valkey": [_valkey(it)]})

        async def begun() -> bool:
            return (await log.progress(connection, reader)).position > start

        async def done() -> bool:
            row = await (await connection.execute(b"SELECT count(*) FROM outbox")).fetchone()
            return row == (0,) and not (await log.progress(connection, reader)).is_behind

        await _until(begun, operator)
        began, before = monotonic(), await meter.read()
        await _until(done, operator)
        seconds, used = monotonic() - began, (await meter.read()).since(before)
    operator.process.terminate()
    await asyncio.to_thread(operator.process.wait)
    return Taken(count, seconds, used)


def _valkey(it: System) -> int:
    """Return the pid of the server."""
    with redis.Redis.from_url(it.redis) as client:
        return int(client.info("server")["process_id"])


async def _until(holds: Callable[[], Awaitable[bool]], operator: Running) -> None:
    deadline = monotonic() + PATIENCE
    while not await holds():
        if monotonic() > deadline or operator.process.poll() is not None:
            raise Broken(f"the operator did not catch up; it says:\n{operator.log()}")
        await asyncio.sleep(0.005)


async def _timed(it: System, *, count: int) -> list[float]:
    """Publish events by REST, and return how long each took to the first instruction of the step."""
    stamps = it.folder / STAMPS
    stamps.write_text("")
    it.processes.environment["BENCH_STAMPS"] = str(stamps)
    await _subscribe(it.pool, 1)
    port = free_port()
    it.operator(log_level="WARNING")
    it.processes.start("bench.stamped", log_level="WARNING")
    it.processes.start("api", api_port=port, log_level="WARNING", rate_limit=1_000_000)
    sent: dict[str, float] = {}
    chance = random.Random(1)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        for number in range(count):
            sent[str(number)] = monotonic()
            answer = await client.post(
                "/v1/namespaces/default/events", json={"type": "bench.t0", "data": {"number": number}}
            )
            answer.raise_for_status()
            await asyncio.sleep(chance.uniform(0.015, 0.025))
        deadline = monotonic() + PATIENCE
        while len(began := _read(stamps)) < count:
            if monotonic() > deadline:
                raise Broken(f"{len(began)} of {count} events have started a step")
            await asyncio.sleep(0.05)
    return _waits(began, sent)


def _waits(began: dict[str, float], sent: dict[str, float]) -> list[float]:
    return [began[number] - at for number, at in sent.items()]


def _read(stamps: Path) -> dict[str, float]:
    """Return when each number's step began."""
    lines: Sequence[str] = stamps.read_text().splitlines(keepends=True)
    return {line.split()[0]: float(line.split()[1]) for line in lines if line.endswith("\n")}

"""
A commit for each step: runs of five steps, one after the other, with hundreds of them in flight.

Nothing is given up for speed: the result of a step is committed before the next one begins, so that another worker
goes on there. Two workers commit what gathers from all their runs at once.
"""

from statistics import median

from bench import backlog
from bench.report import Options, Report
from bench.runs import WORKERS, pids, start_worker
from bench.system import Meter, system

RUNS = 4_000
STEPS = 5


async def measure(options: Options) -> Report:
    """Drain runs of some steps, a few times over."""
    count = options.scaled(RUNS, least=backlog.CHUNK)
    async with system() as it:
        operator, workers = it.operator(), [start_worker(it) for _ in range(WORKERS)]
        await backlog.prepare(it, steps=STEPS)
        async with it.pool.connection() as connection:
            await backlog.add(connection, count=backlog.CHUNK)
            await backlog.drain(it)
            meter = Meter(connection, pids=pids(operator, workers))
            rates, cpu, wal = [], [], []
            for _ in range(options.rounds):
                before = await meter.read()
                made = await backlog.add(connection, count=count)
                await backlog.drain(it)
                used = (await meter.read()).since(before)
                rates.append(STEPS * await backlog.rate(connection, made, count=count))
                cpu.append(sum(used.cpu.values()) / count / STEPS * 1e6)
                wal.append(used.wal / count / STEPS)
    return Report(
        f"{count} runs of {STEPS} steps, a commit for each step, {WORKERS} workers; median of {options.rounds} rounds",
        "python -m bench steps",
        [
            ("steps a second", f"{median(rates):,.0f} (best {max(rates):,.0f})"),
            ("CPU µs a step", f"{median(cpu):.0f}"),
            ("WAL bytes a step", f"{median(wal):.0f}"),
        ],
        {"steps.rate": median(rates)},
    )

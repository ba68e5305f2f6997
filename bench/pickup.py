"""
Pick-up: from the call that enqueues one job to the first instruction of what handles it, with nothing else to do.

The bar is a raw loop woken by NOTIFY. Ordinaut takes part three times: as a whole (a run made by the transaction that
the clock uses, a worker of the product, its built-in tool), the same but that the run is made by hand, with all that
the API checks before, and with its queue alone. In every round each gets some jobs, one every 15 to 25 ms, from a
process of its own.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic

from bench import contest
from bench.contest import BY_HAND, OURS, PEERS, RAW, WHOLE, Contestant, Program
from bench.report import Options, Report, milliseconds, quantile
from bench.system import system
from tests.running import Running

JOBS = 300
WARM = 10
STAMPS = "stamps"

Waits = dict[Contestant, list[float]]


async def measure(options: Options) -> Report:
    """Send jobs to each in turns."""
    there, missing = contest.installed([RAW, OURS, *PEERS])
    each = max(5, options.scaled(JOBS) // options.rounds)
    waits: Waits = {one: [] for one in (WHOLE, BY_HAND, *there)}
    async with system() as it:
        urls = {one: await it.database(f"contestant_{n}") for n, one in enumerate(there)}
        stamps = it.folder / STAMPS
        it.processes.environment["BENCH_STAMPS"] = str(stamps)
        it.operator(log_level="WARNING")
        worker = it.processes.start("bench.stamped", log_level="WARNING")
        for _ in range(options.rounds):
            for one in (WHOLE, BY_HAND):
                waits[one] += await _whole(one, it.url, worker, stamps, count=each)
            for one in there:
                waits[one] += await _alone(one, urls[one], count=each)
    return Report(
        f"From enqueueing one job to the handler's first instruction, idle; {each * options.rounds} jobs each",
        "python -m bench pickup",
        [*((one.name, milliseconds(waits[one])) for one in waits), *_ratios(waits), *missing],
        {f"pickup.p{part}": _ratio(waits, WHOLE, part / 100) for part in (50, 99)},
    )


async def _alone(one: Contestant, url: str, *, count: int) -> list[float]:
    worker = await Program.start(one, url, "work", count=count, warm=WARM)
    try:
        await worker.said()
        return await contest.pick_up(one, url, count=count, warm=WARM, worker=worker)
    finally:
        await worker.end()


async def _whole(sender: Contestant, url: str, worker: Running, stamps: Path, *, count: int) -> list[float]:
    """Send runs to a worker of the product, which notes when it began with each."""
    _clear(stamps)
    sending = await Program.start(sender, url, "send", count=count, warm=WARM)
    try:
        await sending.said()
        sending.go()
        sent = (await sending.said())["at"]
    finally:
        await sending.end()
    deadline = monotonic() + contest.PATIENCE
    while len(began := _read(stamps)) < len(sent):
        if monotonic() > deadline:
            raise contest.Broken(f"{len(began)} of {len(sent)} runs were picked up; the worker says:\n{worker.log()}")
        await asyncio.sleep(0.05)
    return [began[number] - at for number, at in sent.items() if int(number) >= 0]


def _clear(stamps: Path) -> None:
    stamps.write_text("")


def _read(stamps: Path) -> dict[str, float]:
    """Return when each number's step began for the first time."""
    began: dict[str, float] = {}
    for line in stamps.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            number, at = line.split()
            began.setdefault(number, float(at))
    return began


def _ratio(waits: Mapping[Contestant, Sequence[float]], one: Contestant, part: float) -> float:
    return quantile(waits[one], part) / quantile(waits[RAW], part)


def _ratios(waits: Mapping[Contestant, Sequence[float]]) -> list[tuple[str, str]]:
    return [
        (
            f"  times the raw notify loop: {one.name}",
            f"p50 {_ratio(waits, one, 0.5):.2f}, p99 {_ratio(waits, one, 0.99):.2f}",
        )
        for one in waits
        if one is not RAW
    ]

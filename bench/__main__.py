"""
``python -m bench [runs] [lag] [sync] [clock] [api]``: run benchmarks, all by default, and print a table for each.

Every one starts its own PostgreSQL (durable: fsync and synchronous_commit on) and Valkey, and Ordinaut's processes as
a Deployment would. Wall-clock figures of a shared machine vary by half; CPU and WAL per run vary little.
"""

import argparse
import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from bench import api, clock, lag, runs, sync
from bench.report import Report, machine

BENCHMARKS: dict[str, Callable[[float], Coroutine[Any, Any, Report]]] = {
    "runs": runs.measure,
    "lag": lag.measure,
    "sync": sync.measure,
    "clock": clock.measure,
    "api": api.measure,
}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--scale", type=float, default=1.0, help="of the amounts of work, such as 0.1 for a quick look")
    parser.add_argument(
        "--sizes",
        help=f"of clock: how many tasks, such as {_listed(clock.SIZES[:2])}; {_listed(clock.SIZES)} by default",
    )
    asked = parser.parse_args()
    if unknown := set(asked.names) - BENCHMARKS.keys():
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    measures = dict(BENCHMARKS)
    if asked.sizes:
        measures["clock"] = partial(clock.measure, sizes=[int(size) for size in asked.sizes.split(",")])
    print(machine())
    for name in asked.names or BENCHMARKS:
        report = asyncio.run(measures[name](asked.scale))
        print(f"\n{report}", flush=True)


def _listed(sizes: Sequence[int]) -> str:
    return ",".join(map(str, sizes))


if __name__ == "__main__":
    main()

"""
``python -m bench [NAME …]``: measure, print a table of each, and hold what was measured against the goals.

Every benchmark starts its own PostgreSQL (durable: fsync and synchronous_commit on) and Valkey, and Ordinaut's
processes as a Deployment would; other queues are installed on first use. Wall-clock figures of a shared machine vary by
half; ratios of one run, CPU and WAL vary little.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass
from typing import Any

from bench import (
    api,
    clock,
    depth,
    environment,
    events,
    hotpath,
    lag,
    machine,
    pickup,
    queue,
    results,
    runs,
    steps,
    sync,
)
from bench.contest import Broken
from bench.report import Options, Report


@dataclass(frozen=True)
class Benchmark:
    """What it measures; ``usual`` ones are run when none is named."""

    measure: Callable[[Options], Coroutine[Any, Any, Report]]
    what: str
    usual: bool = True


PROFILE = "profile"

BENCHMARKS = {
    "queue": Benchmark(queue.measure, "the queue alone, beside raw loops and other queues"),
    "pickup": Benchmark(pickup.measure, "enqueueing one job to its handler, idle, beside others"),
    "runs": Benchmark(runs.measure, "the whole product with 2, 1 and 4 workers, beside dbos and pg-boss"),
    "steps": Benchmark(steps.measure, "runs of five steps, a commit for each step"),
    "depth": Benchmark(depth.measure, "long queues, an old snapshot, and minutes on end"),
    "lag": Benchmark(lag.measure, "a nominal time to its step's start"),
    "sync": Benchmark(sync.measure, "taking over declared objects, ten thousand Tasks"),
    "events": Benchmark(events.measure, "events to runs, and to the stream"),
    "clock": Benchmark(clock.measure, "firing a tenth of up to 1,000,000 Tasks in one second", usual=False),
    "api": Benchmark(api.measure, "reads and changes by REST", usual=False),
    PROFILE: Benchmark(hotpath.measure, "where the time of a busy worker goes", usual=False),
}


def main() -> None:
    """Run what the command line asks for."""
    parser = _parser()
    asked = parser.parse_args()
    if unknown := set(asked.names) - BENCHMARKS.keys():
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    options = Options(asked.scale, asked.rounds, asked.minutes, tuple(asked.sizes))
    names = asked.names or [name for name, one in BENCHMARKS.items() if one.usual or (asked.all and name != PROFILE)]
    kept = asked.write or (asked.scale >= 1 and asked.rounds >= Options.rounds and not asked.dry)
    # Whatever ends it: its servers and processes end with it.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _say(machine.summary(), asked.output)
    reports = {}
    for name in names:
        try:
            reports[name] = report = asyncio.run(BENCHMARKS[name].measure(options))
        except (environment.Missing, Broken) as error:
            sys.exit(f"{name}: {error}")
        except KeyboardInterrupt:
            sys.exit(130)
        _say(f"\n{report}", asked.output)
        for goal, verdict in results.verdicts(report):
            _say(f"  {goal}: {verdict}", asked.output)
        if kept and name != PROFILE:
            # After each, so that what was measured is kept whatever becomes of the next.
            results.write(results.merged(results.read(), name, report, options))
    if asked.output == "json":
        print(json.dumps({name: asdict(report) for name, report in reports.items()}, indent=1))


def _say(line: str, output: str) -> None:
    if output == "table":
        print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    listed = "\n".join(f"  {name:9}{one.what}{'' if one.usual else ' *'}" for name, one in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=f"{__doc__}\n{listed}\n\n* only when named",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="all but those with a star by default")
    add("--all", action="store_true", help="those with a star, too, but for the profile")
    add("--scale", type=_amount, default=Options.scale, help="of the amounts of work, such as 0.1 for a quick look")
    add("--rounds", type=_count, default=Options.rounds, help="how often each is measured, in turns with the others")
    add(
        "--minutes",
        type=_amount,
        default=Options.minutes,
        help="of depth: how long work is sustained; 10 for the record",
    )
    sizes = ",".join(map(str, Options.sizes))
    add("--sizes", type=_sizes, default=Options.sizes, help=f"of clock: how many tasks; {sizes} by default")
    add("--output", choices=["table", "json"], default="table", help="what to print")
    written = parser.add_mutually_exclusive_group()
    usual = f"without --scale below 1 and with at least {Options.rounds} rounds this is done"
    written.add_argument(
        "--write", action="store_true", help=f"write bench/RESULTS.* whatever was asked; {usual} anyway"
    )
    written.add_argument("--dry", action="store_true", help="don't write bench/RESULTS.*")
    return parser


def _amount(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = 0.0
    if not 0 < amount < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: write a number above 0, such as 0.1")
    return amount


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: write a whole number, 1 or more")
    return int(text)


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(_count(size) for size in text.split(","))


if __name__ == "__main__":
    main()

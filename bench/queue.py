"""
The queue alone: lease, call a handler that does nothing, settle; Ordinaut's beside raw loops and other queues.

Every contestant is a client process with a database of its own on one durable server (``bench.contest``), drains jobs
that were enqueued before, and must do each exactly once. They take turns within a round, in one order and then in the
other. What each takes of client and of PostgreSQL counts from the word "go", so a client's start of its worker is in
it; the rate counts from the handler's first call.
"""

from collections.abc import Mapping, Sequence
from statistics import median

from bench import contest
from bench.contest import GRAPHILE, OURS, PEERS, PGQUEUER, RAW, RAW_BATCH, RAW_ONE, Contestant, Drained
from bench.peers.ours import BATCH
from bench.report import Options, Report, ratio
from bench.system import system

CONTESTANTS = (OURS, RAW, RAW_BATCH, RAW_ONE, *PEERS)


async def measure(options: Options) -> Report:
    """Let all drain in turns."""
    there, missing = contest.installed(CONTESTANTS)
    drained: dict[Contestant, list[Drained]] = {one: [] for one in there}
    async with system() as it:
        urls = {one: await it.database(f"contestant_{n}") for n, one in enumerate(there)}
        for turn in range(options.rounds):
            for one in there if turn % 2 == 0 else reversed(there):
                drained[one].append(await contest.drain(one, urls[one], scale=options.scale))
    return Report(
        f"The queue alone, drained of no-ops by one client process; median of {options.rounds} rounds in turns",
        "python -m bench queue",
        [*((one.name, _figures(drained[one])) for one in there), *_ratios(drained), *missing],
        _goals(drained),
    )


def rates(rounds: Sequence[Drained]) -> list[float]:
    """Return the jobs a second of each round."""
    return [one.rate for one in rounds]


def _cpu(rounds: Sequence[Drained], part: str) -> float:
    """Return the CPU microseconds of a job."""
    return median(one.used.cpu[part] / one.jobs for one in rounds) * 1e6


def _figures(rounds: Sequence[Drained]) -> str:
    found = rates(rounds)
    commits = median(one.used.commits / one.jobs for one in rounds)
    return (
        f"{median(found):,.0f}/s (best {max(found):,.0f});"
        f" PostgreSQL {_cpu(rounds, 'PostgreSQL'):.1f} + client {_cpu(rounds, 'client'):.1f} µs CPU,"
        f" {median(one.used.wal / one.jobs for one in rounds):.0f} B WAL, {commits:.3f} commits a job"
    )


def _ratios(drained: Mapping[Contestant, Sequence[Drained]]) -> list[tuple[str, str]]:
    ours = rates(drained[OURS])
    return [
        (f"  Ordinaut's rate, times that of {one.name}", f"{ratio(ours, rates(rounds)):.2f}")
        for one, rounds in drained.items()
        if one is not OURS
    ]


def _goals(drained: Mapping[Contestant, Sequence[Drained]]) -> dict[str, float]:
    ours = drained[OURS]
    against = {"queue.graphile": GRAPHILE, "queue.pgqueuer": PGQUEUER, "queue.raw": RAW}
    return {
        **{key: ratio(rates(ours), rates(drained[one])) for key, one in against.items() if one in drained},
        "queue.postgres": _cpu(ours, "PostgreSQL"),
        "queue.client": _cpu(ours, "client"),
        "queue.wal": median(one.used.wal / one.jobs for one in ours),
        # The lease of the first batch is a commit more than there are batches.
        "queue.commits": median((one.used.commits - 1) / -(-one.jobs // BATCH) for one in ours),
    }

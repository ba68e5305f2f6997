"""
The whole product: runs of a Task with a one-step pipeline, drained by workers, with history, events and metrics.

The runs become visible in one commit, with their ``run.created`` events; the time is from the first lease to the last
settlement, by the database's clock. CPU and WAL count from the insert until the last event is in the stream, but not
the CPU of the benchmark itself, which makes the runs. dbos and pg-boss, which keep a history too, drain no-ops in
between, in the same rounds.
"""

from collections.abc import Sequence
from statistics import median

from bench import backlog, contest
from bench.contest import DBOS, PGBOSS, Drained
from bench.queue import rates
from bench.report import Options, Report, ratio
from bench.system import Meter, Reading, System, system
from ordinaut.store.pool import Connection
from tests.running import Running

RUNS = 20_000
WORKERS = 2
SLOTS = 500
KEY = {DBOS: "runs.dbos", PGBOSS: "runs.pgboss"}


async def measure(options: Options) -> Report:
    """Drain some thousand runs with two workers, a few times over, then with other numbers of workers."""
    count = options.scaled(RUNS, least=backlog.CHUNK)
    there, missing = contest.installed(list(KEY))
    drained: dict[contest.Contestant, list[Drained]] = {one: [] for one in there}
    async with system() as it:
        urls = {one: await it.database(f"contestant_{n}") for n, one in enumerate(there)}
        operator, workers = it.operator(), [start_worker(it) for _ in range(WORKERS)]
        await backlog.prepare(it)
        async with it.pool.connection() as connection:
            meter = Meter(connection, pids=pids(operator, workers))
            await _round(it, connection, meter, count=backlog.CHUNK)
            stored = await _stored(connection)
            rounds = []
            for _ in range(options.rounds):
                rounds.append(await _round(it, connection, meter, count=count))
                for one in there:
                    drained[one].append(await contest.drain(one, urls[one], scale=options.scale))
            kept = (await _stored(connection) - stored) / (count * options.rounds)
            others = await _other_numbers(it, connection, operator, workers, count=count, rounds=options.rounds)
    found = [rate for rate, _ in rounds]
    used = [reading for _, reading in rounds]
    per_run = {part: median(one.cpu[part] for one in used) / count * 1e6 for part in used[0].cpu}
    wal = median(one.wal for one in used) / count
    return Report(
        f"{count} runs of one step, {WORKERS} workers of {SLOTS} slots, one operator;"
        f" median of {options.rounds} rounds",
        "python -m bench runs",
        [
            ("runs a second", _rate(found)),
            ("CPU µs a run", f"{sum(per_run.values()):.0f}"),
            *((f"  of it {part}", f"{microseconds:.0f}") for part, microseconds in per_run.items()),
            ("WAL bytes a run", f"{wal:.0f}"),
            ("bytes of history kept for a run", f"{kept:.0f}"),
            *((f"runs a second with {number} worker(s)", _rate(measured)) for number, measured in others),
            *((f"{one.name}, jobs a second", _rate(rates(drained[one]))) for one in there),
            *((f"  Ordinaut, times {one.name}", f"{ratio(found, rates(drained[one])):.2f}") for one in there),
            *missing,
        ],
        {
            "runs.rate": median(found),
            "runs.cpu": sum(per_run.values()),
            "runs.wal": wal,
            **{KEY[one]: ratio(found, rates(drained[one])) for one in there},
        },
    )


def start_worker(it: System) -> Running:
    """Start a worker that may take all it can."""
    # A line of the log per run is what std.log is for; it is not what is measured.
    return it.worker(worker_slots=SLOTS, log_level="WARNING")


def pids(operator: Running, workers: Sequence[Running]) -> dict[str, list[int]]:
    """Return the processes by part of the system."""
    return {"operator": [operator.process.pid], "workers": [one.process.pid for one in workers]}


async def _other_numbers(
    it: System, connection: Connection, operator: Running, workers: list[Running], *, count: int, rounds: int
) -> list[tuple[int, list[float]]]:
    """Return the rates with one worker and with four."""
    found = []
    workers.pop().kill()
    for number in (1, 4):
        workers += [start_worker(it) for _ in range(number - len(workers))]
        meter = Meter(connection, pids=pids(operator, workers))
        await _round(it, connection, meter, count=backlog.CHUNK)
        measured = [await _round(it, connection, meter, count=count) for _ in range((rounds + 1) // 2)]
        found.append((number, [rate for rate, _ in measured]))
    return found


async def _round(it: System, connection: Connection, meter: Meter, *, count: int) -> tuple[float, Reading]:
    """Make and drain runs; return how many a second, and what that took."""
    before = await meter.read()
    made = await backlog.add(connection, count=count)
    await backlog.drain(it)
    after = await meter.read()
    return await backlog.rate(connection, made, count=count), after.since(before)


def _rate(found: Sequence[float]) -> str:
    return f"{median(found):,.0f} (best {max(found):,.0f})"


async def _stored(connection: Connection) -> int:
    """Return how many bytes runs, their steps and their events take, with indexes."""
    row = await (
        await connection.execute(
            "SELECT sum(pg_total_relation_size(relid))::bigint"
            " FROM unnest('{run,step,event_log}'::regclass[]) parent, pg_partition_tree(parent)"
        )
    ).fetchone()
    assert row is not None
    return int(row[0])

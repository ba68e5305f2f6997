"""
The api: reads of one task by 16 clients, beside a bare FastAPI of one query in the same run; latency at a steady rate;
what creating a task costs.

One process of the api, with identities: the token and its rights are checked at each request. The load comes from a
process of its own (``bench.load``); on a machine with two cores, it, the api and PostgreSQL share them. Ratios of one
run say more than the figures themselves.
"""

import asyncio
import json
import sys
from dataclasses import dataclass
from statistics import median

import httpx2
import yaml

from bench.report import Options, Report, milliseconds, quantile, ratio
from bench.system import System, system
from ordinaut.access import grants
from ordinaut.store.pool import Connection
from tests.cluster.processes import ProcessGroup, free_port
from tests.declaring import declare, pipeline, task
from tests.running import until

CLIENTS = 16
SECONDS = 5.0
RATE = 200
CREATES = 500
PATH = "/v1/namespaces/default/tasks/briefing"


@dataclass(frozen=True)
class Load:
    """What the clients saw."""

    seconds: float
    taken: list[float]

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.taken) / self.seconds


async def measure(options: Options) -> Report:
    """Ask both servers in turns, then the api at a steady rate, then let it create tasks."""
    seconds = max(1.0, SECONDS * options.scale)
    async with system() as it:
        await declare(it.pool, *_documents())
        ours, token = await asyncio.to_thread(_start_api, it)
        theirs, group = await asyncio.to_thread(_start_bare, it)
        try:
            rounds = [
                (await _load(ours + PATH, seconds=seconds, token=token), await _load(theirs + PATH, seconds=seconds))
                for _ in range(options.rounds)
            ]
            paced = await _load(ours + PATH, seconds=2 * seconds, token=token, rate=RATE)
        finally:
            group.close()
        async with it.pool.connection() as connection:
            created, commits, wal = await _create(connection, ours, token, count=options.scaled(CREATES, least=50))
    rates = [one.rate for one, _ in rounds]
    bare = [one.rate for _, one in rounds]
    return Report(
        f"Reads of a task by {CLIENTS} clients, one api process with static tokens;"
        f" median of {options.rounds} rounds in turns",
        "python -m bench api",
        [
            ("reads a second", f"{median(rates):.0f} (best {max(rates):.0f})"),
            ("bare FastAPI, one query, no identities", f"{median(bare):.0f} (best {max(bare):.0f})"),
            ("ratio, round by round", f"{ratio(rates, bare):.2f}"),
            (f"latency at {RATE} reads a second", milliseconds(paced.taken)),
            ("creating a task, one after the other", milliseconds(created)),
            ("writing transactions for a created task", f"{commits:.2f}"),
            ("WAL for a created task", f"{wal:.0f} bytes"),
        ],
        {"api.reads": median(rates), "api.p99": quantile(paced.taken, 0.99), "api.commits": commits},
    )


def _documents() -> list[dict[str, object]]:
    step = {"id": "say", "uses": "std.log", "with": {"message": "${params.city}"}}
    return [
        pipeline("shared", step),
        task(
            "briefing",
            pipelineRef={"name": "shared"},
            params={"city": "Iasi"},
            schedules=[{"cron": "30 8 * * 1-5", "timeZone": "Europe/Chisinau"}],
        ),
    ]


def _start_api(it: System) -> tuple[str, str]:
    """Start an api that knows one token; return its URL and the token."""
    made = grants.new_token()
    bindings = [{"role": "editor", "namespaces": ["default"]}]
    access = it.folder / "access.yaml"
    access.write_text(yaml.safe_dump({"tokens": [{"name": "bench", "sha256": made.sha256, "bindings": bindings}]}))
    port = free_port()
    it.processes.start(
        "api", api_port=port, authentication="tokens", access_file=access, log_level="WARNING", rate_limit=1_000_000
    )
    return f"http://127.0.0.1:{port}", made.token


def _start_bare(it: System) -> tuple[str, ProcessGroup]:
    group = ProcessGroup("ordinaut-bench")
    port = free_port()
    group.start("bare", [sys.executable, "-m", "bench.bare", it.url, str(port)])

    def answers() -> bool:
        try:
            return httpx2.get(f"http://127.0.0.1:{port}{PATH}").is_success
        except httpx2.HTTPError:
            return False

    until(answers, what=lambda: f"the bare server; log:\n{group.log_tail('bare')}")
    return f"http://127.0.0.1:{port}", group


async def _load(url: str, *, seconds: float, token: str = "", rate: float = 0) -> Load:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.load", url,
        "--token", token, "--clients", str(CLIENTS), "--seconds", str(seconds), "--rate", str(rate),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0, "the load ended early"
    return Load(**json.loads(out))


async def _create(connection: Connection, url: str, token: str, *, count: int) -> tuple[list[float], float, float]:
    """Create tasks one after the other; return the seconds of each, and commits and bytes of WAL for one."""
    loop = asyncio.get_running_loop()
    taken = []
    async with httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False) as http:
        before = await _written(connection)
        for n in range(count):
            start = loop.time()
            document = task(f"made-{n}", pipelineRef={"name": "shared"})
            made = await http.post("/v1/namespaces/default/tasks", json=document)
            assert made.status_code == 201, made.text
            taken.append(loop.time() - start)
        after = await _written(connection)
    return taken, (after[0] - before[0]) / count, (after[1] - before[1]) / count


async def _written(connection: Connection) -> tuple[int, int]:
    """Return how many transactions have written so far, and the position in the WAL."""
    row = await (
        await connection.execute(
            "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint,"
            " pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
        )
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])

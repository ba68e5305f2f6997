"""Fixtures of the monitoring tests: the processes at work among hostile names, what they show, and promtool."""

import asyncio
import contextlib
import http.client
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from ordinaut.store.pool import open_pool
from tests import running, servers
from tests.cluster import binaries
from tests.cluster.needed import needed
from tests.cluster.processes import free_port
from tests.declaring import declare, run_now, task, tool
from tests.monitoring.scraping import PROCESSES, Scrape, scrape

NAMESPACES = [f"tenant-{number:03}-".ljust(63, "x") for number in range(230)]
TOOLS = [f"tool-{number:03}-".ljust(63, "y") for number in range(120)]
"""More than may become labels, and as long as names may be."""

HOSTILE_REQUESTS = [
    ("BREW", "/v1/namespaces/default/tasks"),
    ("get", "/v1/namespaces/default/tasks"),
    *(("GET", f"/v1/namespaces/{'n' * 50}-{number}/tasks/{'t' * 40}-{number}") for number in range(40)),
    *(("GET", f"/nothing/here/{number}") for number in range(40)),
    *(("POST", f"/v1/namespaces/default/tasks/t{number}/run") for number in range(20)),
    ("GET", "/v1/namespaces/default/tasks?limit=" + "9" * 300),
    ("DELETE", "/%00%0a{route}"),
]


@dataclass(frozen=True)
class Installation:
    """What each process showed: as soon as it was ready, and when it had been at work."""

    fresh: dict[str, Scrape]
    worked: dict[str, Scrape]


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The program; skips where it cannot be had, fails there in CI."""
    with needed():
        return binaries.provide(["promtool"])["promtool"]


@pytest.fixture(scope="session")
def installation(
    postgres_url: str, database_template: str, _valkey_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Installation:
    """An operator, a worker and an api that have done what they do, for users who chose names to do harm."""
    with (
        servers.database(postgres_url, template=database_template) as database,
        running.processes(database=database, redis=_valkey_server) as processes,
    ):
        port = free_port()
        started = {
            "operator": processes.start(
                "operator", wait=False, source="directory", directory=tmp_path_factory.mktemp("m")
            ),
            "worker": processes.start("worker", wait=False, worker_slots=200),
            "api": processes.start("api", wait=False, api_port=port),
        }
        for one in started.values():
            running.until(lambda one=one: one.readiness() == {"status": "ready"}, what=one.log)  # type: ignore[misc]
        ports = {name: one.probe_port for name, one in started.items()}
        fresh = {name: scrape(ports[name]) for name in PROCESSES}
        asyncio.run(work(database))
        for method, path in HOSTILE_REQUESTS:
            request(port, method, path)
        running.until(lambda: all_ended(database), what="all runs ended", seconds=180)
        running.until(
            lambda: scrape(ports["operator"]).values("ordinaut_events_relayed_total") > [0], what="events in the stream"
        )
        # What was committed is counted a moment later.
        running.until(
            lambda: sum(scrape(ports["worker"]).values("ordinaut_runs_total")) == len(NAMESPACES) + len(TOOLS),
            what="all runs counted",
        )
        return Installation(fresh, {name: scrape(ports[name]) for name in PROCESSES})


async def work(database: str) -> None:
    """Run a task in each of many namespaces, and one that calls many tools which are not there."""
    say = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
    async with open_pool(database, application="test", size=2) as pool:
        await declare(
            pool,
            *({**task("t", say), "metadata": {"name": "t", "namespace": one}} for one in NAMESPACES),
            *(tool(one, "http://127.0.0.1:9") for one in TOOLS),
            *(task(f"calls-{one[:8]}", {"id": "a", "uses": one}) for one in TOOLS),
        )
        for namespace in NAMESPACES:
            await run_now(pool, namespace=namespace, name="t")
        for one in TOOLS:
            await run_now(pool, namespace="default", name=f"calls-{one[:8]}")


def request(port: int, method: str, path: str) -> None:
    """Send a request; whatever is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        connection.request(method, path)
        connection.getresponse().read()


def all_ended(database: str) -> bool:
    """Whether nothing is left to do."""
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT count(*), count(finished_at) FROM ordinaut.run").fetchone()
    return row is not None and row[0] == row[1] == len(NAMESPACES) + len(TOOLS)

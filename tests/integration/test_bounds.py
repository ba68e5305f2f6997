"""What a process takes at most, however much there is to do: connections, and the memory of a worker."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import httpx2
import psycopg
import pytest

from ordinaut_api.settings import ApiSettings
from ordinaut_operator import app as operator
from ordinaut_worker import app as worker
from ordinaut_worker.loop import MAX_BATCH
from tests.cluster.processes import free_port
from tests.declaring import declare_at, task, tool
from tests.running import Processes, Running, until
from tests.toolserver import ToolServer

DOCS = Path(__file__).parents[2] / "docs"
RUNS = 100_000
LANES = 1_000
SLOTS = 8
GROWTH = 24
"""Mebibytes that a worker may grow by; the rows alone would be some 100."""

API_POOL = ApiSettings.model_fields["api_pool_size"].default


def documented() -> dict[str, tuple[int, int]]:
    """Return what the page says of each process: connections of its pool, and beside it."""
    text = (DOCS / "configuration.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (operator|worker|api) \| (\d+|`ORDINAUT_API_POOL_SIZE`) \| (\d+)", text, re.MULTILINE)
    return {name: (API_POOL if pool.startswith("`") else int(pool), int(beside)) for name, pool, beside in rows}


def test_the_pages_say_how_many_connections_a_process_has() -> None:
    said = documented()
    sizes = {"operator": operator.POOL_SIZE, "worker": worker.POOL_SIZE, "api": API_POOL}
    assert {name: pool for name, (pool, _) in said.items()} == sizes

    sums = {name: pool + beside for name, (pool, beside) in said.items()}
    sizing = (DOCS / "sizing.md").read_text(encoding="utf-8")
    assert (
        f"at most {sums['operator']} for each operator, {sums['worker']} for each worker, {sums['api']} for each api"
        in (sizing)
    )


class Watched:
    """The most connections that there were at a time, by the name that they give themselves."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._over = Event()
        self.most: dict[str, int] = {}

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look again and again as long as the context lasts."""
        thread = Thread(target=self._look)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _look(self) -> None:
        with psycopg.connect(self._database, autocommit=True) as connection:
            while not self._over.wait(0.02):
                rows = connection.execute(
                    "SELECT application_name, count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND application_name LIKE 'ordinaut-%' GROUP BY 1"
                ).fetchall()
                self.most = {name: max(count, self.most.get(name, 0)) for name, count in rows} | {
                    name: count for name, count in self.most.items() if name not in dict(rows)
                }


def test_under_load_each_process_keeps_to_its_connections(
    processes: Processes, database: str, toolserver: ToolServer, tmp_path: Path
) -> None:
    port = free_port()
    processes.start("operator", source="directory", directory=tmp_path)
    processes.start("worker", worker_name="busy", worker_slots=64)
    processes.start("api", api_port=port)
    step = {"id": "a", "uses": "work"}
    declare_at(
        database,
        tool("work", toolserver.url),
        task("t", step),
        task("often", step, schedules=[{"cron": "* * * * * *"}]),
    )
    url = f"http://127.0.0.1:{port}/v1/namespaces/default"

    def ask(_number: int) -> None:
        made = client.post(f"{url}/tasks/t/run")
        client.get(f"{url}/runs?limit=20")
        assert made.status_code in {202, 503}  # busy: it waits for a connection no longer than for two seconds

    watched, gate = Watched(database), toolserver.gate("work")
    with watched.looking(), httpx2.Client(timeout=60) as client, ThreadPoolExecutor(16) as threads:
        list(threads.map(ask, range(80)))
        gate.set()
        until(lambda: finished(database) >= 20, what=processes.logs)

    said = documented()
    allowed = {
        "ordinaut-operator": said["operator"][0],
        "ordinaut-clock-listen": 1,  # of the two; the other one is the status writer's, who has no cluster here
        "ordinaut-worker": said["worker"][0],
        "ordinaut-worker-listen": 1,
        "ordinaut-busy-heartbeat": 1,
        "ordinaut-api": said["api"][0],
    }
    found = {name: count for name, count in watched.most.items() if name != "ordinaut-declare"}
    assert found.keys() == allowed.keys()
    assert {name: count for name, count in found.items() if count > allowed[name]} == {}
    assert said["worker"][1] == 2


def finished(database: str) -> int:
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT count(*) FROM ordinaut.run WHERE finished_at IS NOT NULL").fetchone()
        assert row is not None
        return int(row[0])


def resident(process: Running) -> float:
    """Return the memory that a process has, in mebibytes."""
    status = Path(f"/proc/{process.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def pile_up(database: str) -> None:
    """Make runs of the task ``t`` claimable, in many lanes."""
    with psycopg.connect(database) as connection:
        connection.execute("SET search_path = ordinaut")
        connection.execute(
            "CREATE TEMP TABLE made AS SELECT n, (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint), 12, '0')"
            " || '7000' || '8000' || lpad(to_hex(n), 12, '0'))::uuid AS run_id FROM generate_series(1, %s) n",
            [RUNS],
        )
        connection.execute(
            "INSERT INTO run (run_id, namespace, task_id, revision, trigger, priority)"
            " SELECT run_id, 'default', task_id, revision, 'manual', 5 FROM made, task WHERE name = 't'"
        )
        connection.execute("INSERT INTO due_work (urgency, run_id, lane) SELECT 4, run_id, n %% %s FROM made", [LANES])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the memory of a process in /proc")
def test_a_worker_takes_of_a_backlog_what_it_has_room_for(
    processes: Processes, database: str, toolserver: ToolServer
) -> None:
    started = processes.start("worker", worker_slots=SLOTS)
    gate = toolserver.gate("work")
    declare_at(database, tool("work", toolserver.url), task("t", {"id": "a", "uses": "work"}))
    before = resident(started)

    pile_up(database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("NOTIFY ordinaut_work, '0'")

        def leased() -> int:
            row = connection.execute("SELECT coalesce(sum(cardinality(items)), 0) FROM ordinaut.work_lease").fetchone()
            assert row is not None
            return int(row[0])

        until(lambda: len(toolserver.calls("work")) == SLOTS, what=started.log)
        assert leased() == SLOTS
        gate.set()
        until(lambda: finished(database) >= 500, what=started.log)
        # Of work that has turned out to be short it takes some ahead.
        assert leased() <= SLOTS + MAX_BATCH
    assert resident(started) - before < GROWTH

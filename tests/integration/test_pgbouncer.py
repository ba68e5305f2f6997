"""Everything through a real PgBouncer in session mode, set up as the page says."""

import configparser
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psycopg
import pytest

from tests import pooler, running
from tests.cluster.needed import needed
from tests.cluster.processes import free_port
from tests.declaring import declare_at, task, tool
from tests.pooler import Pooler
from tests.running import Processes, until
from tests.toolserver import ToolServer

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
ADDRESSES = {"listen_addr", "listen_port", "auth_type", "auth_file"}


def settings_of_the_page() -> dict[str, str]:
    """Return the section ``pgbouncer`` of the page's file, but for who may connect and where."""
    found = re.search(r"^```ini\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    file = configparser.ConfigParser()
    file.read_string(found[1])
    return {name: value for name, value in file["pgbouncer"].items() if name not in ADDRESSES}


@pytest.fixture
def pooled(database: str) -> Iterator[Pooler]:
    """A PgBouncer before a fresh migrated database."""
    lines = [f"{name} = {value}" for name, value in settings_of_the_page().items()]
    with needed():
        pooler.provide()
    with pooler.pooler(database, settings="\n".join(lines)) as started:
        yield started


@pytest.fixture
def behind(pooled: Pooler, valkey: str) -> Iterator[Processes]:
    """A starter of processes that know no other way to the database."""
    with running.processes(database=pooled.url, redis=valkey) as started:
        yield started


def phases(database: str, name: str) -> list[str]:
    """Return the phases of a task's runs, read past the pooler."""
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "SELECT phase FROM ordinaut.run JOIN ordinaut.task USING (task_id) WHERE name = %s ORDER BY run_id", [name]
        )
        return [str(row[0]) for row in rows.fetchall()]


def test_the_page_asks_for_session_mode() -> None:
    assert settings_of_the_page()["pool_mode"] == "session"


def test_tasks_fire_run_and_are_taken_back_from_a_lost_worker(
    database: str, behind: Processes, toolserver: ToolServer, tmp_path: Path
) -> None:
    port = free_port()
    behind.start("operator", source="directory", directory=tmp_path)
    lost = behind.start("worker", lease_seconds=2, poll_seconds=60, worker_slots=1)
    behind.start("api", api_port=port)
    step = {"id": "a", "uses": "work"}
    declare_at(database, tool("work", toolserver.url), task("now", step))
    namespace = f"http://127.0.0.1:{port}/v1/namespaces/default"

    # Made through the API, and heard of at once: the worker looks by itself once a minute only.
    gate = toolserver.gate("work")
    assert httpx2.post(f"{namespace}/tasks/now/run").status_code == 202
    until(lambda: toolserver.calls("work"), what="the worker to hear of the run", seconds=40)

    lost.kill()
    behind.start("worker", lease_seconds=2, poll_seconds=60)
    until(lambda: len(toolserver.calls("work")) == 2, what="another worker to go on", seconds=40)
    gate.set()
    until(lambda: phases(database, "now") == ["Succeeded"], what=behind.logs)

    # Fired by the clock, which hears of new tasks by a notification too.
    declare_at(database, task("tick", step, schedules=[{"cron": "*/10 * * * * *"}]))
    until(lambda: "Succeeded" in phases(database, "tick"), what=behind.logs)


def test_a_worker_that_is_told_to_go_gives_back_its_place(database: str, behind: Processes, pooled: Pooler) -> None:
    def known(url: str) -> bool:
        with psycopg.connect(url) as connection:
            return connection.execute("SELECT count(*) FROM ordinaut.worker").fetchone() == (1,)

    worker = behind.start("worker")
    until(lambda: known(pooled.url), what=worker.log)

    worker.send(signal.SIGTERM)
    until(lambda: worker.process.poll() is not None, what=worker.log)

    assert not known(database)

"""The scene of the fault tests, and their report: what each fault has cost, as a table and as JSON."""

import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ordinaut.store.pool import Pool, open_pool
from tests import running
from tests.faults.invariants import Figures
from tests.faults.scene import Scene
from tests.running import Processes
from tests.servers import StoppablePostgres, StoppableValkey
from tests.toolserver import ToolServer

COLUMNS = [
    "fault",
    "faults",
    "runs",
    "lost",
    "doubles",
    "redelivered",
    "repeated calls",
    "takeover p50",
    "takeover p99",
]

Tell = Callable[..., None]


@pytest.fixture
async def scene(database: str, pool: Pool, processes: Processes, toolserver: ToolServer, tmp_path: Path) -> Scene:
    """Everything declared on a fresh database; no process is running yet."""
    made = Scene(database=database, pool=pool, processes=processes, toolserver=toolserver, folder=tmp_path)
    await made.set()
    return made


@pytest.fixture
async def durable_scene(
    own_postgres: StoppablePostgres, valkey: str, toolserver: ToolServer, tmp_path: Path
) -> AsyncIterator[Scene]:
    """As ``scene``, on a durable PostgreSQL that the test may kill."""
    async with open_pool(own_postgres.url, application="test", size=4) as pool:
        with running.processes(database=own_postgres.url, redis=valkey) as processes:
            made = Scene(
                database=own_postgres.url, pool=pool, processes=processes, toolserver=toolserver, folder=tmp_path
            )
            await made.set()
            yield made


@pytest.fixture
def own_valkey() -> Iterator[StoppableValkey]:
    """A Valkey of the test's own, to be stopped and started again."""
    server = StoppableValkey()
    yield server
    server.close()


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Write a line of the report."""

    def line(fault: str, figures: Figures, *, faults: int) -> None:
        p50, p99 = figures.takeover
        values = [figures.runs, figures.lost, figures.doubles, figures.redelivered, figures.repeated_calls, p50, p99]
        said = dict(zip(COLUMNS, [fault, faults, *values], strict=True))
        print(said)
        record_property("fault", said)

    return line


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show the report, and write it to the file that ``ORDINAUT_TEST_FAULTS_REPORT`` names."""
    lines = sorted(_lines(terminalreporter), key=lambda line: int(line["fault"][1:]))
    if not lines:
        return
    terminalreporter.section("faults")
    for row in [COLUMNS, *([line[name] for name in COLUMNS] for line in lines)]:
        terminalreporter.write_line("".join(f"{_shown(value):>16}" for value in row))
    if name := os.environ.get("ORDINAUT_TEST_FAULTS_REPORT"):
        Path(name).write_text(json.dumps({"faults": lines}, indent=2) + "\n")
        terminalreporter.write_line(f"written to {name}")


def _lines(terminalreporter: Any) -> Iterator[dict[str, Any]]:
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            if report.when == "call":
                passed = {"passed": outcome == "passed"}
                yield from (value | passed for name, value in report.user_properties if name == "fault")


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f} s"
    return "-" if value is None else str(value)

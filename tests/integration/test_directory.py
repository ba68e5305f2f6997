"""Shows that PostgreSQL follows a directory of manifests: what is written, edited, broken, mended and deleted."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ordinaut.probes import Readiness
from ordinaut.store.pool import Pool, open_pool
from ordinaut_operator.directory import NEED, DirectorySource

pytestmark = pytest.mark.integration

PIPELINE = """\
apiVersion: ordinaut.io/v1alpha1
kind: Pipeline
metadata: {name: hello}
spec:
  steps:
  - {id: only, uses: std.log, with: {message: hello}}
"""
TASK = """\
apiVersion: ordinaut.io/v1alpha1
kind: Task
metadata: {name: briefing}
spec:
  schedules: [{cron: "30 8 * * 1-5"}]
  pipelineRef: {name: hello}
"""


@dataclass(frozen=True, slots=True)
class Row:
    """What is stored of a task."""

    reason: str
    cron: str | None
    task_id: int


@contextlib.asynccontextmanager
async def following(pool: Pool, directory: Path) -> AsyncIterator[Readiness]:
    readiness = Readiness()
    source = DirectorySource(pool=pool, directory=directory, readiness=readiness)
    running = asyncio.create_task(source.run())
    try:
        yield readiness
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def tasks(pool: Pool) -> dict[str, Row]:
    async with pool.connection() as connection:
        rows = await connection.execute(
            "SELECT name, reason, spec #>> '{schedules,0,cron}', task_id FROM task WHERE deleted_at IS NULL"
        )
        return {row[0]: Row(*row[1:]) for row in await rows.fetchall()}


async def eventually(condition: Callable[[], Awaitable[bool]], *, within: float = 60) -> None:
    async with asyncio.timeout(within):
        while not await condition():
            await asyncio.sleep(0.02)


async def ready(readiness: Readiness) -> None:
    async def met() -> bool:
        return readiness.ready

    await eventually(met)


async def test_what_the_files_declare_is_stored_before_the_source_is_ready(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(f"{TASK}---\n{PIPELINE}")
    async with following(pool, tmp_path) as readiness:
        await ready(readiness)
        row = (await tasks(pool))["briefing"]
        assert (row.reason, row.cron) == ("Resolved", "30 8 * * 1-5")


async def test_edits_new_files_and_deletions_are_followed(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "task.yaml").write_text(TASK)
    async with following(pool, tmp_path) as readiness:
        await ready(readiness)
        before = (await tasks(pool))["briefing"]

        (tmp_path / "task.yaml").write_text(TASK.replace("30 8", "45 9"))
        await eventually(lambda: holds(pool, {"briefing": "45 9 * * 1-5"}))
        assert (await tasks(pool))["briefing"].task_id == before.task_id

        (tmp_path / "more.yaml").write_text(TASK.replace("briefing", "evening"))
        await eventually(lambda: holds(pool, {"briefing": "45 9 * * 1-5", "evening": "30 8 * * 1-5"}))

        (tmp_path / "task.yaml").unlink()
        await eventually(lambda: holds(pool, {"evening": "30 8 * * 1-5"}))


async def holds(pool: Pool, crons: dict[str, str | None]) -> bool:
    return {name: row.cron for name, row in (await tasks(pool)).items()} == crons


async def test_what_vanished_while_nobody_watched_is_removed_at_the_start(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "task.yaml").write_text(TASK)
    async with following(pool, tmp_path) as readiness:
        await ready(readiness)
    (tmp_path / "task.yaml").write_text(TASK.replace("briefing", "evening"))
    async with following(pool, tmp_path) as readiness:
        await ready(readiness)
        assert set(await tasks(pool)) == {"evening"}


async def test_a_restart_without_changes_writes_nothing(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(f"{TASK}---\n{PIPELINE}")

    async def versions() -> list[tuple[object, ...]]:
        async with pool.connection() as connection:
            return await (await connection.execute("SELECT name, xmin::text, updated_at FROM task")).fetchall()

    async with following(pool, tmp_path) as readiness:
        await ready(readiness)
    before = await versions()
    async with following(pool, tmp_path) as readiness:
        await ready(readiness)
        assert await versions() == before


@pytest.mark.parametrize("broken", [TASK.replace("metadata:", "metadata"), TASK.replace("30 8 * * 1-5", "99 8 * * *")])
async def test_a_mistake_leaves_what_is_stored_until_it_is_mended(broken: str, pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "task.yaml").write_text(TASK)
    async with following(pool, tmp_path) as readiness:
        await ready(readiness)
        (tmp_path / "task.yaml").write_text(broken)
        (tmp_path / "more.yaml").write_text(TASK.replace("briefing", "evening"))
        await eventually(lambda: holds(pool, {"briefing": "30 8 * * 1-5", "evening": "30 8 * * 1-5"}))
        (tmp_path / "task.yaml").write_text(TASK.replace("30 8", "45 9"))
        await eventually(lambda: holds(pool, {"briefing": "45 9 * * 1-5", "evening": "30 8 * * 1-5"}))


async def test_a_file_that_is_broken_at_the_start_removes_nothing(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "pipeline.yaml").write_text(PIPELINE)
    (tmp_path / "task.yaml").write_text(TASK)
    async with following(pool, tmp_path) as readiness:
        await ready(readiness)
    (tmp_path / "task.yaml").write_text("{")
    async with following(pool, tmp_path) as readiness:
        await ready(readiness)
        assert set(await tasks(pool)) == {"briefing"}


async def test_a_task_that_was_wrong_from_the_start_says_so_and_heals(pool: Pool, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(f"{TASK.replace('30 8 * * 1-5', '99 8 * * *')}---\n{PIPELINE}")
    async with following(pool, tmp_path) as readiness:
        await ready(readiness)
        assert (await tasks(pool))["briefing"].reason == "InvalidSpec"
        (tmp_path / "all.yaml").write_text(f"{TASK}---\n{PIPELINE}")
        await eventually(lambda: holds(pool, {"briefing": "30 8 * * 1-5"}))
        assert (await tasks(pool))["briefing"].reason == "Resolved"


async def test_a_directory_that_goes_away_removes_nothing_and_is_told(pool: Pool, tmp_path: Path) -> None:
    directory = tmp_path / "manifests"
    directory.mkdir()
    (directory / "all.yaml").write_text(f"{TASK}---\n{PIPELINE}")
    async with following(pool, directory) as readiness:
        await ready(readiness)
        directory.rename(tmp_path / "elsewhere")

        async def told() -> bool:
            return "there is no directory" in readiness.reasons.get(NEED, "")

        await eventually(told)
        assert set(await tasks(pool)) == {"briefing"}
        (tmp_path / "elsewhere").rename(directory)
        await ready(readiness)


async def test_the_source_waits_for_the_database(database: str, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(f"{TASK}---\n{PIPELINE}")
    async with open_pool("postgresql://127.0.0.1:1/nowhere", application="test", size=1) as away:
        away.timeout = 0.1
        async with following(away, tmp_path) as readiness:
            assert NEED in readiness.reasons
            away.conninfo = database
            await ready(readiness)
            assert set(await tasks(away)) == {"briefing"}

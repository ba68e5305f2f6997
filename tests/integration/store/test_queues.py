"""Names of queues and their numbers: made when a task names them, and once only."""

import asyncio
from typing import Any

import pytest

from ordinaut.declaration import resolve
from ordinaut.store import queues, status
from ordinaut.store.pool import Pool
from tests.declaring import declare, manifest, pipeline, run_now, task

STEP = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}


async def numbers(pool: Pool) -> dict[str, int]:
    async with pool.connection() as connection:
        return await queues.every(connection)


async def queue_of(pool: Pool, name: str) -> tuple[int, str]:
    """Return the number of a task's queue, and the reason of its readiness."""
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT queue, reason FROM task WHERE name = %s", [name])
        row = await cursor.fetchone()
        assert row is not None
        return int(row[0]), str(row[1])


async def waiting(pool: Pool) -> list[int]:
    """Return the queues of the claimable runs, in the order in which they were made."""
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT queue FROM due_work ORDER BY run_id")
        return [int(row[0]) for row in await cursor.fetchall()]


async def test_a_task_without_a_queue_is_of_the_default_one(pool: Pool) -> None:
    await declare(pool, task("t", STEP))

    assert await numbers(pool) == {"default": 0}
    assert await queue_of(pool, "t") == (0, "Resolved")


async def test_a_queue_is_there_from_the_first_task_on_that_names_it(pool: Pool) -> None:
    await declare(pool, task("one", STEP, queue="heavy"), task("two", STEP, queue="gpu"))
    await declare(pool, task("three", STEP, queue="heavy"))

    known = await numbers(pool)
    assert sorted(known.values()) == [0, 1, 2]
    assert [(await queue_of(pool, name))[0] for name in ("one", "two", "three")] == [
        known["heavy"],
        known["gpu"],
        known["heavy"],
    ]


async def test_an_edited_queue_counts_for_runs_that_are_made_from_then_on(pool: Pool) -> None:
    await declare(pool, task("t", STEP))
    await run_now(pool, namespace="default", name="t")
    await declare(pool, task("t", STEP, queue="heavy"))
    await run_now(pool, namespace="default", name="t")
    await declare(pool, task("t", STEP))
    await run_now(pool, namespace="default", name="t")

    assert await waiting(pool) == [0, 1, 0]


async def test_a_task_that_is_not_ready_keeps_the_queue_that_it_names(pool: Pool) -> None:
    await declare(pool, task("t", pipelineRef={"name": "later"}, queue="heavy"))
    assert await queue_of(pool, "t") == (1, "PipelineNotFound")

    await declare(pool, pipeline("later", STEP))
    assert await queue_of(pool, "t") == (1, "Resolved")


async def test_processes_that_name_queues_at_once_agree_and_leave_no_gap(pool: Pool) -> None:
    async def name(*wanted: str) -> dict[str, int]:
        async with pool.connection() as connection, connection.transaction():
            return dict(await queues.ensure(connection, dict.fromkeys(wanted, "default")))

    found = await asyncio.gather(*(name("shared", f"own-{n}", f"own-{n + 1}") for n in range(8)))

    known = await numbers(pool)
    assert sorted(known.values()) == list(range(11))
    assert {one["shared"] for one in found} == {known["shared"]}
    for one in found:
        assert one.items() <= known.items()


async def test_one_queue_too_many_leaves_its_task_not_ready(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (queues, resolve):
        monkeypatch.setattr(module, "MAX_QUEUES", 2)
    await declare(pool, task("first", STEP, queue="heavy"))
    await declare(pool, task("t", STEP, queue="one-more"))

    assert await numbers(pool) == {"default": 0, "heavy": 1}
    assert await queue_of(pool, "t") == (0, "TooManyQueues")
    async with pool.connection() as connection:
        row = await status.task_named(connection, namespace="default", name="t")
    assert 'spec.queue: "one-more"' in row.message
    assert "name one that is there" in row.message

    await declare(pool, task("t", STEP, queue="heavy"))
    assert await queue_of(pool, "t") == (1, "Resolved")


async def test_a_namespace_does_not_take_all_names(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "MAX_NAMED", 2)
    for number in range(3):
        await declare(pool, task(f"t{number}", STEP, queue=f"mine-{number}"))
    await declare(pool, manifest("Task", "t", task("t", STEP, queue="theirs")["spec"], namespace="other"))

    assert await numbers(pool) == {"default": 0, "mine-0": 1, "mine-1": 2, "theirs": 3}
    assert await queue_of(pool, "t2") == (0, "TooManyQueues")

    await declare(pool, task("t2", STEP, queue="theirs"))
    assert await queue_of(pool, "t2") == (3, "Resolved")


@pytest.mark.parametrize(
    ("names", "numbers"),
    [(["*"], [0, 1, 2]), (["gpu"], [2]), (["gpu", "default"], [0, 2]), (["not-yet"], []), (["default"], [0])],
)
def test_a_worker_takes_from_those_of_its_queues_that_there_are(names: list[str], numbers: list[int]) -> None:
    assert queues.chosen(names, {"gpu": 2, "default": 0, "heavy": 1}) == numbers


@pytest.mark.parametrize("name", ["Heavy", "heavy.work", "-a", "a" * 64, "", "*", "a\n"])
async def test_only_labels_are_names_of_queues(pool: Pool, name: str) -> None:
    spec: dict[str, Any] = task("t", STEP, queue=name)
    await declare(pool, spec)

    assert (await queue_of(pool, "t"))[1] == "InvalidSpec"
    assert await numbers(pool) == {"default": 0}

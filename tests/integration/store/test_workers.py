"""Which workers live, what they say of themselves, and what a namespace sees of what they hold."""

from datetime import timedelta
from typing import Any

import pytest

from ordinaut.store import workers
from ordinaut.store.pool import Connection, Pool
from ordinaut.store.workers import Announcement, WorkerFigures
from tests.declaring import declare, manifest, run_now

LEASE = timedelta(minutes=5)
STEP = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}


def said(name: str, *queues: str, **more: Any) -> Announcement:
    return Announcement(
        **{"name": name, "queues": queues or ("default",), "slots": 4, "version": "1", "lease": LEASE, **more}
    )


async def announce(connection: Connection, one: Announcement, *, draining: bool = False) -> None:
    await workers.announce(connection, one, age=timedelta(hours=1), draining=draining)


async def listed(connection: Connection) -> list[str]:
    return [row.name for row in await workers.list_(connection, limit=9)]


async def lease(connection: Connection, worker: str, namespace: str) -> list[str]:
    """Give a worker all claimable runs of a namespace, as a lease would; returns their keys."""
    cursor = await connection.execute(
        "WITH taken AS (DELETE FROM due_work d USING run r WHERE r.run_id = d.run_id AND r.namespace = %s RETURNING d.*"
        "), lease AS (INSERT INTO work_lease (worker, leased_until, items) SELECT %s, now() + interval '1 h',"
        " array_agg(ROW(id, queue, urgency, due_at, attempt, run_id, started_at)::work_item) FROM taken)"
        " SELECT run_id::text FROM taken ORDER BY run_id",
        [namespace, worker],
    )
    return [str(row[0]) for row in await cursor.fetchall()]


async def runs(pool: Pool, *, namespace: str, count: int) -> None:
    spec = {"pipeline": {"steps": [STEP]}}
    await declare(pool, manifest("Task", f"of-{namespace}", spec, namespace=namespace))
    for _ in range(count):
        await run_now(pool, namespace=namespace, name=f"of-{namespace}")


async def test_a_worker_is_listed_from_its_announcement_until_it_leaves(pool: Pool) -> None:
    async with pool.connection() as connection:
        assert not await workers.live(connection, said("b"), draining=False)
        await announce(connection, said("b", "gpu", "heavy"))
        await announce(connection, said("a", "*"))

        first, second = await workers.list_(connection, limit=9)
        assert (first.name, first.queues, second.queues) == ("a", ["*"], ["gpu", "heavy"])
        assert (second.slots, second.version, second.busy, second.draining_at) == (4, "1", 0, None)
        assert second.seen_at - second.started_at == timedelta(hours=1)
        assert [row.name for row in await workers.list_(connection, limit=9, after="a")] == ["b"]

        await workers.leave(connection, "b")
        assert await listed(connection) == ["a"]


async def test_a_worker_that_is_silent_for_its_lease_is_listed_no_more(pool: Pool) -> None:
    async with pool.connection() as connection:
        await announce(connection, said("lost", lease=timedelta(seconds=-1)))
        assert await listed(connection) == []

        assert await workers.live(connection, said("lost"), draining=False)
        assert await listed(connection) == ["lost"]


async def test_a_sign_of_life_keeps_the_moment_at_which_draining_began(pool: Pool) -> None:
    async with pool.connection() as connection:
        await announce(connection, said("w"))
        await workers.live(connection, said("w"), draining=True)
        (before,) = await workers.list_(connection, limit=1)
        await workers.live(connection, said("w"), draining=True)
        (after,) = await workers.list_(connection, limit=1)

    assert before.draining_at == after.draining_at is not None
    assert after.seen_at > before.seen_at


async def test_a_new_process_of_the_same_name_replaces_what_the_old_one_said(pool: Pool) -> None:
    async with pool.connection() as connection:
        await announce(connection, said("w"), draining=True)
        await announce(connection, said("w", "gpu", slots=9))
        (row,) = await workers.list_(connection, limit=9)

    assert (row.queues, row.slots, row.draining_at) == (["gpu"], 9, None)


async def test_a_namespace_sees_its_own_runs_and_a_number_of_all(pool: Pool) -> None:
    await runs(pool, namespace="ours", count=2)
    await runs(pool, namespace="theirs", count=3)
    async with pool.connection() as connection:
        await announce(connection, said("w"))
        await announce(connection, said("idle"))
        mine = await lease(connection, "w", "ours")
        await lease(connection, "w", "theirs")

        idle, row = await workers.list_(connection, limit=9)
        assert (row.busy, idle.busy) == (5, 0)
        held = await workers.held(connection, namespace="ours", workers=["idle", "w"])
        assert [(str(one.run_id), one.task, one.held) for one in held["w"]] == [(key, "of-ours", 2) for key in mine]
        assert held["idle"] == []
        assert await workers.held(connection, namespace="nobody", workers=["w"]) == {"w": []}


async def test_of_many_runs_those_held_longest_are_listed_and_all_counted(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "MAX_RUNS", 1)
    await runs(pool, namespace="ours", count=1)
    async with pool.connection() as connection:
        (first,) = await lease(connection, "w", "ours")
    await runs(pool, namespace="ours", count=2)
    async with pool.connection() as connection:
        await lease(connection, "w", "ours")
        (listed,) = (await workers.held(connection, namespace="ours", workers=["w"]))["w"]

    assert (str(listed.run_id), listed.held) == (first, 3)


async def test_queues_with_work_and_no_worker_are_counted(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("INSERT INTO queue VALUES (1, 'gpu'), (2, 'empty'), (3, 'ward')")
        await connection.execute(
            "INSERT INTO due_work (queue, urgency, run_id)"
            " SELECT q, 4, gen_random_uuid() FROM unnest('{0,1,-4}'::int[]) q"
        )
        assert await workers.figures(connection) == WorkerFigures(live=0, unserved=3)
        await announce(connection, said("w", "default", "ward"))
        assert await workers.figures(connection) == WorkerFigures(live=1, unserved=1)
        await announce(connection, said("all", "*"))
        assert await workers.figures(connection) == WorkerFigures(live=2, unserved=0)
        # One that drains takes nothing any more.
        await announce(connection, said("all", "*"), draining=True)
        assert await workers.figures(connection) == WorkerFigures(live=2, unserved=1)


async def test_workers_that_were_not_seen_for_an_hour_are_forgotten(pool: Pool) -> None:
    async with pool.connection() as connection:
        for name, minutes in (("fresh", 59), ("old", 61)):
            await announce(connection, said(name))
            await connection.execute(
                "UPDATE worker SET seen_at = now() - make_interval(mins => %s) WHERE name = %s", [minutes, name]
            )

        assert await workers.forget_lost(connection) == 1
        assert await listed(connection) == ["fresh"]

"""Runs of tasks made through the API need the rights of whoever made them, at the moment when they fire."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from ordinaut.access.caller import LOCAL, Authority, Caller
from ordinaut.declaration import standing
from ordinaut.errors import OrdinautError
from ordinaut.states import Origin
from ordinaut.store import clock as store_clock
from ordinaut.store import status
from ordinaut.store.pool import Pool
from ordinaut.store.status import TaskRow
from ordinaut_operator import fire
from ordinaut_operator.rights import Rights
from tests.declaring import declare, task

pytestmark = pytest.mark.usefixtures("early_in_a_minute")

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
MINUTELY = {"cron": "* * * * *"}
ADA = Caller(Authority.KUBERNETES, "ada", groups=("agents", "system:authenticated"))
BOB = Caller(Authority.KUBERNETES, "bob")


class Cluster:
    """An API server that knows who may run tasks, or is away."""

    def __init__(self) -> None:
        self.may_run = {"ada", "bob"}
        self.silent = False
        self.now = 1000.0
        self.rights = Rights([Authority.KUBERNETES], review=self.review, clock=lambda: self.now)
        self.answered = asyncio.Event()

    async def review(self, creator: Caller, namespace: str) -> bool:
        assert namespace == "default"
        if self.silent:
            raise OrdinautError("the API server does not answer")
        return creator.user in self.may_run

    def forget(self) -> None:
        """Let the answers so far become old."""
        self.now += 11

    async def fire(self, pool: Pool) -> fire.Round:
        """Fire what is due, and again once the answers have come."""
        self.answered.clear()
        done = await fire.fire_due(pool, rights=self.rights)
        if done.left:
            await asyncio.wait_for(self.answered.wait(), 60)
            done = await fire.fire_due(pool, rights=self.rights)
        return done


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    known = Cluster()
    running = asyncio.create_task(known.rights.run(answered=known.answered.set))
    yield known
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def make_due(pool: Pool, *names: str, minutes: int = 1) -> None:
    """Let so many last minutes of tasks be undecided; times of an earlier call are forgotten."""
    async with pool.connection() as connection:
        await connection.execute("DELETE FROM fire")
        await connection.execute(
            "UPDATE task_clock c SET evaluated_at = date_trunc('minute', now()) - %s, next_fire_at = now() - %s"
            " FROM task t WHERE t.task_id = c.task_id AND t.name = ANY(%s)",
            [timedelta(minutes=minutes) - timedelta(seconds=59), timedelta(minutes=minutes), list(names)],
        )


async def row(pool: Pool, name: str = "t") -> TaskRow:
    async with pool.connection() as connection:
        return await status.task_named(connection, namespace="default", name=name)


async def fates(pool: Pool, name: str = "t") -> list[str]:
    async with pool.connection() as connection:
        found = await status.fires(connection, namespace="default", name=name, limit=99)
    return [str(one.reason or one.outcome) for one in found][::-1]


def minutely(name: str = "t", **spec: Any) -> dict[str, Any]:
    return task(name, LOG, schedules=[MINUTELY], **spec)


async def test_a_creator_who_may_run_tasks_has_them_run(pool: Pool, cluster: Cluster) -> None:
    await declare(pool, minutely(), by=ADA)
    await make_due(pool, "t")

    assert (await cluster.fire(pool)).fired == 1

    made = await row(pool)
    assert (made.creator, made.unauthorized_at) == ("ada", None)
    assert standing.task_conditions(made)["Authorized"].holds


async def test_a_fire_of_a_creator_whose_right_was_taken_away_is_skipped_and_the_task_says_so(
    pool: Pool, cluster: Cluster
) -> None:
    await declare(pool, minutely(), by=ADA)
    await make_due(pool, "t")
    cluster.may_run.remove("ada")

    assert (await cluster.fire(pool)).fired == 0

    assert await fates(pool) == ["Unauthorized"]
    revoked = await row(pool)
    said = standing.task_conditions(revoked)["Authorized"]
    assert (said.holds, said.reason) == (False, "CreatorRevoked")
    assert "ada, who made the task, may not run tasks in namespace default" in said.message
    assert revoked.next_fire_at is not None
    assert revoked.next_fire_at > revoked.now

    since = revoked.unauthorized_at
    await make_due(pool, "t")
    await cluster.fire(pool)
    assert (await row(pool)).unauthorized_at == since

    cluster.may_run.add("ada")
    cluster.forget()
    await make_due(pool, "t")
    assert (await cluster.fire(pool)).fired == 1
    assert (await row(pool)).unauthorized_at is None


async def test_tasks_of_others_fire_while_nobody_says_what_a_creator_may_do(
    pool: Pool, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fire, "BATCH", 4)
    waiting = [f"ada-{n}" for n in range(9)]
    await declare(pool, *(minutely(name) for name in waiting), by=ADA)
    await declare(pool, minutely("free"))
    await make_due(pool, *waiting, minutes=9)
    await make_due(pool, "free")
    cluster.silent = True

    await cluster.fire(pool)

    assert await fates(pool, "free") == ["Fired"]
    assert [await fates(pool, name) for name in waiting] == [[]] * 9

    # Late, never lost.
    cluster.silent = False
    while not await fates(pool, waiting[-1]):
        await cluster.fire(pool)
        await asyncio.sleep(0.01)
    assert [(await fates(pool, name))[-1] for name in waiting] == ["Fired"] * 9


async def test_the_last_answer_counts_while_the_api_server_is_away(pool: Pool, cluster: Cluster) -> None:
    await declare(pool, minutely(), by=ADA)
    await make_due(pool, "t")
    await cluster.fire(pool)
    cluster.silent = True
    cluster.now += 200
    await make_due(pool, "t")

    assert (await cluster.fire(pool)).fired == 1

    cluster.now += 101
    await make_due(pool, "t")
    done = await fire.fire_due(pool, rights=cluster.rights)
    assert (done.fired, done.skipped) == (0, 0)
    assert await fates(pool) == []


async def test_whoever_replaces_the_spec_is_the_creator_from_then_on(pool: Pool, cluster: Cluster) -> None:
    await declare(pool, minutely(), by=ADA)
    await make_due(pool, "t")
    cluster.may_run.remove("ada")
    await cluster.fire(pool)

    labelled = minutely()
    labelled["metadata"]["labels"] = {"team": "a"}
    await declare(pool, labelled, by=BOB)
    assert (await row(pool)).creator == "ada"
    assert (await row(pool)).unauthorized_at is not None

    await declare(pool, minutely(priority=9), by=BOB)
    taken = await row(pool)
    assert (taken.creator, taken.unauthorized_at) == ("bob", None)
    await make_due(pool, "t")
    assert (await cluster.fire(pool)).fired == 1


async def test_tasks_of_resources_need_nobodys_rights(pool: Pool, cluster: Cluster) -> None:
    await declare(pool, minutely(), origin=Origin.KUBERNETES)
    await make_due(pool, "t")

    assert (await cluster.fire(pool)).fired == 1

    assert "Authorized" not in standing.task_conditions(await row(pool))


async def test_what_was_made_without_identities_does_not_run_where_there_are_some(pool: Pool, cluster: Cluster) -> None:
    await declare(pool, minutely(), by=LOCAL)
    await make_due(pool, "t")
    assert (await fire.fire_due(pool)).fired == 1

    await make_due(pool, "t")
    await cluster.fire(pool)
    assert await fates(pool) == ["Unauthorized"]


async def test_thousands_of_tasks_of_one_identity_share_a_creator(pool: Pool) -> None:
    again = Caller(ADA.authority, ADA.user, groups=ADA.groups[::-1])
    await declare(pool, *(minutely(f"t{n}") for n in range(5)), by=ADA)
    await declare(pool, *(minutely(f"u{n}") for n in range(5)), by=again)
    await declare(pool, minutely("other"), by=BOB)

    async with pool.connection() as connection:
        found = await (await connection.execute("SELECT identity ->> 'user' FROM creator ORDER BY 1")).fetchall()
        due = await store_clock.claim_due(connection, limit=9)
    assert found == [("ada",), ("bob",)]
    assert due == []


async def test_transactions_that_make_tasks_side_by_side_do_not_lock_each_other_up(pool: Pool) -> None:
    callers = [Caller(Authority.KUBERNETES, f"agent-{n % 3}") for n in range(8)]

    async def make(number: int) -> None:
        for part in range(5):
            names = [f"t{(number + n + part) % 20}" for n in range(12)]
            await declare(pool, *(minutely(name, priority=number) for name in names), by=callers[number])

    await asyncio.gather(*(make(number) for number in range(8)))

    async with pool.connection() as connection:
        assert len(await status.list_tasks(connection, namespace="default", limit=99)) == 20

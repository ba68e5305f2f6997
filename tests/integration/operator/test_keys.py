"""Concurrency keys: as many runs at a time as the limit allows, whoever asks, ends and edits meanwhile."""

import asyncio
import random
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY

from ordinaut.declaration import backfill
from ordinaut.declaration.apply import remove
from ordinaut.engine.concurrency import MAX_KEY
from ordinaut.errors import Invalid
from ordinaut.states import Origin, RunPhase, WaitReason
from ordinaut.store import admission, clock, declared, keys, runs, work
from ordinaut.store.admission import Round
from ordinaut.store.pool import Pool
from ordinaut.store.settle import RunResult, Settlement, settle
from ordinaut.store.work import LeasedWork
from ordinaut_operator import fire, janitor
from ordinaut_operator.admission import Admission
from ordinaut_operator.backfilling import Backfilling
from tests.declaring import cancel, declare, retry, run_now, task, tool, unpark
from tests.integration.operator.test_fire import LOG, MINUTELY, ledger, rewind
from tests.integration.operator.test_turns import blocked, end, live
from tests.integration.operator.test_turns import lease as take
from tests.integration.rows import run_of
from tests.running import Processes

HOUR = timedelta(hours=1)
OVER = timedelta(seconds=-1)
MAIL = {"key": "mail"}


async def declare_keyed(
    pool: Pool, name: str = "t", *entries: dict[str, Any], namespace: str = "default", **spec: Any
) -> None:
    """Declare a task with concurrency keys."""
    document = task(name, LOG, concurrency=list(entries), **spec)
    document["metadata"]["namespace"] = namespace
    await declare(pool, document)


async def ask(pool: Pool, name: str = "t", count: int = 1, *, namespace: str = "default", **params: Any) -> list[UUID]:
    """Ask for so many runs."""
    return [await run_now(pool, namespace=namespace, name=name, params=params or None) for _ in range(count)]


async def admit(pool: Pool) -> int:
    """Have admission look at all news; returns how many runs went on."""
    return await Admission(pool).sweep()


async def lease(pool: Pool, *, ttl: timedelta = HOUR) -> list[LeasedWork]:
    """Take all that may be taken, once admission has looked at all news."""
    await admit(pool)
    return await take(pool, ttl=ttl)


async def carry_out(pool: Pool) -> list[UUID]:
    """Take what may be taken, end it, and so on until nothing more can be taken; returns the runs in their order."""
    order = []
    while taken := await lease(pool):
        for one in taken:
            order.append(one.run_id)
            await end(pool, one)
    return order


async def rows(pool: Pool, query: str, *params: Any) -> list[Any]:
    async with pool.connection() as connection:
        return await (await connection.execute(query.encode(), params)).fetchall()


async def unended(pool: Pool) -> list[UUID]:
    """As :func:`live`, but for runs that were cancelled: they leave queue and leases when somebody comes to them."""
    query = "SELECT w.run_id FROM live_work w JOIN run r USING (run_id) WHERE r.finished_at IS NULL ORDER BY w.run_id"
    return [row[0] for row in await rows(pool, query)]


async def holders(pool: Pool, key: str = "mail") -> set[UUID]:
    return {row[0] for row in await rows(pool, "SELECT run_id FROM held_key WHERE key = %s", key)}


async def nothing_is_left(pool: Pool) -> None:
    """Assert that nobody holds, waits for, or has forgotten anything."""
    await admit(pool)
    for table in ("held_key", "keyed_work", "awaited_key", "key_news"):
        assert await rows(pool, f"SELECT count(*) FROM {table}") == [(0,)], table


async def blocking(pool: Pool, *run_ids: UUID) -> list[keys.Blocking]:
    async with pool.connection() as connection:
        return await keys.blocking(connection, run_ids)


async def test_one_at_a_time_over_all_tasks_and_who_waits_says_for_whom(pool: Pool) -> None:
    await declare_keyed(pool, "a", MAIL)
    await declare_keyed(pool, "b", {"key": "${params.what}"}, params={"what": "mail"})
    (first,) = await ask(pool, "a")
    second, third = [*await ask(pool, "b"), *await ask(pool, "a")]

    (taken,) = await lease(pool)

    assert taken.run_id == first
    for one in (second, third):
        run = await run_of(pool, one)
        assert (run.phase, run.reason) == ("Waiting", WaitReason.CONCURRENCY_KEY)
    assert await live(pool) == sorted([first, second, third])
    found = {one.run_id: one for one in await blocking(pool, first, second, third)}
    assert set(found) == {second, third}
    assert [(one.key, one.limit, one.held, one.ahead, one.is_full) for one in found.values()] == [
        ("mail", 1, 1, 0, True),
        ("mail", 1, 1, 1, True),
    ]
    (holder,) = found[second].holders
    assert (holder.run, holder.task) == (first, "a")
    await end(pool, taken)
    await admit(pool)
    assert ((await run_of(pool, second)).phase, (await run_of(pool, second)).reason) == ("Pending", None)
    assert await carry_out(pool) == [second, third]
    await nothing_is_left(pool)


async def test_other_keys_and_other_namespaces_are_not_waited_for(pool: Pool) -> None:
    await declare_keyed(pool, "t", {"key": "mail-${params.account}"}, params={"account": "ada"})
    await declare_keyed(pool, "t", {"key": "mail-${params.account}"}, params={"account": "ada"}, namespace="other")
    ada, again = await ask(pool, count=2)
    (bob,) = await ask(pool, account="bob")
    (elsewhere,) = await ask(pool, namespace="other")
    (longest,) = await ask(pool, account="\U0001d11e" * (MAX_KEY - len("mail-")))

    assert {one.run_id for one in await lease(pool)} == {ada, bob, elsewhere, longest}
    assert [one.key for one in await blocking(pool, again)] == ["mail-ada"]


async def test_a_raised_limit_lets_runs_go_on_at_once_and_a_lowered_one_holds_them_back(pool: Pool) -> None:
    await declare_keyed(pool, "t", MAIL)
    made = await ask(pool, count=6)
    taken = await lease(pool)
    assert [one.run_id for one in taken] == made[:1]

    await declare_keyed(pool, "t", MAIL | {"limit": 4})
    taken += await lease(pool)
    assert [one.run_id for one in taken] == made[:4]

    await declare_keyed(pool, "t", MAIL | {"limit": 2})
    for one in taken[:2]:
        await end(pool, one)
    assert await lease(pool) == []
    assert await holders(pool) == set(made[2:4])
    await end(pool, taken[2])
    assert [one.run_id for one in await lease(pool)] == made[4:5]


async def test_each_task_is_held_to_its_own_limit(pool: Pool) -> None:
    await declare_keyed(pool, "small", MAIL)
    await declare_keyed(pool, "large", MAIL | {"limit": 3})
    small = await ask(pool, "small", count=2)
    large = await ask(pool, "large", count=3)

    assert {one.run_id for one in await lease(pool)} == {small[0], *large[:2]}


async def test_a_limit_that_is_gone_holds_nobody_and_a_wrong_spec_lets_nobody_pass(pool: Pool) -> None:
    await declare_keyed(pool, "t", MAIL)
    made = await ask(pool, count=3)
    assert len(await lease(pool)) == 1

    await declare(pool, task("t", LOG, concurrency=[MAIL], schedules=[{"cron": "61 * * * *"}]))
    assert (await rows(pool, "SELECT reason FROM task"))[0][0] == "InvalidSpec"
    async with pool.connection() as connection:
        await admission.go_round(connection, Round(), limit=9)
    assert await lease(pool) == []

    await declare_keyed(pool, "t")
    assert [one.run_id for one in await lease(pool)] == made[1:]
    assert await holders(pool) == set(made)


async def test_a_run_gets_all_its_keys_or_none(pool: Pool) -> None:
    await declare_keyed(pool, "both", {"key": "a"}, {"key": "b"})
    await declare_keyed(pool, "a", {"key": "a"})
    await declare_keyed(pool, "b", {"key": "b"})
    (b,) = await ask(pool, "b")
    (taken,) = await lease(pool)
    (both,) = await ask(pool, "both")
    (a,) = await ask(pool, "a")

    (other,) = await lease(pool)

    assert other.run_id == a
    assert {one.key: one.is_full for one in await blocking(pool, both)} == {"a": True, "b": True}
    await end(pool, taken)
    assert await lease(pool) == []
    await end(pool, other)
    assert await carry_out(pool) == [both]
    assert b == taken.run_id
    await nothing_is_left(pool)


async def test_two_entries_that_become_the_same_key_take_one_slot_under_the_smaller_limit(pool: Pool) -> None:
    await declare_keyed(
        pool, "t", {"key": "${params.a}", "limit": 2}, {"key": "mail", "limit": 3}, params={"a": "mail"}
    )
    made = await ask(pool, count=4)

    assert [one.run_id for one in await lease(pool)] == made[:2]
    assert await rows(pool, "SELECT count(*) FROM held_key") == [(2,)]


async def test_more_urgent_runs_go_first(pool: Pool) -> None:
    await declare_keyed(pool, "low", MAIL, priority=1)
    await declare_keyed(pool, "high", MAIL, priority=9)
    first, low = await ask(pool, "low", count=2)
    assert len(await lease(pool)) == 1
    (high,) = await ask(pool, "high")
    async with pool.connection() as connection:
        await runs.finish(connection, [first], phase=RunPhase.CANCELLED, reason="Requested", error="")

    assert await carry_out(pool) == [high, low]


async def test_the_slot_is_kept_until_the_run_has_ended_however_it_ends(
    pool: Pool,
) -> None:
    await declare_keyed(pool, "t", MAIL)
    first, second, third, fourth, fifth, sixth = await ask(pool, count=6)
    (taken,) = await lease(pool)
    async with pool.connection() as connection:
        waits = RunResult(RunPhase.WAITING, reason=WaitReason.RETRY, delay=timedelta(0))
        await settle(connection, [Settlement(taken, run=waits)], done=[taken.lease_id])
    await admit(pool)
    await janitor.release(pool)
    (taken,) = await lease(pool, ttl=OVER)
    assert taken.run_id == first
    assert await janitor.reap(pool, max_deliveries=9) == 1
    (taken,) = await lease(pool, ttl=OVER)
    assert taken.run_id == first
    await janitor.reap(pool, max_deliveries=1)
    assert (await run_of(pool, first)).phase == "Parked"

    (taken,) = await lease(pool)
    assert taken.run_id == second
    await cancel(pool, namespace="default", run_id=second)  # under way
    await cancel(pool, namespace="default", run_id=third)  # while it waits
    await admit(pool)
    await cancel(pool, namespace="default", run_id=fourth)  # in the queue
    (taken,) = await lease(pool)
    assert taken.run_id == fifth
    await end(pool, taken, RunPhase.FAILED)
    (taken,) = await lease(pool)
    await end(pool, taken, RunPhase.TIMED_OUT)
    assert taken.run_id == sixth
    await nothing_is_left(pool)


async def test_deleting_a_task_ends_those_that_wait_and_frees_what_it_held(pool: Pool) -> None:
    await declare_keyed(pool, "t", MAIL)
    await declare_keyed(pool, "other", MAIL)
    made = await ask(pool, count=3)
    await lease(pool)
    (next_,) = await ask(pool, "other")
    async with pool.connection() as connection:
        gone = [one for one in await declared.incarnations(connection, origin=Origin.API) if one.key.name == "t"]

    await remove(pool, gone, origin=Origin.API)

    assert {(await run_of(pool, one)).reason for one in made} == {"TaskDeleted"}
    assert await carry_out(pool) == [next_]
    await nothing_is_left(pool)


@pytest.mark.usefixtures("early_in_a_minute")
async def test_a_key_is_taken_after_the_turn_and_after_the_jitter(pool: Pool) -> None:
    await declare_keyed(pool, "t", MAIL, schedules=[MINUTELY], jitter="24h", concurrencyPolicy="Queue")
    await declare_keyed(pool, "other", MAIL)
    (other,) = await ask(pool, "other")
    (taken,) = await lease(pool)
    (first,) = await ask(pool)  # waits for the key; has the turn
    await rewind(pool, "t", timedelta(minutes=1))
    await fire.fire_due(pool)  # waits for its turn, then for its jitter, then for the key
    (fired,) = await ledger(pool, "t")
    assert fired.run_id is not None

    async def reason() -> tuple[str, str | None]:
        assert fired.run_id is not None
        run = await run_of(pool, fired.run_id)
        return run.phase, run.reason

    assert await reason() == ("Waiting", WaitReason.TURN)
    await cancel(pool, namespace="default", run_id=first)
    assert await live(pool) == sorted([other, fired.run_id])
    assert await janitor.release(pool) == 0
    await rows_of_delay_are_due(pool)
    assert await janitor.release(pool) == 1
    assert await lease(pool) == []
    assert await reason() == ("Waiting", WaitReason.CONCURRENCY_KEY)
    await end(pool, taken)
    assert await carry_out(pool) == [fired.run_id]
    await nothing_is_left(pool)


async def rows_of_delay_are_due(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute("UPDATE delayed_work SET due_at = now()")


@pytest.mark.usefixtures("early_in_a_minute")
async def test_fired_runs_and_retries_wait_too(pool: Pool) -> None:
    await declare_keyed(
        pool,
        "t",
        {"key": "${params.account}"},
        params={"account": "ada"},
        schedules=[MINUTELY],
        catchUp={"policy": "All"},
    )
    await rewind(pool, "t", timedelta(minutes=3))
    await fire.fire_due(pool)
    fired = [entry.run_id for entry in await ledger(pool, "t")]
    (taken,) = await lease(pool)
    await end(pool, taken, RunPhase.FAILED)
    # A retry has the params of the run that it goes on from, whatever the task says by now.
    again = await retry(pool, run_id=taken.run_id)
    assert await carry_out(pool) == [*fired[1:], again]

    (bob,) = await ask(pool, account="bob")
    (taken,) = await lease(pool)
    assert taken.run_id == bob
    await end(pool, taken, RunPhase.FAILED)
    again = await retry(pool, run_id=bob)
    await admit(pool)
    assert await holders(pool, "bob") == {again}
    await cancel(pool, namespace="default", run_id=again)
    await nothing_is_left(pool)


async def test_an_unparked_run_takes_its_keys_anew(pool: Pool) -> None:
    await declare_keyed(pool, "t", {"key": "${params.account}"}, params={"account": "ada"})
    (parked,) = await ask(pool, account="bob")
    await lease(pool, ttl=OVER)
    await janitor.reap(pool, max_deliveries=1)
    assert await holders(pool, "bob") == set()
    (other,) = await ask(pool, account="bob")
    (taken,) = await lease(pool)
    assert taken.run_id == other

    await unpark(pool, run_id=parked)

    assert await lease(pool) == []
    run = await run_of(pool, parked)
    assert (run.phase, run.reason) == ("Waiting", WaitReason.CONCURRENCY_KEY)
    await end(pool, taken)
    assert await carry_out(pool) == [parked]
    await nothing_is_left(pool)


async def test_runs_of_a_backfill_wait_too(pool: Pool) -> None:
    await declare_keyed(pool, "t", MAIL, schedules=[{"cron": "0 * * * *"}])
    async with pool.connection() as connection, connection.transaction():
        since = await clock.now(connection) - timedelta(hours=4)
        plan = await backfill.plan(connection, namespace="default", name="t", since=since)
        await backfill.start(connection, plan, max_active=9, by="me")

    assert await Backfilling(pool).advance() == len(plan.missing)

    await admit(pool)
    assert len(await holders(pool)) == 1
    assert len(await carry_out(pool)) == len(plan.missing)


async def test_a_key_that_the_params_do_not_give_makes_the_task_not_ready_and_a_run_by_hand_invalid(pool: Pool) -> None:
    async def ready() -> tuple[str, str]:
        return (await rows(pool, "SELECT reason, message FROM task WHERE name = 't'"))[0]

    entry = {"key": "mail-${params.account}"}
    await declare_keyed(pool, "t", MAIL, entry)
    reason, message = await ready()
    assert reason == "InvalidConcurrencyKey"
    assert message.startswith('spec.concurrency[1].key: Invalid value: "mail-${params.account}"')

    await declare_keyed(pool, "t", MAIL, entry, params={"account": "ada"})
    assert (await ready())[0] == "Resolved"
    await ask(pool, account="")  # fine: it is part of a longer key
    with pytest.raises(Invalid) as refused:
        await ask(pool, account=None)
    assert [error.field for error in refused.value.errors] == ["spec.concurrency[1].key"]


async def test_defaults_of_the_pipeline_are_part_of_the_params(pool: Pool) -> None:
    schema = {"type": "object", "properties": {"account": {"type": "string", "default": "ada"}}}
    document = task("t", LOG, concurrency=[{"key": "${params.account}"}])
    document["spec"]["pipeline"]["params"] = schema
    await declare(pool, tool("x", "http://127.0.0.1:9"), document)
    made = [*await ask(pool), *await ask(pool, account="bob")]
    await lease(pool)
    assert await holders(pool, "ada") | await holders(pool, "bob") == set(made)


async def test_who_can_use_a_key_is_found_behind_many_who_cannot(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordinaut.store.admission.WINDOWS", (2, 4))
    await declare_keyed(pool, "t", {"key": "all", "limit": 2}, {"key": "${params.account}"}, params={"account": "x"})
    await declare_keyed(pool, "single", {"key": "all", "limit": 2})
    (busy,) = await ask(pool, account="busy")
    (taken,) = await ask(pool, "single")
    held = {one.run_id: one for one in await lease(pool)}
    assert set(held) == {busy, taken}
    for place in range(3):  # contests of their own, which the key that they share would let go on
        await declare_keyed(pool, f"t{place}", {"key": "all", "limit": 2}, {"key": "busy"})
        await ask(pool, f"t{place}")
    (last,) = await ask(pool, "single")
    assert await lease(pool) == []

    await end(pool, held[taken])

    assert [one.run_id for one in await lease(pool)] == [last]


async def test_who_can_use_a_key_is_found_behind_many_who_wait_no_more(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordinaut.store.admission.WINDOWS", (2, 4))
    await declare_keyed(pool, "t", MAIL, {"key": "${params.account}"}, params={"account": "x"})
    await ask(pool)
    (taken,) = await lease(pool)
    gone = [run for place in range(11) for run in await ask(pool, account=f"a{place}")]
    (last,) = await ask(pool, account="last")
    assert await lease(pool) == []
    for run_id in gone:
        await cancel(pool, namespace="default", run_id=run_id)

    await end(pool, taken)

    assert [one.run_id for one in await lease(pool)] == [last]


async def test_many_go_on_over_several_passes(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordinaut.store.admission.NEWS", 3)
    monkeypatch.setattr("ordinaut.store.admission.OF_TASK", 2)
    monkeypatch.setattr("ordinaut.store.admission.WINDOWS", (2,))
    monkeypatch.setattr("ordinaut.store.admission.MOST", 2)
    monkeypatch.setattr("ordinaut.store.contest.MOST", 2)
    spec = [{"key": "${params.account}", "limit": 100}, {"key": "all"}]
    await declare_keyed(pool, "t", *spec, params={"account": "x"})
    made = [run for place in range(6) for run in await ask(pool, count=3, account=f"a{place}")]
    (taken,) = await lease(pool)

    await declare_keyed(pool, "t", spec[0], {"key": "all", "limit": 100}, params={"account": "x"})

    assert sorted([taken.run_id, *(one.run_id for one in await lease(pool))]) == sorted(made)


async def test_what_older_processes_leave_behind_is_healed(pool: Pool) -> None:
    """They end runs without a thought of keys; and history is kept for so many days, whatever holds a slot."""
    await declare_keyed(pool, "t", MAIL | {"limit": 2})
    ended, gone, waiting, dropped, last = await ask(pool, count=5)
    await lease(pool)
    async with pool.connection() as connection:
        finished = "UPDATE run SET phase = 'Cancelled', finished_at = now(), reason = 'x' WHERE run_id = ANY(%s)"
        await connection.execute(finished.encode(), [[ended, waiting]])
        await connection.execute("DELETE FROM run WHERE run_id = ANY(%s)", [[gone, dropped]])
    before = REGISTRY.get_sample_value("ordinaut_keys_healed_total")
    operator = Admission(pool)

    assert await operator.mend() == 2
    assert await operator.sweep() == 1

    after = REGISTRY.get_sample_value("ordinaut_keys_healed_total")
    assert before is not None
    assert after == before + 2
    assert await holders(pool) == {last}
    assert await live(pool) == sorted({ended, gone, last})  # what is leased is the lease's to end
    assert await operator.mend() == 0


async def test_news_that_got_lost_are_made_up_for_by_the_round(pool: Pool) -> None:
    await declare_keyed(pool, "t", MAIL)
    first, second = await ask(pool, count=2)
    (taken,) = await lease(pool)
    await end(pool, taken)
    async with pool.connection() as connection:
        await connection.execute("DELETE FROM key_news")
        await connection.execute("DELETE FROM awaited_key")
    operator = Admission(pool)
    assert await operator.sweep() == 0

    await operator.mend()

    assert await operator.sweep() == 1
    assert taken.run_id == first
    assert await holders(pool) == {second}


async def test_who_is_being_cancelled_is_not_waited_for_and_takes_no_slot(pool: Pool) -> None:
    await declare_keyed(pool, "t", MAIL)
    first, second = await ask(pool, count=2)
    async with pool.connection() as connection, connection.transaction():
        await work.lock_open_runs(connection, [first])
        async with asyncio.timeout(20):
            assert await admit(pool) == 0
        await runs.finish(connection, [first], phase=RunPhase.CANCELLED, reason="Requested", error="")

    assert await carry_out(pool) == [second]
    await nothing_is_left(pool)


async def test_who_grants_waits_for_who_is_granting(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        await declare_keyed(pool, name, MAIL)
    moved, go_on = asyncio.Event(), asyncio.Event()
    move = admission._move

    async def move_and_linger(*given: Any) -> tuple[set[UUID], int]:
        done = await move(*given)
        moved.set()
        await go_on.wait()
        return done

    monkeypatch.setattr(admission, "_move", move_and_linger)
    (run,) = await ask(pool, "a")
    async with asyncio.timeout(60):
        first = asyncio.create_task(admit(pool))
        await moved.wait()
        await ask(pool, "b")
        second = asyncio.create_task(admit(pool))
        waiting = asyncio.create_task(blocked(pool))
        await asyncio.wait({second, waiting}, return_when=asyncio.FIRST_COMPLETED)
        go_on.set()
        await asyncio.gather(first, second, waiting)

    assert await holders(pool) == {run}


async def test_an_idle_worker_does_not_wait_for_whoever_is_at_it(pool: Pool) -> None:
    await declare_keyed(pool, "t", MAIL)
    await ask(pool)
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('ordinaut.keys', 0))")
        async with pool.connection() as other, asyncio.timeout(20):
            assert (await admission.admit(other, patient=False)).admitted == 0
    async with pool.connection() as other:
        assert (await admission.admit(other, patient=False)).admitted == 1


class Model:
    """What admission must do, worked out in the plainest way: whenever it looks, it goes through the whole line."""

    def __init__(self, pool: Pool, *, seed: int) -> None:
        self.pool = pool
        self.chance = random.Random(seed)
        self.limits = {"a": 2, "b": 1, "y": 1}
        self.line: list[tuple[int, int, UUID, str, tuple[str, ...]]] = []
        self.held: dict[UUID, tuple[str, ...]] = {}
        self.leased: dict[UUID, LeasedWork] = {}
        self.made = 0

    async def declare(self) -> None:
        """Declare both tasks: one with the key ``k``, one with that and another one."""
        for name, entries in (("a", []), ("b", [{"key": "${params.p}", "limit": self.limits["y"]}])):
            first = {"key": "k", "limit": self.limits[name]}
            await declare_keyed(
                self.pool, name, first, *entries, params={"p": "x"}, priority=self.chance.choice([3, 7])
            )

    async def ask(self) -> None:
        name, other = self.chance.choice("ab"), self.chance.choice("xy")
        (run,) = await ask(self.pool, name, **({"p": other} if name == "b" else {}))
        urgency = 9 - (await run_of(self.pool, run)).priority
        self.made += 1
        self.line.append((urgency, self.made, run, name, ("k", other) if name == "b" else ("k",)))

    async def look(self) -> None:
        await admit(self.pool)
        for place in sorted(self.line):
            _, _, run, name, needed = place
            limits = {key: self.limits[name if key == "k" else "y"] for key in needed}
            count = Counter(key for taken in self.held.values() for key in taken)
            if all(count[key] < limits[key] for key in needed):
                self.held[run] = needed
                self.line.remove(place)
        found = await rows(self.pool, "SELECT run_id, array_agg(key ORDER BY key) FROM held_key GROUP BY run_id")
        assert {run: tuple(taken) for run, taken in found} == self.held

    async def lease(self) -> None:
        await self.look()
        self.leased |= {one.run_id: one for one in await lease(self.pool)}

    async def end(self) -> None:
        if self.leased:
            run = self.chance.choice(sorted(self.leased))
            await end(self.pool, self.leased.pop(run))
            del self.held[run]

    async def cancel(self) -> None:
        unfinished = sorted([*self.held, *(place[2] for place in self.line)])
        if unfinished:
            run = self.chance.choice(unfinished)
            await cancel(self.pool, namespace="default", run_id=run)
            self.held.pop(run, None)
            self.leased.pop(run, None)
            self.line = [place for place in self.line if place[2] != run]

    async def edit(self) -> None:
        self.limits[self.chance.choice("aby")] = self.chance.randint(1, 4)
        await self.declare()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_happens_in_whatever_order_it_is_what_going_through_the_line_gives(
    pool: Pool, seed: int
) -> None:
    model = Model(pool, seed=seed)
    await model.declare()
    steps = [model.ask, model.ask, model.ask, model.look, model.lease, model.end, model.end, model.cancel, model.edit]

    for _ in range(70):
        await model.chance.choice(steps)()
        assert sorted([*model.held, *(place[2] for place in model.line)]) == await unended(pool)

    await model.lease()
    while model.leased:
        await model.end()
        await model.lease()
    assert await unended(pool) == []
    await nothing_is_left(pool)


async def test_one_at_a_time_whoever_asks_admits_ends_and_cancels_at_once(pool: Pool) -> None:  # noqa: C901 - a crowd
    """Everybody at once, by chance: no two holders of the key, none lost, none twice."""
    for name in ("a", "b"):
        await declare_keyed(pool, name, MAIL)
    chance = random.Random(7)
    made: list[UUID] = []
    done: list[UUID] = []
    cancelled: set[UUID] = set()
    under_way: set[UUID] = set()
    asking = 4

    async def asker(name: str) -> None:
        nonlocal asking
        for _ in range(8):
            made.extend(await ask(pool, name))
            await asyncio.sleep(chance.random() / 200)
        asking -= 1

    async def worker() -> None:
        async with pool.connection() as connection:
            while asking or await live(pool):
                taken = await work.lease(connection, worker="w", limit=9, ttl=HOUR)
                for one in taken:
                    assert not under_way - cancelled, "two at a time"
                    under_way.add(one.run_id)
                    await asyncio.sleep(chance.random() / 200)
                    under_way.remove(one.run_id)
                    await end(pool, one)
                    done.append(one.run_id)
                if not taken:
                    await admission.admit(connection, patient=False)
                    await asyncio.sleep(0.001)

    async def canceller() -> None:
        while asking:
            waiting = [row[0] for row in await rows(pool, "SELECT run_id FROM keyed_work")]
            if waiting:
                run = chance.choice(waiting)
                cancelled.add(run)
                await cancel(pool, namespace="default", run_id=run)
            await asyncio.sleep(chance.random() / 50)

    async def operator() -> None:
        looking = Admission(pool)
        while asking or await live(pool):
            await looking.sweep()
            await looking.mend()
            assert len(await holders(pool)) <= 1
            await asyncio.sleep(0.002)

    async with asyncio.timeout(60):
        await asyncio.gather(*(asker(name) for name in "abab"), worker(), worker(), canceller(), operator(), operator())

    assert sorted({*done, *cancelled}) == sorted(made)
    assert len(done) == len(set(done))
    await nothing_is_left(pool)


async def test_keys_by_themselves_with_real_processes(processes: Processes, pool: Pool, tmp_path: Path) -> None:
    processes.start("operator", source="directory", directory=tmp_path)
    for _ in range(2):
        processes.start("worker", poll_seconds=0.2)
    for name in ("a", "b"):
        await declare_keyed(pool, name, MAIL)
    made = [run for _ in range(10) for name in ("a", "b") for run in await ask(pool, name)]

    async with asyncio.timeout(60):
        while await live(pool):
            await asyncio.sleep(0.05)

    found = [await run_of(pool, one) for one in made]
    assert {run.phase for run in found} == {"Succeeded"}
    spans = sorted((run.started_at, run.finished_at) for run in found if run.started_at and run.finished_at)
    assert len(spans) == 20
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert await rows(pool, "SELECT count(*) FROM held_key") == [(0,)]


async def test_keys_without_an_operator(processes: Processes, pool: Pool) -> None:
    processes.start("worker", poll_seconds=0.2)
    await declare_keyed(pool, "t", MAIL)
    made = await ask(pool, count=5)

    async with asyncio.timeout(60):
        while await live(pool):
            await asyncio.sleep(0.05)

    assert {(await run_of(pool, one)).phase for one in made} == {"Succeeded"}


async def test_healing_goes_on_where_it_stopped(pool: Pool) -> None:
    await declare_keyed(pool, "t", MAIL | {"limit": 9})
    made = sorted(await ask(pool, count=3))
    await lease(pool)
    async with pool.connection() as connection:
        await connection.execute("DELETE FROM run")
        first = await keys.heal(connection, limit=2)
        assert (first.runs, first.reached) == (made[:2], made[1])
        assert first.reached is not None
        second = await keys.heal(connection, after=first.reached, limit=2)
        assert (second.runs, second.reached) == (made[2:], None)
        assert await keys.heal(connection, after=uuid4(), limit=2) == keys.Healed([], None)

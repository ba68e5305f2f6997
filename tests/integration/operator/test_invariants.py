"""The watch over what must never be: each violation is counted once, and a busy system that works counts none."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import orjson
import pytest
from prometheus_client import REGISTRY

from ordinaut.events.envelope import key_of
from ordinaut.states import RunPhase, StepPhase, Trigger
from ordinaut.store import clock, invariants, runs, work
from ordinaut.store.ids import new_run_id
from ordinaut.store.invariants import Invariant
from ordinaut.store.pool import Connection, Pool
from ordinaut.store.queries import SQL
from ordinaut.store.runs import NewRun
from ordinaut.store.settle import RunResult, Settlement, StepResult, settle
from ordinaut.store.work import LeasedWork
from ordinaut_operator import janitor
from ordinaut_operator.invariants import Checker, Suspicion
from tests.integration.rows import REVISION, make_task

LONG = timedelta(minutes=5)
OLD = timedelta(minutes=3)
"""Old enough to be looked at."""


def counted(invariant: Invariant) -> float:
    value = REGISTRY.get_sample_value("ordinaut_invariant_violations_total", {"invariant": invariant.value})
    assert value is not None
    return value


async def old_runs(connection: Connection, task_id: int, count: int = 1) -> list[UUID]:
    """Return the keys of new runs in the queue that were made some minutes ago."""
    moment = await clock.now(connection) - OLD
    keys = [new_run_id(moment) for _ in range(count)]
    new = [NewRun(key, "default", task_id, REVISION, 5, {}) for key in keys]
    await runs.create(connection, new, trigger=Trigger.MANUAL)
    return keys


async def execute(connection: Connection, statement: str, *params: object) -> None:
    await connection.execute(statement.encode(), params)


async def lost(connection: Connection) -> int:
    """Take one of two runs out of the queue behind everybody's back."""
    run, _ = await old_runs(connection, await make_task(connection), 2)
    await execute(connection, "DELETE FROM due_work WHERE run_id = %s", run)
    return 1


async def lost_under_a_lease(connection: Connection) -> int:
    """Delete a lease with three runs."""
    await old_runs(connection, await make_task(connection), 3)
    (first, *_) = await work.lease(connection, worker="w", limit=3, ttl=LONG)
    await execute(connection, "DELETE FROM work_lease WHERE lease_id = %s", first.lease_id)
    return 3


async def ended_in_the_queue(connection: Connection) -> int:
    """End a run that is still in the queue as only its worker could."""
    run, _ = await old_runs(connection, await make_task(connection), 2)
    await execute(connection, "UPDATE run SET phase = 'Succeeded', finished_at = now() WHERE run_id = %s", run)
    return 1


async def ended_while_it_waits(connection: Connection) -> int:
    """Cancel a run that waits, and leave it waiting."""
    await old_runs(connection, await make_task(connection))
    (first,) = await work.lease(connection, worker="w", limit=1, ttl=LONG)
    await settle(connection, [Settlement(first, run=RunResult(RunPhase.WAITING, delay=LONG))], done=[first.lease_id])
    await execute(connection, "UPDATE run SET phase = 'Cancelled', finished_at = now()")
    return 1


async def ended_under_a_lease(connection: Connection) -> int:
    """Have a worker hold a run for hours after its end."""
    await old_runs(connection, await make_task(connection))
    await work.lease(connection, worker="w", limit=1, ttl=LONG)
    await execute(connection, "UPDATE run SET phase = 'Cancelled', finished_at = now() - interval '2 h'")
    return 1


async def under_two_leases(connection: Connection) -> int:
    """Give the runs of a lease to a second worker as well."""
    await old_runs(connection, await make_task(connection), 2)
    await work.lease(connection, worker="w", limit=2, ttl=LONG)
    await execute(
        connection,
        "INSERT INTO work_lease (worker, leased_until, items) SELECT 'other', leased_until, items FROM work_lease",
    )
    return 2


async def leased_and_queued(connection: Connection) -> int:
    """Put a run that a worker holds back into the queue."""
    await old_runs(connection, await make_task(connection), 2)
    first, _ = await work.lease(connection, worker="w", limit=2, ttl=LONG)
    await work.requeue(connection, [first.item])
    return 1


async def fired_without_a_run(connection: Connection) -> int:
    """Write a line of the ledger whose run nobody makes."""
    task_id = await make_task(connection)
    now = await clock.now(connection)
    good, _ = await old_runs(connection, task_id, 2)
    fires = [clock.Fire(task_id, now, run_id=good), clock.Fire(task_id, now - OLD, run_id=new_run_id(now))]
    await clock.record(connection, fires)
    await execute(
        connection,
        "INSERT INTO task_clock (task_id, schedule_key, evaluated_at, tzdata) VALUES (%s, 'k', now(), 'x')"
        " ON CONFLICT DO NOTHING",
        task_id,
    )
    return 1


WAITS = "INSERT INTO queued_work (task_id, urgency, due_at, run_id) VALUES (%s, 4, now(), %s)"
HAS_THE_TURN = "INSERT INTO active_run (task_id, run_id) VALUES (%s, %s)"


async def ended_while_it_waits_for_its_turn(connection: Connection) -> int:
    """Cancel a run behind another one, and leave it where it waits."""
    task_id = await make_task(connection, concurrencyPolicy="Queue")
    first, second = await old_runs(connection, task_id, 2)
    await execute(connection, HAS_THE_TURN, task_id, first)
    await execute(connection, WAITS, task_id, second)
    await execute(connection, "DELETE FROM due_work WHERE run_id = %s", second)
    await execute(connection, "UPDATE run SET phase = 'Cancelled', finished_at = now() WHERE run_id = %s", second)
    return 1


async def leased_before_its_turn(connection: Connection) -> int:
    """Let a worker have a run that still waits for its turn."""
    task_id = await make_task(connection, concurrencyPolicy="Queue")
    first, second = await old_runs(connection, task_id, 2)
    await execute(connection, HAS_THE_TURN, task_id, first)
    await work.lease(connection, worker="w", limit=1, ttl=LONG)
    await execute(connection, WAITS, task_id, first)
    await execute(connection, "DELETE FROM due_work")
    await execute(connection, WAITS, task_id, second)
    return 1


async def queued_before_its_turn(connection: Connection) -> int:
    """Put a run that waits for its turn into the queue as well."""
    task_id = await make_task(connection, concurrencyPolicy="Queue")
    first, second = await old_runs(connection, task_id, 2)
    await execute(connection, HAS_THE_TURN, task_id, first)
    await execute(connection, WAITS, task_id, second)
    return 1


async def nobody_has_the_turn(connection: Connection) -> int:
    """Have runs wait behind one that is gone, in one of two tasks."""
    for name, count in (("good", 2), ("bad", 2)):
        task_id = await make_task(connection, name, concurrencyPolicy="Queue")
        first, *others = await old_runs(connection, task_id, count)
        for other in others if name == "good" else [first, *others]:
            await execute(connection, "DELETE FROM due_work WHERE run_id = %s", other)
            await execute(connection, WAITS, task_id, other)
        if name == "good":
            await execute(connection, HAS_THE_TURN, task_id, first)
    return 1


async def an_ended_run_has_the_turn(connection: Connection) -> int:
    """End a run and let it keep the turn."""
    task_id = await make_task(connection, concurrencyPolicy="Queue")
    first, second = await old_runs(connection, task_id, 2)
    await execute(connection, HAS_THE_TURN, task_id, first)
    await execute(connection, WAITS, task_id, second)
    await execute(connection, "DELETE FROM due_work")
    await execute(connection, "UPDATE run SET phase = 'Succeeded', finished_at = now() WHERE run_id = %s", first)
    return 1


async def two_in_turn_at_once(connection: Connection) -> int:
    """Have two runs of a task under leases that carries out one after the other."""
    return await two_at_once(connection, policy="Queue")


async def two_at_once(connection: Connection, *, policy: str = "Forbid") -> int:
    """Have two runs of a task under leases that forbids it."""
    task_id = await make_task(connection, concurrencyPolicy=policy)
    await old_runs(connection, task_id, 2)
    await execute(connection, "UPDATE task SET updated_at = now() - interval '1 h'")
    await work.lease(connection, worker="w", limit=2, ttl=LONG)
    return 2


WAITS_FOR_A_KEY = "INSERT INTO keyed_work (task_id, namespace, keys, urgency, run_id) VALUES (%s, 'default', %s, 4, %s)"
HAS_A_KEY = (
    "INSERT INTO held_key (task_id, namespace, key, source, held_since, run_id)"
    " VALUES (%s, 'default', 'k', 'k', now() - %s::interval, %s)"
)
KEYS = '[{"key": "k", "source": "k"}]'


async def make_keyed_task(connection: Connection, *, limit: int = 1) -> int:
    """Return a task with a concurrency key, as it was an hour ago."""
    task_id = await make_task(connection)
    entries = f'[{{"source": "k", "limit": {limit}, "key": "k"}}]'
    await execute(connection, "UPDATE task SET updated_at = now() - interval '1 h', keys = %s", entries)
    return task_id


async def keyed(connection: Connection, count: int, *, limit: int = 1) -> tuple[int, list[UUID]]:
    """Make runs that wait for a key that nobody has; returns their task and them."""
    task_id = await make_keyed_task(connection, limit=limit)
    made = await old_runs(connection, task_id, count)
    await execute(connection, "DELETE FROM due_work")
    for run in made:
        await execute(connection, WAITS_FOR_A_KEY, task_id, KEYS, run)
    return task_id, made


async def nobody_has_the_key(connection: Connection) -> int:
    """Have runs wait for a key with room."""
    await keyed(connection, 3)
    return 1


async def ended_while_it_waits_for_a_key(connection: Connection) -> int:
    """Cancel a run and leave it where it waits for a key that another one has."""
    task_id, (first, second) = await keyed(connection, 2)
    await execute(connection, "DELETE FROM keyed_work WHERE run_id = %s", first)
    await execute(connection, HAS_A_KEY, task_id, "0", first)
    await work.requeue(connection, [work.Item(0, 0, 4, await clock.now(connection), 1, first, None)])
    await execute(connection, "UPDATE run SET phase = 'Cancelled', finished_at = now() WHERE run_id = %s", second)
    return 1


async def ended_with_a_slot(connection: Connection) -> int:
    """End a run and leave it its slot."""
    task_id = await make_keyed_task(connection)
    (run,) = await old_runs(connection, task_id)
    await execute(connection, HAS_A_KEY, task_id, "0", run)
    await execute(connection, "DELETE FROM due_work")
    await execute(connection, "UPDATE run SET phase = 'Succeeded', finished_at = now() WHERE run_id = %s", run)
    return 1


async def queued_before_its_key(connection: Connection) -> int:
    """Put a run that waits for a key into the queue as well."""
    task_id = await make_keyed_task(connection)
    first, second = await old_runs(connection, task_id, 2)
    await execute(connection, HAS_A_KEY, task_id, "0", first)
    await execute(connection, WAITS_FOR_A_KEY, task_id, KEYS, second)
    return 1


async def beyond_the_limit(connection: Connection) -> int:
    """Give three runs a key that two may have."""
    task_id = await make_keyed_task(connection, limit=2)
    for run in await old_runs(connection, task_id, 3):
        await execute(connection, HAS_A_KEY, task_id, "0", run)
    return 1


async def make_listener(connection: Connection, name: str = "task") -> int:
    """Return the key of a new task that has triggers."""
    task_id = await make_task(connection, name)
    await execute(connection, "INSERT INTO subscription (task_id, namespace, version) VALUES (%s, 'x', 1)", task_id)
    return task_id


EVENT = '{"id": "7-1", "source": "/mail/ä", "data": {}}'
KEY = key_of(orjson.loads(EVENT))
LINE = (
    "INSERT INTO event_fire (task_id, event_key, position, place, event_id, event_type, trigger, outcome, run_id)"
    " VALUES (%s, %s, 7, %s, '7-1', 'mail', 0, %s, %s)"
)
GATHERED = "INSERT INTO gathering VALUES (%s, 0, now(), now() + interval '1 h', 1, 9)"
GATHERED_EVENT = (
    "INSERT INTO gathered_event (task_id, trigger, position, place, event_key, accepted_at, hops, bytes, event)"
    " VALUES (%s, 0, 7, %s, %s, now(), 1, 9, '{}')"
)


async def an_event_fired_without_a_run(connection: Connection) -> int:
    """Write three lines of the ledger of events: two of a batch that nobody makes, one with its run."""
    task_id = await make_listener(connection)
    gone = new_run_id(await clock.now(connection))
    (good,) = await old_runs(connection, task_id)
    for place, run in enumerate([gone, gone, good]):
        await execute(connection, LINE, task_id, UUID(int=place), place, "Fired", run)
    return 1


async def an_event_that_nobody_gathers(connection: Connection) -> int:
    """Have the ledger say of three events that they are gathered: two of them are not."""
    for place, name in enumerate(["open", "closed", "empty"]):
        task_id = await make_listener(connection, name)
        await execute(connection, LINE, task_id, UUID(int=place), place, "Gathered", None)
        if name != "closed":
            await execute(connection, GATHERED, task_id)
        if name != "empty":
            await execute(connection, GATHERED_EVENT, task_id, place, UUID(int=place))
    return 2


async def a_run_that_its_event_knows_nothing_of(connection: Connection) -> int:
    """Make runs of events: of one and of a batch that the ledger knows, and of both that it does not."""
    task_id = await make_listener(connection)
    moment = await clock.now(connection) - OLD
    batch = f'[{{"id": "1", "source": "/other"}}, {EVENT}]'
    keys = [new_run_id(moment) for _ in range(4)]
    new = [
        NewRun(key, "default", task_id, REVISION, 5, {}, event=event.encode(), hops=1)
        for key, event in zip(keys, [EVENT, EVENT, batch, batch], strict=True)
    ]
    await runs.create(connection, new, trigger=Trigger.EVENT)
    await execute(connection, LINE, task_id, KEY, 0, "Fired", keys[0])
    other = await make_listener(connection, "other")
    await execute(connection, "UPDATE run SET task_id = %s WHERE run_id = ANY(%s)", other, keys[2:])
    await execute(connection, LINE, other, KEY, 1, "Fired", keys[2])
    return 2


@pytest.mark.parametrize(
    ("damage", "invariant"),
    [
        (an_event_fired_without_a_run, Invariant.EVENT_WITHOUT_RUN),
        (an_event_that_nobody_gathers, Invariant.LOST_EVENT),
        (a_run_that_its_event_knows_nothing_of, Invariant.RUN_WITHOUT_EVENT),
        (lost, Invariant.LOST_RUN),
        (lost_under_a_lease, Invariant.LOST_RUN),
        (ended_in_the_queue, Invariant.ENDED_RUN_KEPT),
        (ended_while_it_waits, Invariant.ENDED_RUN_KEPT),
        (ended_under_a_lease, Invariant.ENDED_RUN_KEPT),
        (under_two_leases, Invariant.DOUBLED_RUN),
        (leased_and_queued, Invariant.DOUBLED_RUN),
        (fired_without_a_run, Invariant.FIRE_WITHOUT_RUN),
        (two_at_once, Invariant.OVERLAPPING_RUNS),
        (two_in_turn_at_once, Invariant.OVERLAPPING_RUNS),
        (ended_while_it_waits_for_its_turn, Invariant.ENDED_RUN_KEPT),
        (leased_before_its_turn, Invariant.DOUBLED_RUN),
        (queued_before_its_turn, Invariant.DOUBLED_RUN),
        (nobody_has_the_turn, Invariant.STALLED_TURN),
        (an_ended_run_has_the_turn, Invariant.STALLED_TURN),
        (nobody_has_the_key, Invariant.STALLED_KEY),
        (ended_while_it_waits_for_a_key, Invariant.ENDED_RUN_KEPT),
        (ended_with_a_slot, Invariant.ENDED_RUN_KEPT),
        (queued_before_its_key, Invariant.DOUBLED_RUN),
        (beyond_the_limit, Invariant.EXCEEDED_KEY),
    ],
)
async def test_a_violation_is_counted_once_it_was_found_twice(
    pool: Pool, damage: Callable[[Connection], Awaitable[int]], invariant: Invariant
) -> None:
    before = {one: counted(one) for one in Invariant}
    checker = Checker(pool)
    async with pool.connection() as connection:
        expected = await damage(connection)

    rounds = [await checker.check() for _ in range(4)]

    assert rounds == [0, expected, 0, 0]
    assert {one: counted(one) - before[one] for one in Invariant} == {
        one: expected if one is invariant else 0 for one in Invariant
    }


async def test_what_is_mended_in_between_does_not_count(pool: Pool) -> None:
    checker = Checker(pool)
    async with pool.connection() as connection:
        (run,) = await old_runs(connection, await make_task(connection))
        await execute(connection, "CREATE TEMP TABLE kept AS SELECT * FROM due_work")
        await execute(connection, "DELETE FROM due_work")
        assert await checker.check() == 0
        await runs.finish(connection, [run], phase=RunPhase.CANCELLED, reason="Requested", error="")

        assert [await checker.check() for _ in range(3)] == [0, 0, 0]


async def test_a_limit_that_was_lowered_is_no_violation(pool: Pool) -> None:
    checker = Checker(pool)
    async with pool.connection() as connection:
        task_id = await make_keyed_task(connection)
        for run in await old_runs(connection, task_id, 3):
            await execute(connection, HAS_A_KEY, task_id, "2 h", run)

        assert [await checker.check() for _ in range(3)] == [0, 0, 0]


async def test_what_only_looks_like_a_violation_is_none(pool: Pool) -> None:
    checker = Checker(pool)
    async with pool.connection() as connection:
        # Runs that the policy allowed when they were made, runs that somebody ended, a line older than its run's keep.
        forbids = await make_task(connection, "edited", concurrencyPolicy="Forbid")
        await old_runs(connection, forbids, 2)
        await work.lease(connection, worker="w", limit=2, ttl=LONG)
        ended = await old_runs(connection, await make_task(connection), 2)
        await work.lease(connection, worker="w", limit=1, ttl=LONG)
        await runs.finish(connection, ended, phase=RunPhase.CANCELLED, reason="Requested", error="")
        now = await clock.now(connection)
        await clock.record(connection, [clock.Fire(forbids, now - timedelta(days=40), run_id=new_run_id(now))])
        await execute(connection, "UPDATE fire SET decided_at = now() - interval '40 days'")
        await execute(
            connection,
            "INSERT INTO task_clock (task_id, schedule_key, evaluated_at, tzdata) VALUES (%s, 'k', now(), 'x')"
            " ON CONFLICT DO NOTHING",
            forbids,
        )

    assert [await checker.check() for _ in range(3)] == [0, 0, 0]


async def test_the_sweep_comes_to_all_of_history(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    for bound in ("NEWEST", "SWEPT"):
        monkeypatch.setattr(f"ordinaut_operator.invariants.{bound}", 2)
    async with pool.connection() as connection:
        made = await old_runs(connection, await make_task(connection), 9)
        await execute(connection, "DELETE FROM due_work WHERE run_id = %s", sorted(made)[4])

    checker = Checker(pool)

    assert [await checker.check() for _ in range(7)] == [0, 0, 0, 1, 0, 0, 0]


async def test_every_task_of_many_is_looked_at_in_turn(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordinaut_operator.invariants.TASKS", 2)
    async with pool.connection() as connection:
        now = await clock.now(connection)
        for name in "abcde":
            task_id = await make_task(connection, name)
            await clock.record(connection, [clock.Fire(task_id, now, run_id=new_run_id(now))])
            await execute(
                connection,
                "INSERT INTO task_clock (task_id, schedule_key, evaluated_at, tzdata) VALUES (%s, 'k', now(), 'x')"
                " ON CONFLICT DO NOTHING",
                task_id,
            )

    checker = Checker(pool)

    assert [await checker.check() for _ in range(8)] == [0, 2, 0, 2, 0, 1, 0, 0]


HISTORY = 20_000

BOUNDS: dict[str, dict[str, object]] = {
    "ended_runs_kept": {"looked_at": 500, "limit": 100},
    "fires_without_run": {"after": 0, "tasks": 100, "times": 5, "limit": 100},
    "events_without_run": {"after": 0, "tasks": 100, "lines": 5, "limit": 100},
    "overlapping_runs": {"limit": 100},
    "runs_without_turn": {"limit": 100},
}
"""The looks that begin with other tables, and what they are given."""


@pytest.mark.parametrize("look", sorted(BOUNDS))
async def test_a_look_reads_the_runs_that_it_is_about_and_not_all_of_history(pool: Pool, look: str) -> None:
    async with pool.connection() as connection:
        tasks = [await make_task(connection, f"task-{number}", concurrencyPolicy="Forbid") for number in range(50)]
        await execute(
            connection,
            "INSERT INTO run (run_id, namespace, task_id, revision, trigger, priority, phase, finished_at)"
            " SELECT (left(uuid7_floor(now())::text, 24) || lpad(to_hex(i), 12, '0'))::uuid, 'default',"
            "        (%s::bigint[])[1 + i %% 50], '', 'schedule', 5, 'Succeeded', now() FROM generate_series(1, %s) i",
            tasks,
            HISTORY,
        )
        await execute(
            connection,
            "INSERT INTO fire (task_id, scheduled_at, outcome, run_id)"
            " SELECT task_id, created_at + row_number() OVER () * interval '1 s', 'Fired', run_id FROM run",
        )
        await execute(
            connection,
            "INSERT INTO event_fire"
            " (task_id, event_key, position, place, event_id, event_type, trigger, outcome, run_id)"
            " SELECT task_id, run_id, row_number() OVER (), 0, '', '', 0, 'Fired', run_id FROM run",
        )
        await execute(
            connection,
            "INSERT INTO subscription (task_id, namespace, version) SELECT task_id, namespace, 1 FROM task",
        )
        await execute(
            connection,
            "INSERT INTO task_clock (task_id, schedule_key, evaluated_at, tzdata)"
            " SELECT task_id, 'k', now(), 'x' FROM task",
        )
        await execute(
            connection,
            "INSERT INTO work_lease (worker, leased_until, items) SELECT 'w', now(), array_agg(item) FROM"
            " (SELECT ROW(1, 0, 4, now(), 1, run_id, NULL)::work_item AS item FROM run LIMIT 20) AS held,"
            " generate_series(1, 20) AS number GROUP BY number",
        )
        await execute(
            connection,
            "INSERT INTO active_run (task_id, run_id) SELECT DISTINCT ON (task_id) task_id, run_id FROM run",
        )
        await execute(
            connection,
            "INSERT INTO queued_work (task_id, urgency, due_at, run_id)"
            " SELECT task_id, 4, now(), gen_random_uuid() FROM task, generate_series(1, 20)",
        )
        await execute(connection, "ANALYZE")
        # What the statistics of a large installation may do as well: whatever can be a join reads all of history then.
        await execute(connection, "SET enable_nestloop = off")

        explained = await connection.execute(b"EXPLAIN (ANALYZE, FORMAT JSON) " + SQL[look].encode(), BOUNDS[look])
        ((((plan,),),),) = [await explained.fetchall()]

    assert 0 < rows_of_runs(plan["Plan"]) < HISTORY / 20


def rows_of_runs(node: dict[str, Any]) -> float:
    """Return how many rows of `run` a plan has read, with those that it left out."""
    read = 0.0
    if str(node.get("Relation Name", "")).startswith("run_"):
        left_out = sum(value for name, value in node.items() if name.startswith("Rows Removed by"))
        read = (node["Actual Rows"] + left_out) * node["Actual Loops"]
    return read + sum(map(rows_of_runs, node.get("Plans", ())))


def test_what_has_been_counted_is_remembered_within_bounds() -> None:
    suspicion = Suspicion()
    for start in range(0, 3000, 100):
        found = [UUID(int=start + number) for number in range(100)]
        assert suspicion.confirm(found) == []
        assert suspicion.confirm(found) == found
        assert suspicion.confirm(found) == []

    assert suspicion.knows(UUID(int=2999))
    assert not suspicion.knows(UUID(int=0))


async def busy_worker(pool: Pool, *, until: float, draw: random.Random) -> int:
    """Lease, settle, delay, give back and lose work, as workers do; returns how many runs were leased."""
    done = 0
    while monotonic() < until:
        dies = draw.random() < 0.2
        async with pool.connection() as connection:
            leased = await work.lease(
                connection, worker="w", limit=draw.randint(1, 5), ttl=timedelta(seconds=-1) if dies else LONG
            )
            done += len(leased)
            if leased and not dies:
                await settle(connection, [settled(one, draw) for one in leased], done=[leased[0].lease_id])
            await work.release_delayed(connection)
    return done


def settled(one: LeasedWork, draw: random.Random) -> Settlement:
    """Return what becomes of a run, by chance."""
    now = monotonic()
    step = StepResult(0, "a", StepPhase.SUCCEEDED, 1, started=now, finished=now)
    what = draw.choice(["ends", "waits", "back"])
    if what == "back":
        return Settlement(one, release=True)
    if what == "waits":
        return Settlement(one, run=RunResult(RunPhase.WAITING, delay=timedelta(0)))
    return Settlement(one, steps=[step], run=RunResult(RunPhase.SUCCEEDED))


async def meddle(pool: Pool, task_id: int, *, until: float, draw: random.Random) -> None:
    """Make runs, cancel some, take expired leases back."""
    made: list[UUID] = []
    while monotonic() < until:
        async with pool.connection() as connection:
            async with connection.transaction():
                made += await old_runs(connection, task_id, 5)
            async with connection.transaction():
                chosen = sorted(draw.sample(made, min(2, len(made))))
                await work.lock_open_runs(connection, chosen)
                await runs.finish(connection, chosen, phase=RunPhase.CANCELLED, reason="Requested", error="")
        await janitor.reap(pool, max_deliveries=3)


async def test_a_busy_system_violates_nothing_in_any_snapshot(pool: Pool) -> None:
    async with pool.connection() as connection:
        task_id = await make_task(connection)
    seed = random.Random(4)
    until = monotonic() + 3

    async def look() -> int:
        looks = 0
        async with pool.connection() as connection:
            while monotonic() < until:
                found = [
                    await invariants.lost_runs(connection, newest=5000, after=UUID(int=0), swept=5000, suspects=[]),
                    await invariants.ended_runs_kept(connection, looked_at=5000),
                    await invariants.doubled_runs(connection),
                ]
                assert [one.runs for one in found] == [[], [], []]
                looks += 1
        return looks

    worked, looks = [], 0
    async with asyncio.TaskGroup() as group:
        workers = [
            group.create_task(busy_worker(pool, until=until, draw=random.Random(seed.random()))) for _ in range(3)
        ]
        group.create_task(meddle(pool, task_id, until=until, draw=seed))
        looking = group.create_task(look())
    worked, looks = [one.result() for one in workers], looking.result()

    assert sum(worked) > 50
    assert looks > 5

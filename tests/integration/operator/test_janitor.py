"""The janitor: taking back lost leases, keeping partitions, new time zone data, measuring."""

import asyncio
import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from prometheus_client import REGISTRY

from ordinaut import schedule
from ordinaut.states import RunPhase
from ordinaut.store import audit, clock, event_fires, events, log, status, work, workers
from ordinaut.store.migrate import migrations
from ordinaut.store.partitions import DAYS_AHEAD
from ordinaut.store.pool import Pool, open_pool
from ordinaut.store.settle import RunResult, Settlement, settle
from ordinaut.store.work import LeasedWork
from ordinaut.store.workers import Announcement
from ordinaut_operator import janitor, partitions
from tests.declaring import cancel, declare, pause, run_now, task
from tests.integration.rows import make_runs, make_task, run_of
from tests.relaying import in_outbox

TASK_STATES = ("ready", "paused", "not_ready")
pytestmark = pytest.mark.usefixtures("early_in_a_minute")

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
OVER = timedelta(seconds=-1)
"""A lease that has run out when it begins."""


async def lease(pool: Pool, *, limit: int = 10, ttl: timedelta = OVER) -> list[LeasedWork]:
    async with pool.connection() as connection:
        return [
            one
            for queue in (0, work.ward(0))
            for one in await work.lease(connection, worker="lost", limit=limit, ttl=ttl, queue=queue)
        ]


async def said(pool: Pool, prefix: str = "run.") -> list[tuple[str, Any]]:
    """Return type and data of the events in the outbox, oldest first."""
    async with pool.connection() as connection:
        found = await in_outbox(connection)
    return [(event["type"], event.get("data")) for event in found if event["type"].startswith(prefix)]


async def values(pool: Pool, query: str, params: Iterable[Any] = ()) -> list[Any]:
    """Return the first column of a query's rows."""
    async with pool.connection() as connection:
        return [row[0] for row in await (await connection.execute(query.encode(), list(params))).fetchall()]


async def test_what_a_lost_worker_held_goes_back_to_the_queue(pool: Pool) -> None:
    await declare(pool, task("t", LOG))
    made = [await run_now(pool, namespace="default", name="t") for _ in range(3)]
    before = await lease(pool)

    assert await janitor.reap(pool, max_deliveries=5) == 3

    again = await lease(pool, ttl=timedelta(minutes=5))
    assert [(one.run_id, one.attempt, one.due_at) for one in again] == [
        (run_id, 2, old.due_at) for run_id, old in zip(made, before, strict=True)
    ]
    assert {one.started_at for one in again} == {before[0].leased_at}
    assert (await said(pool))[3:] == [("run.redelivered", {"worker": "lost", "attempt": 2})] * 3
    assert await janitor.reap(pool, max_deliveries=5) == 0


async def test_what_was_delivered_too_often_is_parked_and_the_rest_goes_on(pool: Pool) -> None:
    await declare(pool, task("t", LOG, concurrencyPolicy="Forbid"), task("u", LOG))
    poison = await run_now(pool, namespace="default", name="t")
    await lease(pool)
    await janitor.reap(pool, max_deliveries=2)
    innocent = await run_now(pool, namespace="default", name="u")
    await lease(pool)

    assert await janitor.reap(pool, max_deliveries=2) == 2

    parked = await run_of(pool, poison)
    assert (parked.phase, parked.reason) == ("Parked", "MaxDeliveriesExceeded")
    error = "its workers were lost in each of 2 deliveries, the last, lost, while step `a` was under way"
    assert parked.error == error
    assert parked.finished_at is not None
    (again,) = await lease(pool)
    assert (again.run_id, again.attempt) == (innocent, 2)
    assert ("run.parked", {"phase": "Parked", "reason": "MaxDeliveriesExceeded", "error": error}) in await said(pool)
    # The task that allows one run is free for its next.
    assert await values(pool, "SELECT run_id FROM active_run") == []


async def test_a_run_that_has_ended_is_left_alone(pool: Pool) -> None:
    await declare(pool, task("t", LOG))
    ended = await run_now(pool, namespace="default", name="t")
    await lease(pool)
    await cancel(pool, namespace="default", run_id=ended)
    before = await run_of(pool, ended)

    assert await janitor.reap(pool, max_deliveries=1) == 0

    after = await run_of(pool, ended)
    assert (after.phase, after.reason, after.finished_at) == ("Cancelled", "Requested", before.finished_at)
    assert [type_ for type_, _ in await said(pool)] == ["run.created", "run.cancelled"]
    assert await values(pool, "SELECT run_id FROM live_work") == []


async def test_settled_runs_of_a_lost_lease_are_not_brought_back(pool: Pool) -> None:
    async with pool.connection() as connection:
        first, second, third = await make_runs(connection, await make_task(connection), 3)
        leased = {one.run_id: one for one in await lease(pool)}
        done = Settlement(leased[first], run=RunResult(RunPhase.SUCCEEDED))
        waits = Settlement(leased[second], run=RunResult(RunPhase.WAITING, delay=timedelta(hours=1)))
        await settle(connection, [done, waits], done=[])

    assert await janitor.reap(pool, max_deliveries=5) == 1

    assert [one.run_id for one in await lease(pool)] == [third]


async def test_many_janitors_take_each_lease_once(pool: Pool) -> None:
    async with pool.connection() as connection:
        made = await make_runs(connection, await make_task(connection), 40)
    for _ in range(20):
        await lease(pool, limit=2)

    reaped = await asyncio.gather(*(janitor.reap(pool, max_deliveries=5) for _ in range(4)))

    assert sum(reaped) == 40
    again = await lease(pool, limit=99)
    assert [(one.run_id, one.attempt) for one in again] == [(run_id, 2) for run_id in made]


async def test_after_an_outage_workers_get_time_for_their_heartbeat(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(janitor, "monotonic", lambda: now[0])
    async with pool.connection() as connection:
        await make_runs(connection, await make_task(connection))
    await lease(pool)
    reaper = janitor.Reaper(pool, max_deliveries=5, recovery=timedelta(seconds=12))

    async def away(*_: object, **__: object) -> int:
        raise psycopg.OperationalError("the server is gone")

    with monkeypatch.context() as outage:
        outage.setattr(janitor, "reap", away)
        with pytest.raises(psycopg.OperationalError):
            await reaper.reap()

    now[0] += 11.9
    assert await reaper.reap() == 0
    now[0] += 0.2
    assert await reaper.reap() == 1


async def test_a_database_that_cannot_be_reached_counts_as_an_outage() -> None:
    async with open_pool("postgresql://127.0.0.1:1/none", application="test", size=1) as unreachable:
        unreachable.timeout = 0.1
        reaper = janitor.Reaper(unreachable, max_deliveries=5, recovery=timedelta(hours=1))
        with pytest.raises(psycopg.OperationalError):
            await reaper.reap()

        assert await reaper.reap() == 0


async def test_delayed_work_is_released_when_it_is_due(pool: Pool) -> None:
    async with pool.connection() as connection:
        await make_runs(connection, await make_task(connection), 2)
        soon, late = await lease(pool)
        delays = {soon.run_id: timedelta(0), late.run_id: timedelta(hours=1)}
        waits = [Settlement(one, run=RunResult(RunPhase.WAITING, delay=delays[one.run_id])) for one in (soon, late)]
        await settle(connection, waits, done=[soon.lease_id])

    assert await janitor.release(pool) == 1

    assert [one.run_id for one in await lease(pool)] == [soon.run_id]


async def test_new_time_zone_data_moves_the_tasks_that_it_moves(pool: Pool) -> None:
    daily = [{"cron": "30 8 * * *", "timeZone": "Europe/Chisinau"}]
    await declare(pool, *(task(name, LOG, schedules=daily) for name in ("moved", "same", "asleep", "new")))

    async def next_times() -> dict[str, datetime | None]:
        async with pool.connection() as connection:
            rows = await status.list_tasks(connection, namespace="default", limit=9)
        return {row.name: row.next_fire_at for row in rows}

    right = await next_times()
    async with pool.connection() as connection:
        # As other time zone data would have it.
        old = "UPDATE task_clock c SET tzdata = '1999z' FROM task t WHERE t.task_id = c.task_id AND t.name = ANY(%s)"
        await connection.execute(old, [["moved", "same", "asleep"]])
        shift = (
            "UPDATE task_clock c SET next_fire_at = next_fire_at + %s::interval"
            " FROM task t WHERE t.task_id = c.task_id AND t.name = %s"
        )
        for name, by in (("moved", timedelta(hours=-1)), ("asleep", None), ("new", timedelta(hours=1))):
            await connection.execute(shift, [by, name])

    assert await janitor.recompute_times(pool) == 1

    found = await next_times()
    assert (found["moved"], found["same"], found["asleep"]) == (right["moved"], right["same"], None)
    assert right["new"] is not None
    assert found["new"] == right["new"] + timedelta(hours=1)
    assert await values(pool, "SELECT DISTINCT tzdata FROM task_clock") == [schedule.tzdata_version()]
    assert await janitor.recompute_times(pool) == 0


def gauge(name: str) -> float:
    value = REGISTRY.get_sample_value(name)
    assert value is not None
    return value


async def test_workers_are_counted_and_those_lost_long_ago_forgotten(pool: Pool) -> None:
    async with pool.connection() as connection:
        await make_runs(connection, await make_task(connection), 1)
        for name, lease in (("live", timedelta(minutes=5)), ("lost", timedelta(0))):
            said = Announcement(name, ["other"], 1, "1", lease)
            await workers.announce(connection, said, age=timedelta(0), draining=False)
        await connection.execute("UPDATE worker SET seen_at = now() - interval '2 h' WHERE name = 'lost'")

    await janitor.measure(pool)
    assert (gauge("ordinaut_workers_live"), gauge("ordinaut_queues_unserved")) == (1, 1)

    assert await janitor.forget_workers(pool) == 1
    assert await values(pool, "SELECT name FROM worker") == ["live"]


async def test_the_queue_and_the_outbox_are_measured(pool: Pool) -> None:
    async with pool.connection() as connection:
        await make_runs(connection, await make_task(connection), 6)
        first = await work.lease(connection, worker="w", limit=3, ttl=timedelta(minutes=5))
        wait = Settlement(first[0], run=RunResult(RunPhase.WAITING, delay=timedelta(hours=1)))
        await settle(connection, [wait], done=[])
        await connection.execute("UPDATE due_work SET due_at = now() - interval '90 s'")
        await events.append(connection, [{"type": "x", "ns": "default"}])
        await connection.execute("UPDATE outbox SET created_at = now() - interval '40 s'")

    await janitor.measure(pool)

    assert gauge("ordinaut_queue_depth") == 3
    assert gauge("ordinaut_queue_delayed") == 1
    assert gauge("ordinaut_queue_leased") == 2
    assert gauge("ordinaut_outbox_rows") == 1
    assert 90 <= gauge("ordinaut_queue_oldest_age_seconds") < 120
    assert 40 <= gauge("ordinaut_outbox_lag_seconds") < 70


async def test_how_far_the_readers_of_the_log_are_behind_is_measured(pool: Pool) -> None:
    def backlog(reader: str) -> tuple[float, float]:
        names = ("ordinaut_event_backlog_rows", "ordinaut_event_backlog_seconds")
        found = [REGISTRY.get_sample_value(name, {"reader": reader}) for name in names]
        assert found[0] is not None
        assert found[1] is not None
        return found[0], found[1]

    await janitor.measure(pool)
    assert backlog("triggers") == backlog("stream") == (0, 0)

    async with pool.connection() as connection:
        for _ in range(3):
            await events.append(connection, [{"type": "x", "ns": "default"}])
        await connection.execute("UPDATE outbox SET created_at = now() - interval '40 s'")
        rows = await log.take_in(connection, limit=2)
        await log.move_cursor(connection, "triggers", rows[-1].position)
        await connection.execute("UPDATE event_log SET created_at = now() - interval '90 s'")

    await janitor.measure(pool)

    rows_of_triggers, age_of_triggers = backlog("triggers")
    rows_of_stream, age_of_stream = backlog("stream")
    assert (rows_of_triggers, rows_of_stream) == (1, 3)
    assert 40 <= age_of_triggers < 70
    assert 90 <= age_of_stream < 120


async def test_how_late_the_clock_is_and_what_comes_next_is_measured(pool: Pool) -> None:
    await janitor.measure(pool)
    assert gauge("ordinaut_schedule_overdue_seconds") == 0
    assert math.isnan(gauge("ordinaut_next_fire_timestamp_seconds"))

    yearly = [{"cron": "0 0 1 1 *"}]
    await declare(pool, task("t", LOG, schedules=yearly), task("u", LOG, schedules=yearly), task("v", LOG))
    await janitor.measure(pool)
    assert gauge("ordinaut_schedule_overdue_seconds") == 0
    (due,) = await values(pool, "SELECT extract(epoch FROM min(next_fire_at))::float8 FROM task_clock")
    assert gauge("ordinaut_next_fire_timestamp_seconds") == due

    late = (
        "UPDATE task_clock SET next_fire_at = now() - interval '50 s' WHERE task_id = (SELECT min(task_id) FROM task)"
    )
    async with pool.connection() as connection:
        await connection.execute(late)
    await janitor.measure(pool)
    assert 50 <= gauge("ordinaut_schedule_overdue_seconds") < 80


async def test_tasks_partitions_schema_and_database_are_measured(pool: Pool) -> None:
    nowhere = {"pipelineRef": {"name": "nowhere"}}
    await declare(
        pool,
        *(task(name, LOG) for name in ("a", "b", "c", "d")),
        task("e", LOG, suspend=True),
        *(task(name, **nowhere) for name in ("f", "g")),
        task("h", suspend=True, **nowhere),
    )
    await pause(pool, "d")
    async with pool.connection() as connection:
        await connection.execute("UPDATE task SET deleted_at = now() WHERE name = 'c'")
    await partitions.keep(pool, history_days=30, event_days=3)  # the template may be of yesterday

    await janitor.take_stock(pool)

    found = {state: REGISTRY.get_sample_value("ordinaut_tasks", {"state": state}) for state in TASK_STATES}
    assert found == {"ready": 2, "paused": 2, "not_ready": 3}
    assert gauge("ordinaut_partition_days_ahead") == DAYS_AHEAD
    assert gauge("ordinaut_schema_version") == len(migrations())
    assert gauge("ordinaut_database_size_bytes") > 1_000_000


@pytest.mark.parametrize("table", ["run", "step", "event_log"])
async def test_partitions_count_up_to_the_first_gap(pool: Pool, table: str) -> None:
    (day,) = await values(pool, "SELECT to_char((now() AT TIME ZONE 'UTC')::date + 3, 'YYYYMMDD')")
    async with pool.connection() as connection:
        await connection.execute(f"DROP TABLE {table}_{day}".encode())

    await janitor.take_stock(pool)

    assert gauge("ordinaut_partition_days_ahead") == 2


async def test_an_old_transaction_is_measured(pool: Pool) -> None:
    await janitor.take_stock(pool)
    young = gauge("ordinaut_database_oldest_transaction_seconds")
    async with pool.connection() as connection, connection.transaction():
        began = await clock.now(connection)
        async with asyncio.timeout(60):
            while gauge("ordinaut_database_oldest_transaction_seconds") <= young + 0.3:
                await janitor.take_stock(pool)
        async with pool.connection() as other:
            age = (await clock.now(other) - began).total_seconds()
    assert gauge("ordinaut_database_oldest_transaction_seconds") <= age


async def test_an_empty_queue_has_no_age(pool: Pool) -> None:
    await janitor.measure(pool)

    assert gauge("ordinaut_queue_depth") == gauge("ordinaut_queue_oldest_age_seconds") == 0
    assert gauge("ordinaut_outbox_rows") == gauge("ordinaut_outbox_lag_seconds") == 0


async def test_the_hot_tables_are_vacuumed(pool: Pool) -> None:
    vacuumed = (
        "SELECT relname FROM pg_stat_user_tables WHERE vacuum_count > 0 AND schemaname = 'ordinaut' ORDER BY relname"
    )
    assert await values(pool, vacuumed) == []

    await janitor.vacuum(pool)

    hot = ["awaited_key", "due_work", "held_key", "key_news", "keyed_work", "outbox", "work_lease"]
    async with asyncio.timeout(60):
        while await values(pool, vacuumed) != hot:
            await asyncio.sleep(0.02)


async def test_answers_to_idempotency_keys_are_forgotten_after_a_day(pool: Pool) -> None:
    async with pool.connection() as connection:
        for key, age in (("old", 25), ("young", 23)):
            await connection.execute(
                "INSERT INTO idempotency (namespace, caller, route, key, digest, created_at)"
                " VALUES ('default', 'me', '/v1', %s, 'd', now() - make_interval(hours => %s))",
                [key, age],
            )

    assert await janitor.forget_answers(pool) == 1

    assert await values(pool, "SELECT key FROM idempotency") == ["young"]


async def test_old_lines_of_the_audit_trail_are_forgotten(pool: Pool) -> None:
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO audit (at, actor, verb, namespace, object, decision)"
            " SELECT now() - n * interval '1 day', 'me', 'run', 'default', n::text, 'Allowed'"
            " FROM generate_series(40, 1, -1) n"
        )
        assert await audit.forget(connection, days=9, limit=7) == 7

    assert await janitor.forget_audit(pool, days=9) == 25

    assert await values(pool, "SELECT object FROM audit ORDER BY id") == [str(n) for n in range(8, 0, -1)]


async def test_the_ledger_of_events_is_kept_as_long_as_the_history(pool: Pool) -> None:
    async with pool.connection() as connection:
        task_id = await make_task(connection)
        await connection.execute(
            "INSERT INTO event_fire"
            " (task_id, event_key, position, place, event_id, event_type, trigger, outcome, reason, decided_at)"
            " SELECT %s, gen_random_uuid(), x.days, 0, 'e', 'mail', 0, x.outcome, x.reason,"
            " now() - x.days * interval '1 d' FROM (VALUES (8, 'Skipped', 'Paused'), (9, 'Gathered', NULL),"
            " (10, 'Skipped', 'Paused'), (11, 'Skipped', 'Paused')) x (days, outcome, reason)",
            [task_id],
        )
        assert await event_fires.forget(connection, days=9, limit=1) == 1

    assert await janitor.forget_event_fires(pool, days=9) == 1

    assert sorted(await values(pool, "SELECT outcome FROM event_fire")) == ["Gathered", "Skipped"]

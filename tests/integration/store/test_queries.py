"""Every named statement of the store runs against a real database, is used by the store, and by nobody else."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest

import ordinaut
import ordinaut_api
import ordinaut_cli
import ordinaut_operator
import ordinaut_worker
from ordinaut.states import Origin, RunPhase, StepPhase
from ordinaut.store import declared, migrate, status, work
from ordinaut.store import log as eventlog
from ordinaut.store.clock import Fire, record
from ordinaut.store.ids import new_run_id
from ordinaut.store.pool import Connection, Pool
from ordinaut.store.queries import SQL, parse
from ordinaut.store.settle import RunResult, Settlement, StepResult, settle
from tests.declaring import declare, hook, pipeline, run_now, task, tool
from tests.relaying import in_outbox

PACKAGES = [ordinaut, ordinaut_operator, ordinaut_worker, ordinaut_api, ordinaut_cli]
STORE = Path(ordinaut.__file__).parent / "store"
LONG = timedelta(minutes=5)
FIRST, SECOND, HOLDER = UUID(int=3), UUID(int=4), UUID(int=5)
"""Runs that wait for a concurrency key, and one that holds it."""
KEYS = '[{"key": "k", "source": "k"}]'
CONTEST = UUID("4580463b-9703-f436-7443-7a79931f0341")
"""What PostgreSQL makes of `KEYS`."""
OPEN, OVER = UUID(int=1), UUID(int=2)
"""Backfills of ``briefing``: one to be made, of which a run has ended, and one that was over long ago."""

FAR = {"since": datetime(2990, 1, 1, tzinfo=UTC), "until": datetime(2990, 1, 3, tzinfo=UTC)}
"""Days to which nobody writes; a conversion of the steps' partition of last resort has begun for them."""


@dataclass(frozen=True)
class World:
    """
    Rows of every table to run statements on.

    Task ``briefing`` fires minutely, is due, and refers to a pipeline and its tool; ``alone`` allows one run at a time
    and has one. Of the runs one is ``pending``, one ``leased``, one under a lease that has ``expired``, one is
    ``delayed`` while its step waits, and one is ``done``.
    """

    briefing: int
    alone: int
    revision: bytes
    uids: dict[str, str]
    pending: UUID
    leased: UUID
    expired: UUID
    creator: int
    delayed: UUID
    done: UUID
    exclusive: UUID
    lease: int
    leased_item: int
    scheduled_at: datetime
    waiting: UUID
    events: int


@dataclass(frozen=True)
class Case:
    """The parameters of a statement, and how many rows it returns or changes in the world."""

    params: dict[str, Any]
    rows: int


async def make_world(pool: Pool) -> World:
    weather = tool("weather", "http://127.0.0.1:9")
    steps = pipeline("steps", {"id": "a", "uses": "weather"})
    briefing = task("briefing", pipelineRef={"name": "steps"}, schedules=[{"cron": "* * * * *"}])
    alone = task("alone", {"id": "a", "uses": "std.log", "with": {"message": "hi"}}, concurrencyPolicy="Forbid")
    await declare(pool, weather, steps, briefing, alone, hook("github", "github.>"))
    exclusive = await run_now(pool, namespace="default", name="alone")
    runs = {
        name: await run_now(pool, namespace="default", name="briefing")
        for name in ("done", "delayed", "leased", "expired", "pending")
    }
    async with pool.connection() as connection:
        # In the order in which they were made; the run of `alone` is the first.
        await work.lease(connection, worker="w", limit=1, ttl=LONG)
        first = await work.lease(connection, worker="w", limit=2, ttl=LONG)
        now = monotonic()
        succeeded = StepResult(0, "a", StepPhase.SUCCEEDED, 1, started=now, finished=now, output=b"1")
        waiting = StepResult(0, "a", StepPhase.WAITING, 1, started=now, finished=now, error="down")
        await settle(
            connection,
            [
                Settlement(first[0], steps=[succeeded], run=RunResult(RunPhase.SUCCEEDED, output=b"{}")),
                Settlement(first[1], steps=[waiting], run=RunResult(RunPhase.WAITING, delay=timedelta(0))),
            ],
            done=[first[0].lease_id],
        )
        (leased,) = await work.lease(connection, worker="w", limit=1, ttl=LONG)
        await work.lease(connection, worker="dead", limit=1, ttl=timedelta(seconds=-1))
        await connection.execute(
            "UPDATE task_clock SET next_fire_at = now() - interval '1 s', tzdata = 'old' WHERE next_fire_at IS NOT NULL"
        )
        row = await status.task_named(connection, namespace="default", name="briefing")
        scheduled_at = row.now.replace(second=0, microsecond=0)
        await record(connection, [Fire(row.task_id, scheduled_at, run_id=new_run_id(row.now))])
        creator = await _more_rows(connection)
        found = await declared.incarnations(connection, origin=Origin.API)
        outbox = await in_outbox(connection)
        await eventlog.take_in(connection, limit=1)
        return World(
            briefing=row.task_id,
            alone=(await declared.task_ids(connection, [declared.Key("Task", "default", "alone")])).popitem()[1],
            creator=creator,
            revision=leased.revision,
            uids={one.key.name: one.uid for one in found},
            exclusive=exclusive,
            lease=leased.lease_id,
            leased_item=leased.id,
            scheduled_at=scheduled_at,
            waiting=await _waiting(connection),
            events=len(outbox),
            **runs,
        )


async def _waiting(connection: Connection) -> UUID:
    row = await (await connection.execute("SELECT run_id FROM queued_work ORDER BY id LIMIT 1")).fetchone()
    assert row is not None
    return UUID(str(row[0]))


async def _more_rows(connection: Connection) -> int:
    """Make rows of tables that only the API and the operator's fires write; returns the key of a creator."""
    await connection.execute("INSERT INTO creator (digest, identity) VALUES ('somebody', '{}')")
    row = await (await connection.execute("SELECT creator_id FROM creator")).fetchone()
    assert row is not None
    await connection.execute("UPDATE task SET creator_id = %s WHERE name = 'briefing'", row)
    await connection.execute("UPDATE task SET paused_at = now(), paused_by = 'me' WHERE name = 'alone'")
    await connection.execute("UPDATE task_clock SET unauthorized_at = now()")
    await connection.execute("SELECT bound_rest('step', %(since)s, %(until)s)", FAR)
    # One behind the run of `alone`, and one that waits for nobody.
    await connection.execute(
        "INSERT INTO queued_work (task_id, urgency, due_at, run_id)"
        " SELECT task_id, 4, now(), gen_random_uuid() FROM task ORDER BY task_id"
    )
    # Two that wait for a key which somebody has who is gone.
    key = orjson.dumps([{"source": "k", "limit": 1, "key": "k"}]).decode()
    await connection.execute("UPDATE task SET keys = %s WHERE name = 'briefing'", [key])
    await connection.execute(
        "INSERT INTO keyed_work (task_id, namespace, keys, urgency, run_id) SELECT task_id, namespace, %s, 4, x.run_id"
        " FROM task CROSS JOIN unnest(%s::uuid[]) x (run_id) WHERE name = 'briefing'",
        [KEYS, [FIRST, SECOND]],
    )
    await connection.execute(
        "INSERT INTO awaited_key (task_id, contest, key, namespace, urgency, head)"
        " SELECT task_id, contest, 'k', namespace, urgency, 0 FROM keyed_work LIMIT 1"
    )
    await connection.execute(
        "INSERT INTO held_key (run_id, key, namespace, task_id, source, held_since)"
        " SELECT %s, 'k', namespace, task_id, 'k', now() FROM task WHERE name = 'briefing'",
        [HOLDER],
    )
    await connection.execute(
        "INSERT INTO key_news (task_id, contest) SELECT task_id, contest FROM keyed_work UNION ALL"
        " SELECT task_id, contest FROM keyed_work"
    )
    await connection.execute(
        "INSERT INTO hook_delivery (namespace, hook, delivery, accepted_at)"
        " VALUES ('default', 'github', 'old', now() - interval '4 d'), ('default', 'github', 'young', now())"
    )
    # A line of each outcome in the ledger of events, and what is gathered.
    await connection.execute(
        "INSERT INTO event_fire"
        " (task_id, event_key, position, place, event_id, event_type, trigger, outcome, reason, run_id)"
        " SELECT task_id, gen_random_uuid(), 7, x.place, 'e', 'mail', 0, x.outcome, x.reason, x.run_id FROM task,"
        " (VALUES (0, 'Fired', NULL, %s::uuid), (1, 'Skipped', 'Paused', NULL), (2, 'Gathered', NULL, NULL))"
        " x (place, outcome, reason, run_id) WHERE name = 'briefing'",
        [HOLDER],
    )
    await connection.execute(
        "INSERT INTO gathering (task_id, trigger, opened_at, due_at, events, bytes)"
        " SELECT task_id, 0, now(), now(), 1, 2 FROM task WHERE name = 'briefing'"
    )
    await connection.execute(
        "INSERT INTO gathered_event (task_id, trigger, position, place, event_key, accepted_at, hops, bytes, event)"
        " SELECT task_id, 0, position, place, event_key, now(), 1, 2, '{}' FROM event_fire WHERE outcome = 'Gathered'"
    )
    await connection.execute(
        "INSERT INTO idempotency (namespace, caller, route, key, digest, created_at)"
        " VALUES ('default', 'me', '/v1', 'k', 'd', now() - interval '25 h')"
    )
    await connection.execute(
        "INSERT INTO worker (name, queues, slots, version, started_at, seen_at, live_until)"
        " SELECT x.name, '{default}', 1, '', now(), now() - x.ago, now() + interval '1 h' - x.ago"
        " FROM (VALUES ('w', interval '0'), ('dead', interval '2 h')) x (name, ago)"
    )
    await connection.execute("INSERT INTO subscription_version VALUES ('default', 1)")
    await connection.execute(
        "INSERT INTO subscription (task_id, namespace, version)"
        " SELECT task_id, 'default', 1 FROM task WHERE name = 'alone'"
    )
    await connection.execute(
        "INSERT INTO audit (actor, verb, namespace, object, decision) VALUES ('me', 'put', 'default', 'x', 'Allowed')"
    )
    await connection.execute(
        "INSERT INTO backfill (backfill_id, task_id, schedule_key, from_at, to_at, evaluated_at, max_active, times,"
        " missing, created_by, finished_at, reason)"
        " SELECT x.id, t.task_id, 'k', now(), now(), now(), 1, 1, 1, 'me', x.over, x.reason FROM task t,"
        " (VALUES (%s::uuid, NULL, NULL), (%s, now() - interval '9 d', 'Completed')) x (id, over, reason)"
        " WHERE t.name = 'briefing'",
        [OPEN, OVER],
    )
    await connection.execute(
        "INSERT INTO backfill_run SELECT run_id, %s FROM run WHERE finished_at IS NOT NULL LIMIT 1", [OPEN]
    )
    return int(row[0])


def cases(world: World) -> dict[str, Case]:
    """Return the parameters of each statement."""
    now = datetime.now(UTC)
    new = new_run_id(now)
    ids = {"task_ids": [world.briefing]}
    page = {"namespace": "default", "limit": 10, "after": None, "name": None}
    everything = {"since": -1, "before_id": 2**63 - 1, "before_place": 0}
    return {
        **_backfill_cases(world, now=now, new=new),
        **_why_cases(world, now=now),
        **_clock_cases(world, now=now, new=new, ids=ids),
        **_declared_cases(world, now=now, ids=ids),
        # events.sql
        "append_outbox": Case({"events": '[{"type": "x", "ns": "default"}]', "about": ["default", "default/x"]}, 1),
        "publish_events": Case({"events": '[{"type": "x", "ns": "default"}]', "about": ["default", "default/x"]}, 1),
        "outbox_figures": Case({}, 1),
        "logged_events": Case({"since": world.scheduled_at, "after": -1, "limit": 9}, 0),
        "skip_event_ids": Case({"beyond": 7, "distance": 9}, 1),
        "newest_event": Case({}, 1),
        "list_events": Case(
            {**everything, "namespace": "default", "about": "default", "type": None, "limit": 99}, world.events
        ),
        # subscriptions.sql
        "save_subscriptions": Case(
            {**ids, "namespaces": ["default"], "triggers": ['[{"topic": "x", "since": "2026-11-23T08:30:00Z"}]']}, 1
        ),
        "subscription_news": Case({"namespaces": ["default"], "versions": [-1]}, 1),
        # event_lists.sql
        "search_events": Case(
            {
                **everything,
                "namespace": "default",
                "topics": "^(run[.].+|step[.].+|task[.].+)$",
                "subject": None,
                "task": None,
                "run": None,
                "created_after": world.scheduled_at,
                "created_before": now + timedelta(days=1),
                "limit": 99,
            },
            world.events,
        ),
        "oldest_event": Case({}, 1),
        # following.sql
        "log_bounds": Case({}, 1),
        "log_span": Case({"after": 0, "until": 9, "about": ["default"], "limit": 9}, 1),
        "log_since": Case({"since": world.scheduled_at, "limit": 9}, 1),
        "log_begin": Case({"created_at": now, "namespace": "default"}, 1),
        # log.sql
        "lock_reader": Case({"reader": "stream"}, 1),
        "take_in": Case({"limit": 1, "size": 9}, 1),
        "log_after": Case({"position": 0, "limit": 9, "size": 9}, 1),
        "log_end": Case({}, 1),
        "log_cursor": Case({"reader": "stream"}, 1),
        "notify_log": Case({}, 1),
        "move_log_cursor": Case({"reader": "stream", "position": 1}, 1),
        "log_position_before": Case({"since": now}, 1),
        "log_tail": Case({"after": 0, "before": 2**62, "limit": 9}, 1),
        "append_audit": Case(
            {
                "actor": "me",
                "verb": "put",
                "namespace": "default",
                "object": "tasks/briefing",
                "decision": "Allowed",
                "request_id": "r",
                "detail": None,
            },
            1,
        ),
        "forget_audit": Case({"days": -1, "limit": 9}, 1),
        "list_audit": Case(
            {"namespace": "default", "limit": 9, "before": None, "actor": "me", "verb": None, "decision": None}, 1
        ),
        **_hook_cases(),
        **_idempotency_cases(),
        **_event_ledger_cases(world),
        **_reaction_cases(world, now=now, ids=ids),
        # migrations.sql
        "ping": Case({}, 1),
        "set_up_session": Case({"names": ["timezone", "search_path"], "values": ["UTC", "ordinaut"]}, 2),
        "migration_table_exists": Case({}, 1),
        "create_migration_table": Case({}, -1),
        "applied_migrations": Case({}, len(migrate.migrations())),
        "last_migration": Case({}, 1),
        "record_migration": Case({"version": 9999, "name": "9999_x", "checksum": b"x"}, 1),
        "limit_migration_locks": Case({}, 1),
        "lock_migrations": Case({"key": migrate.LOCK_KEY}, 1),
        "unlock_migrations": Case({"key": migrate.LOCK_KEY}, 1),
        **_run_cases(world, new=new),
        **_survey_cases(world),
        # status.sql
        "task_statuses": Case(ids, 1),
        "task_ids_of": Case({"origin": "API"}, 2),
        "task_uids": Case({**ids, "origin": "API"}, 1),
        "pipeline_statuses": Case({"origin": "API"}, 1),
        "tool_statuses": Case({"origin": "API"}, 1),
        "hook_statuses": Case({"origin": "API"}, 1),
        "list_tasks": Case({"namespace": "default", "limit": 10, "after": ""}, 2),
        "task_named": Case({"namespace": "default", "name": "briefing"}, 1),
        "list_declared": Case({**page, "kind": "Tool"}, 1),
        "notify_status": Case({"task_ids": "1,2"}, 1),
        **_history_cases(now=now),
        **_work_cases(world),
        **_worker_cases(),
        **_turn_cases(world, new=new),
        **_key_cases(world, new=new),
    }


def _history_cases(*, now: datetime) -> dict[str, Case]:
    steps = {"parent": "step"}
    return {
        "list_partitions": Case({}, 27),
        "today": Case({}, 1),
        "strays": Case({"limit": 9}, 3),
        "be_patient": Case({"patience": "50ms"}, 1),
        "make_partition": Case({"parent": "run", "day": now.date() + timedelta(20)}, 1),
        "drop_partition": Case({"parent": "event_log", "name": f"event_log_{now:%Y%m%d}"}, 1),
        "bound_rest": Case({**steps, **FAR}, 1),
        "take_time": Case({}, 1),
        "check_rest": Case(steps, 1),
        "swap_rest": Case({**steps, **FAR}, 1),
        "free_rest": Case(steps, 1),
        "hold_partitions": Case({}, 1),
    }


def _backfill_cases(world: World, *, now: datetime, new: UUID) -> dict[str, Case]:
    one, of_task = {"backfill_id": OPEN}, {"task_id": world.briefing}
    window = {"from_at": now, "to_at": now, "evaluated_at": now, "max_active": 5, "times": 1, "missing": 1}
    made_up = {**one, **of_task, "times": [now, world.scheduled_at], "run_ids": [new, world.done]}
    return {
        "backfill_subject": Case({"namespace": "default", "name": "briefing"}, 1),
        "fired_times": Case({**of_task, "times": [world.scheduled_at, now]}, 1),
        "count_open_backfills": Case(of_task, 1),
        "add_backfill": Case({"backfill_id": new, **of_task, "schedule_key": b"k", **window, "created_by": "me"}, 1),
        "list_backfills": Case(
            {"namespace": "default", "limit": 9, "task": "briefing", "backfill_id": None, "before": None}, 2
        ),
        "pending_backfills": Case({"after": UUID(int=0), "limit": 9}, 1),
        "lock_backfill": Case(one, 1),
        "lock_backfilled_task": Case(of_task, 1),
        "forget_ended_backfill_runs": Case(one, 1),
        "count_backfill_runs": Case(one, 1),
        "make_up_fires": Case(made_up, 1),
        "add_backfill_runs": Case({**one, "run_ids": [new]}, 1),
        "advance_backfill": Case({**one, "evaluated_at": now, "made": 1}, 1),
        "hold_backfill": Case({**one, "waiting": "NotReady"}, 1),
        "finish_backfill": Case({**one, "reason": "Cancelled"}, 1),
        "forget_backfills": Case({"days": 8}, 1),
    }


def _clock_cases(world: World, *, now: datetime, new: UUID, ids: dict[str, Any]) -> dict[str, Case]:
    advance = {"evaluated": [now], "as_of": [None], "kept": [0], "next_fires": [now + LONG], "tzdata": "2026f"}
    fires = {"task_ids": [world.briefing] * 2, "scheduled": [world.scheduled_at, now]}
    return {
        "claim_due_tasks": Case({"limit": 10, "unread": [], "creators": [0], "namespaces": ["default"]}, 1),
        "advance_clocks": Case({**ids, **advance, "unauthorized": [now]}, 1),
        "insert_fires": Case({**fires, "outcomes": ["Fired"] * 2, "reasons": [None] * 2, "run_ids": [new, new]}, 1),
        "due_seconds": Case({"horizon": LONG}, 2),
        "database_time": Case({}, 1),
        "lock_task": Case({"namespace": "default", "name": "briefing"}, 1),
        "stale_clocks": Case({"tzdata": "new", "limit": 10}, 2),
        "lock_clocks": Case(ids, 1),
    }


def _declared_cases(world: World, *, now: datetime, ids: dict[str, Any]) -> dict[str, Case]:
    def gone(name: str) -> dict[str, Any]:
        names = [{"namespace": "default", "name": name, "uid": world.uids[name]}]
        return {"origin": "API", "names": orjson.dumps(names).decode()}

    def objects(name: str) -> dict[str, Any]:
        one = {"namespace": "default", "name": name, "uid": world.uids[name], "spec": {"edited": True}}
        one |= {"labels": {"team": "a"}, "annotations": {}}
        rows = [{**one, "tool_refs": []}, {**one, "name": "new", "uid": "new", "tool_refs": ["weather"]}]
        return {"origin": "API", "objects": orjson.dumps(rows).decode(), "creator": None}

    named = {"namespaces": ["default"], "names": ["default/steps", "default/weather"]}
    names = orjson.dumps([{"kind": "Task", "namespace": "default", "name": "briefing"}]).decode()
    named_task = {"namespace": "default", "name": "briefing"}
    readiness = {
        "reasons": ["Resolved"],
        "messages": [""],
        "revisions": [world.revision],
        "params": ["{}"],
        "queues": [0],
        "keys": ["[]"],
    }
    clock = {"schedule_keys": [b"k"], "evaluated": [now], "next_fires": [None], "tzdata": "2026f"}
    return {
        "lock_namespace": Case({"namespace": "default"}, 1),
        "upsert_tasks": Case(objects("briefing"), 2),
        "upsert_pipelines": Case(objects("steps"), 2),
        "upsert_tools": Case(objects("weather"), 2),
        "upsert_hooks": Case(objects("github"), 2),
        "name_owners": Case({"names": names}, 1),
        "delete_tasks": Case(gone("briefing"), 1),
        "task_ids_named": Case({"names": names}, 1),
        "delete_pipelines": Case(gone("steps"), 1),
        "delete_tools": Case(gone("weather"), 1),
        "delete_hooks": Case(gone("github"), 1),
        "declared_uids": Case({"origin": "API"}, 5),
        "dependent_tasks": Case({"namespaces": ["default"], "pipelines": [], "tools": ["default/weather"]}, 1),
        "tasks_to_resolve": Case(ids, 1),
        "pipelines_named": Case(named, 1),
        "tools_named": Case(named, 1),
        "insert_revisions": Case({"digests": [b"new", world.revision], "bodies": ["{}", "{}"]}, 1),
        "set_readiness": Case({**ids, **readiness}, 1),
        "set_clocks": Case({**ids, **clock}, 1),
        "find_creator": Case({"digest": b"somebody"}, 1),
        "insert_creator": Case({"digest": b"somebody else", "identity": '{"user": "me"}'}, 1),
        "forgive_clocks": Case({**ids, "creator": world.creator}, 1),
        "pause_task": Case({**named_task, "by": "me"}, 1),
        "snooze_task": Case({**named_task, "by": "me", "until": now + LONG}, 1),
        "resume_task": Case({**named_task, "name": "alone"}, 1),
        "count_declared": Case({"namespace": "default"}, 1),
        "revision_body": Case({"digest": world.revision}, 1),
        "tool_spec": Case({"namespace": "default", "name": "weather"}, 1),
        "notify_clock": Case({}, 1),
    }


def _hook_cases() -> dict[str, Case]:
    named = {"namespace": "default", "hook": "github"}
    return {
        "hook_named": Case({"namespace": "default", "name": "github"}, 1),
        "keep_delivery": Case({**named, "delivery": b"new"}, 1),
        "forget_deliveries": Case({"seconds": 3600, "limit": 10}, 1),
    }


def _reaction_cases(world: World, *, now: datetime, ids: dict[str, Any]) -> dict[str, Case]:
    pair = {**ids, "keys": [UUID(int=9)]}
    fate = {"outcomes": ["Skipped"], "reasons": ["Paused"], "messages": [None], "run_ids": [None]}
    where = {"positions": [8], "places": [0]}
    line = {**ids, "triggers": [0]}
    kept = {"accepted": [now], "hops": [1], "bytes": [2], "event_places": [1], "events": ["{}"]}
    named = {"namespace": "default", "name": "briefing"}
    return {
        "tasks_of_events": Case({"task_ids": [world.briefing, world.alone], "unread": ["params"]}, 2),
        "hold_snoozed_tasks": Case(ids, 1),
        "hold_clocks": Case(ids, 1),
        "known_event_fires": Case(pair, 0),
        "insert_event_fires": Case({**pair, **where, "ids": ["1"], "types": ["mail"], "triggers": [0], **fate}, 0),
        "settle_event_fires": Case({**pair, **fate}, 0),
        "hops_of_runs": Case({"run_ids": [world.done, world.leased], "namespaces": ["default", "other"]}, 1),
        "params_schemas": Case({"digests": [world.revision]}, 1),
        "mark_unauthorized": Case({**ids, "since": [None]}, 1),
        "gatherings_of": Case(ids, 1),
        "gathered_events": Case({**line, "limit": 9, "bytes": 9}, 1),
        "gather_events": Case({**pair, **where, "triggers": [0], **kept}, 1),
        "release_events": Case({**line, "positions": [7], "places": [2]}, 1),
        "put_gatherings": Case({**line, "opened": [now], "due": [now], "events": [2], "bytes": [4]}, 1),
        "drop_gatherings": Case(line, 1),
        "due_gatherings": Case({"creators": [0], "namespaces": ["default"], "limit": 9}, 1),
        "triggers_of_tasks": Case(ids, 0),
        "drop_orphaned_gatherings": Case({"limit": 9, "message": "gone"}, 0),
        "next_gathering": Case({}, 1),
        "hold_snooze": Case(named, 0),
        "move_snoozed_runs": Case({"task_id": world.briefing, "before": now, "until": now + LONG}, 1),
    }


def _idempotency_cases() -> dict[str, Case]:
    key = {"namespace": "default", "caller": "me", "route": "/v1", "key": "k"}
    return {
        "claim_idempotency_key": Case({**key, "key": "new", "digest": b"d"}, 1),
        "kept_answer": Case(key, 1),
        "keep_answer": Case({**key, "status": 200, "headers": "{}", "body": b"{}"}, 1),
        "forget_answers": Case({"hours": 24}, 1),
    }


def _event_ledger_cases(world: World) -> dict[str, Case]:
    named = {"namespace": "default", "name": "briefing"}
    tasks = {"after": 0, "tasks": 9, "lines": 9, "limit": 9}
    return {
        "list_event_fires": Case({**named, "position": 7, "place": 2, "limit": 9}, 2),
        "open_gatherings": Case({"task_id": world.briefing}, 1),
        "listening_tasks": Case({"task_ids": [world.briefing]}, 0),
        "compared_events": Case({"namespace": "default", "since": world.scheduled_at - LONG, "limit": 9}, 0),
        "event_fires_of": Case({"task_ids": [world.briefing], "keys": [FIRST]}, 0),
        "forget_event_fires": Case({"days": -1, "limit": 9}, 2),
        "event_backlog": Case({}, 2),
        "events_without_run": Case(tasks, 1),
        "events_not_gathered": Case(tasks, 1),
        "runs_without_event": Case({"newest": 9, "read": 9, "limit": 9}, 0),
    }


def _run_cases(world: World, *, new: UUID) -> dict[str, Case]:
    made = {
        "trigger": "manual",
        "run_ids": [new],
        "namespaces": ["default"],
        "task_ids": [world.briefing],
        "revisions": [world.revision],
        "scheduled": [None],
        "priorities": [5],
        "params": ["{}"],
        "retries": [None],
        "waits": [None],
        "hops": [1],
        "event_places": [1],
        "events": ['{"id": "1"}'],
    }
    place = {"run_ids": [new], "queues": [0], "priorities": [5]}
    everything = {"before": None, "task": None, "phase": None, "trigger": None}
    everything |= {"created_after": None, "created_before": None}
    return {
        "insert_runs": Case(made, 1),
        "copy_steps": Case({"from_run": world.done, "to_run": new}, 1),
        "enqueue": Case({**place, "namespaces": ["default"]}, 1),
        "enqueue_later": Case({**place, "starts": [world.scheduled_at], "keys": [None]}, 1),
        "notify_work": Case({"queues": [0, 0, 1]}, 2),
        "finish_runs": Case(
            {
                "run_ids": [world.pending, world.leased, world.done],
                "phase": "Cancelled",
                "reason": "x",
                "error": "x",
                "started": None,
                "parked": True,
            },
            2,
        ),
        "unpark_run": Case({"run_id": world.done, "waits": None}, 0),
        "unpark_steps": Case({"run_id": world.done}, 0),
        "steps_under_way": Case({"run_ids": [world.pending, world.done]}, 1),
        "finish_waiting_steps": Case({"run_ids": [world.delayed, world.done], "phase": "Cancelled"}, 1),
        "forget_delayed": Case({"run_ids": [world.delayed, world.pending]}, 1),
        "notify_cancel": Case({"run_ids": [world.leased, world.done]}, 2),
        "runs_of_deleted_tasks": Case({"limit": 9}, 0),
        "unfinished_runs_of": Case({"task_ids": [world.briefing]}, 4),
        "run_names": Case({"run_ids": [world.done, new]}, 1),
        "get_run": Case({"namespace": "default", "run_id": world.leased}, 1),
        "list_runs": Case({"namespace": "default", "limit": 10, **everything}, 6),
        "list_steps": Case({"run_id": world.done}, 1),
        "list_fires": Case({"namespace": "default", "name": "briefing", "limit": 10, "before": None}, 1),
    }


def _turn_cases(world: World, *, new: UUID) -> dict[str, Case]:
    place = {"run_ids": [new], "task_ids": [world.alone]}
    return {
        "take_turns": Case(place, 1),
        "track_turns": Case({"task_ids": [world.briefing]}, 4),
        "wait_for_turns": Case({**place, "queues": [0], "priorities": [5], "starts": [None], "keys": [None]}, 1),
        "pass_turns": Case({"run_ids": [world.exclusive], "task_ids": [world.briefing]}, 1),
        "stalled_turns": Case({"limit": 9}, 1),
        "forget_ended_turns": Case({"task_ids": [world.alone, world.briefing]}, 0),
        "turns_of_tasks": Case({"task_ids": [world.alone, world.briefing]}, 2),
        "runs_in_turn": Case({"task_ids": [world.alone, world.briefing]}, 3),
        "forget_waiting": Case({"run_ids": [world.waiting, new]}, 1),
    }


def _key_cases(world: World, *, new: UUID) -> dict[str, Case]:
    name = {"namespaces": ["default"], "keys": ["k"]}
    start = UUID(int=0)
    contests = {"task_ids": [world.briefing], "contests": [CONTEST]}
    run = {**name, "run_ids": [new], "task_ids": [world.briefing], "queues": [0], "priorities": [5]}
    news = {"namespaces": ["default", None], "keys": ["k", None], "task_ids": [None, world.briefing]}
    return {
        "wait_for_keys": Case({**run, "keys": ['[{"key": "k", "source": "k"}]']}, 1),
        "forget_keyed": Case({"run_ids": [FIRST, new]}, 1),
        "revisit_keys": Case({"task_ids": [world.briefing, world.alone]}, 1),
        "notify_keys": Case({}, 1),
        "any_key_news": Case({}, 1),
        "lock_admission": Case({"patient": True}, 1),
        "take_key_news": Case({"limit": 2}, 2),
        "add_key_news": Case({**news, "contests": [None, CONTEST], "behinds": [None, None]}, 2),
        "contests_of_keys": Case({**name, "limit": 9}, 1),
        "contests_of_tasks": Case({"task_ids": [world.briefing], "behinds": [start], "limit": 9}, 1),
        "contests_behind": Case({"task_id": 0, "contest": start, "limit": 9}, 1),
        "contest_limits": Case(contests, 1),
        "held_slots": Case(name, 1),
        "keyed_candidates": Case({**contests, "rooms": [1]}, 1),
        "admit_runs": Case({"ids": [1], "run_ids": [FIRST]}, 1),
        "pend_runs": Case({"run_ids": [world.delayed, world.done]}, 1),
        "drop_ended_keyed": Case({"run_ids": [FIRST]}, 1),
        "order_awaited": Case(contests, 1),
        "heal_keys": Case({"after": start, "limit": 9}, 1),
        "keys_blocking": Case({"run_ids": [FIRST, new], "shown": 3, "counted": 3}, 1),
        "key_figures": Case({}, 1),
        "runs_without_room": Case({"looked_at": 9, "limit": 9}, 0),
        "slots_beyond_limit": Case({"limit": 9}, 0),
        "vacuum_keyed_work": Case({}, -1),
        "vacuum_held_key": Case({}, -1),
        "vacuum_awaited_key": Case({}, -1),
        "vacuum_key_news": Case({}, -1),
    }


def _survey_cases(world: World) -> dict[str, Case]:
    limit = {"limit": 9}
    sweep = {"newest": 10, "after": UUID(int=0), "swept": 10, "suspects": []}
    return {
        "clock_figures": Case({}, 1),
        "task_figures": Case({}, 1),
        "partition_days_ahead": Case({"up_to": 30}, 1),
        "database_figures": Case({}, 1),
        "lost_runs": Case({**limit, **sweep}, 1),
        "ended_runs_kept": Case({**limit, "looked_at": 10}, 0),
        "doubled_runs": Case(limit, 0),
        "fires_without_run": Case({**limit, "after": 0, "tasks": 10, "times": 5}, 1),
        "overlapping_runs": Case(limit, 0),
        "runs_without_turn": Case(limit, 1),
        "ledger_accounts": Case({"task_ids": [world.briefing, world.alone], "lines": 5, "after": None}, 2),
        "clocks_after": Case({"after": 0, "limit": 1}, 1),
        "tasks_after": Case({"namespace": "default", "after": "alone", "limit": 9}, 1),
    }


def _work_cases(world: World) -> dict[str, Case]:
    runs = {"run_ids": [world.leased]}
    item = {**runs, "queues": [0], "urgencies": [4], "attempts": [2], "started": [None]}
    step = {**runs, "seqs": [0], "idxs": [0], "step_ids": ["a"], "phases": ["Succeeded"], "attempts": [1]}
    times = {"started_ago": [10], "finished_ago": [5]}
    result = {"outputs": ["{}"], "errors": [None]}
    run = {**runs, "phases": ["Failed"], "attempts": [1], "started": [None], "reasons": ["x"], **result}
    heads = {"head_queues": [0], "head_limits": [5]}
    flow = {"queues": [0], "urgencies": [4], "lanes": [7], "after_due": ["-infinity"], "after_ids": [0], "limits": [5]}
    gap = {"queues": [0], "urgencies": [4], "after_lanes": [-(2**31) - 1], "before_lanes": [2**31]}
    return {
        "lease_work": Case({"limit": 5, "worker": "w", "ttl": LONG, **heads, **flow}, 1),
        "flows_between": Case({**gap, "limit": 5}, 1),
        "heartbeat": Case({"leases": [world.lease], "worker": "w", "ttl": LONG}, 1),
        "ended_runs": Case({"run_ids": [world.done, world.leased]}, 1),
        "fence": Case({"leases": [world.lease]}, 1),
        "lock_open_runs": Case({"run_ids": sorted([world.done, world.leased])}, 1),
        "committed_steps": Case({name: step[name] for name in ("run_ids", "seqs", "idxs")}, 0),
        "end_lockers": Case({"late": LONG}, 1),
        "wait_for_locks": Case({"milliseconds": 1}, 1),
        "prolong_locked": Case({"leases": [world.lease], "worker": "w", "ttl": LONG}, 1),
        "settle_steps": Case({**step, **times, **result, "tool_digests": [None]}, 1),
        "settle_runs": Case(run, 1),
        "drop_leases": Case({"leases": [world.lease]}, 1),
        "shrink_leases": Case({"leases": [world.lease], "items": [world.leased_item]}, 1),
        "delay_work": Case({**item, "delays": [LONG]}, 1),
        "requeue_work": Case({**item, "due": [world.scheduled_at]}, 1),
        "release_delayed": Case({"limit": 10}, 1),
        "take_expired_leases": Case({"limit": 10}, 1),
        "queue_figures": Case({}, 1),
        "vacuum_due_work": Case({}, -1),
        "vacuum_work_lease": Case({}, -1),
        "vacuum_outbox": Case({}, -1),
    }


def _worker_cases() -> dict[str, Case]:
    lives = {"name": "w", "lease": LONG, "draining": True}
    return {
        "queues_named": Case({"names": ["default", "other"]}, 1),
        "all_queues": Case({}, 1),
        "lock_queues": Case({}, 1),
        "make_queues": Case({"names": ["default", "a", "b", "c"], "namespaces": ["one"] * 4, "limit": 3, "each": 9}, 2),
        "announce_worker": Case({**lives, "queues": ["a"], "slots": 2, "version": "1", "age": LONG}, 1),
        "worker_lives": Case(lives, 1),
        "forget_worker": Case({"name": "w"}, 1),
        "forget_lost_workers": Case({"silent": 3600.0}, 1),
        "list_workers": Case({"after": "", "limit": 9}, 1),
        "runs_of_workers": Case({"namespace": "default", "workers": ["w"], "runs": 9}, 2),
        "worker_figures": Case({}, 1),
    }


def _why_cases(world: World, *, now: datetime) -> dict[str, Case]:
    flow = {"queue": 0, "urgency": 4, "lane": 0, "most": 9}
    place = {"namespace": "default", "urgency": 4, "created_at": now - LONG, "most": 9}
    return {
        "one_snapshot": Case({}, -1),
        "task_surroundings": Case({"task_id": world.briefing}, 1),
        "operator_is_connected": Case({}, 1),
        "runs_in_the_way": Case({"task_id": world.alone, "limit": 9}, 1),
        "how_runs_stand": Case({"run_ids": [world.leased, world.pending]}, 2),
        "workers_of_queue": Case({"queue": "default"}, 1),
        "run_in_question": Case({"namespace": "default", "run_id": world.leased}, 1),
        "steps_in_question": Case({"namespace": "default", "run_id": world.done, "revision": world.revision}, 1),
        "where_a_run_waits": Case({"run_id": world.delayed}, 1),
        "place_in_queue": Case(place | {"run_id": world.pending}, 1),
        "place_is_deep": Case(place, 1),
        "ahead_in_flow": Case(flow | {"due_at": now, "id": 99}, 1),
        "ahead_in_queue": Case(flow | {"own": 0, "flows": 9, "level": 60.0}, 1),
    }


async def test_every_statement_runs(pool: Pool) -> None:
    table = cases(await make_world(pool))

    assert sorted(table) == sorted(SQL)
    async with pool.connection() as connection:
        assert {name: await rows_of(connection, name, case.params) for name, case in table.items()} == {
            name: case.rows for name, case in table.items()
        }


async def rows_of(connection: Connection, name: str, params: dict[str, Any]) -> int | str:
    """Return how many rows a statement returns or changes, or what PostgreSQL has against it; nothing of it stays."""
    try:
        if name.startswith("vacuum_"):  # runs outside transactions only
            return (await connection.execute(SQL[name], params)).rowcount
        async with connection.transaction(force_rollback=True):
            return (await connection.execute(SQL[name], params)).rowcount
    except psycopg.Error as error:
        return str(error)


def modules(*packages: Any) -> Iterator[tuple[Path, ast.Module]]:
    """Yield the parsed modules of packages."""
    for package in packages:
        for path in sorted(Path(package.__file__).parent.rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def texts(module: ast.Module) -> set[str]:
    """Return the string constants of a module, without docstrings."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {ast.get_docstring(node, clean=False) for node in ast.walk(module) if isinstance(node, documented)}
    return {
        node.value for node in ast.walk(module) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    } - docstrings


def test_every_statement_is_used_by_the_store() -> None:
    named = {text for path, module in modules(ordinaut) if STORE in path.parents for text in texts(module)}

    assert sorted(SQL.keys() - named) == []


def test_statements_that_are_asked_for_exist() -> None:
    asked = {
        node.slice.value
        for _, module in modules(ordinaut)
        for node in ast.walk(module)
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == "SQL"
        and isinstance(node.slice, ast.Constant)
    }

    assert len(asked) > 50
    assert asked - SQL.keys() == set()


def test_only_the_store_knows_the_statements() -> None:
    outside = [
        str(path)
        for path, module in modules(*PACKAGES)
        if STORE not in path.parents
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom) and node.module == "ordinaut.store.queries"
    ]

    assert outside == []


STATEMENT = re.compile(
    r"\s*(SELECT\s|INSERT INTO\s|UPDATE\s+\S+\s+(\S+\s+)?SET\s|DELETE FROM\s|WITH\s+(RECURSIVE\s+)?\w+\s+AS\s"
    r"|VACUUM\s*\(|TRUNCATE\s|SET\s+TRANSACTION\s|(CREATE|ALTER|DROP)\s+(TABLE|INDEX|FUNCTION|VIEW|TYPE)\b)",
    re.IGNORECASE,
)


def test_python_holds_no_sql() -> None:
    everything = [(path.name, text) for path, module in modules(*PACKAGES) for text in texts(module)]

    assert [(name, text) for name, text in everything if STATEMENT.match(text)] == []


def test_what_looks_like_a_statement_is_recognised() -> None:
    assert [name for name, text in SQL.items() if not STATEMENT.match(text)] == []


def test_two_statements_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two statements are named twice"):
        parse("-- twice --\n-- One.\nSELECT 1;\n\n-- twice --\n-- Two.\nSELECT 2;\n")


def test_comments_are_left_out_of_a_statement() -> None:
    assert parse("-- name --\n-- What for.\nSELECT 1\n-- in between\n+ 1;\n") == {"name": "SELECT 1\n+ 1"}

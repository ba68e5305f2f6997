"""Reacting to events that match triggers: one run for each task and event, or the reason why there is none."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from prometheus_client import REGISTRY

from ordinaut.access.caller import Authority, Caller
from ordinaut.declaration.apply import remove
from ordinaut.errors import OrdinautError
from ordinaut.states import Origin
from ordinaut.store import declared, status
from ordinaut.store.pool import Pool
from ordinaut_operator.events.react import react
from ordinaut_operator.rights import NO_CHECKS, Rights
from ordinaut_operator.skips.series import Skipped
from tests.declaring import declare, pause, pipeline, resume, retry, run_now, snooze, task
from tests.integration.reacting import (
    LOG,
    MAIL,
    MAX_HOPS,
    close,
    fates,
    finish,
    gathered,
    happen,
    ledger,
    mail,
    matches_of,
    outbox,
    runs_of,
    told_of_run,
    triggered,
)

HOUR = timedelta(hours=1)
ADA = Caller(Authority.KUBERNETES, "ada")


async def now(pool: Pool) -> datetime:
    async with pool.connection() as connection:
        row = await (await connection.execute("SELECT now()")).fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment


async def waits(pool: Pool) -> list[datetime]:
    """Return until when delayed runs wait."""
    async with pool.connection() as connection:
        rows = await (await connection.execute("SELECT due_at FROM delayed_work ORDER BY id")).fetchall()
    return [row[0] for row in rows]


async def claimable(pool: Pool) -> int:
    async with pool.connection() as connection:
        row = await (await connection.execute("SELECT count(*) FROM due_work")).fetchone()
    assert row is not None
    return int(row[0])


# -- one run for each task and event ---------------------------------------------------------------------------------


async def test_an_event_makes_a_run_that_has_it_and_says_so(pool: Pool) -> None:
    await declare(pool, triggered(params={"who": "ann"}))
    event = mail("1", {"from": "bob"})

    done = await happen(pool, event)

    assert (done.fired, done.skipped, done.gathered) == (1, 0, 0)
    (run,) = await runs_of(pool)
    assert (run.trigger, run.event, run.hops, run.phase, run.params) == ("event", event, 1, "Pending", {"who": "ann"})
    assert [line[:2] for line in await ledger(pool)] == [("1", "Fired")]
    assert (await ledger(pool))[0].run_id == run.run_id
    (told,) = await outbox(pool, "run.created")
    assert told["run"] == str(run.run_id)
    assert told["data"] == {
        "trigger": "event",
        "topic": "mail.received",
        "event": "1",
        "source": "https://mail.example",
    }
    assert await claimable(pool) == 1


async def test_the_same_event_makes_no_second_run_and_another_of_the_same_id_does(pool: Pool) -> None:
    await declare(pool, triggered())
    await happen(pool, mail("1"), mail("1"))

    again = await happen(pool, mail("1"), mail("1", source="https://other.example"))

    assert again.fired == 1
    assert await fates(pool) == ["Fired", "Fired"]
    assert len(await runs_of(pool)) == 2


@pytest.mark.parametrize("policy", ["Allow", "Forbid", "Queue", "Replace"])
async def test_reactions_to_the_same_matches_at_once_make_each_run_once(pool: Pool, policy: str) -> None:
    for name in ("a", "b", "c"):
        await declare(pool, triggered(name, concurrencyPolicy=policy))
    async with pool.connection() as connection:
        found = await matches_of(connection, [mail(str(n)) for n in range(5)])

    async def once(order: Sequence[Any]) -> int:
        async with pool.connection() as connection, connection.transaction():
            return (await react(connection, order, rights=NO_CHECKS, max_hops=MAX_HOPS)).fired

    fired = await asyncio.gather(*(once(found) for _ in range(4)))

    per_task = 1 if policy == "Forbid" else 5
    assert sum(fired) == 3 * per_task
    for name in ("a", "b", "c"):
        lines = await ledger(pool, name)
        assert len(lines) == 5
        made = await runs_of(pool, name)
        assert {line.run_id for line in lines if line.outcome == "Fired"} == {run.run_id for run in made}
        assert len(made) == per_task


async def test_a_crash_before_the_commit_leaves_nothing_and_the_event_is_not_lost(pool: Pool) -> None:
    await declare(pool, triggered())
    async with pool.connection() as connection:
        found = await matches_of(connection, [mail("1")])
        async with connection.transaction(force_rollback=True):
            assert (await react(connection, found, rights=NO_CHECKS, max_hops=MAX_HOPS)).fired == 1
        assert await ledger(pool) == []

        async with connection.transaction():
            await react(connection, found, rights=NO_CHECKS, max_hops=MAX_HOPS)

    assert await fates(pool) == ["Fired"]


async def test_many_matches_need_no_more_statements_than_one(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        await declare(pool, triggered(name, concurrencyPolicy="Queue"))
    asked: list[object] = []
    execute = psycopg.AsyncCursor.execute

    async def counted(self: Any, query: Any, *arguments: Any, **more: Any) -> Any:
        asked.append(query)
        return await execute(self, query, *arguments, **more)

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", counted)
    counts = []
    async with pool.connection() as connection:
        for count in (2, 200):
            found = await matches_of(connection, [mail(f"{count}-{n}") for n in range(count)])
            asked.clear()
            async with connection.transaction():
                await react(connection, found, rights=NO_CHECKS, max_hops=MAX_HOPS)
            counts.append(len(asked))

    assert 5 < counts[1] <= counts[0] < 20
    assert len(await fates(pool, "a")) == 202


async def test_the_event_is_stored_with_each_of_many_runs(pool: Pool) -> None:
    for n in range(30):
        await declare(pool, triggered(f"t{n}"))

    await happen(pool, mail("1", {"n": 1}), mail("2", {"n": 2}))

    for n in (0, 29):
        assert [run.event["data"]["n"] for run in await runs_of(pool, f"t{n}")] == [1, 2]


# -- reasons why there is none ---------------------------------------------------------------------------------------


async def test_a_suspended_task_skips_events(pool: Pool) -> None:
    await declare(pool, triggered(suspend=True))

    await happen(pool, mail("1"))

    assert await fates(pool) == ["Suspended"]
    assert await runs_of(pool) == []


async def test_a_paused_task_skips_events_until_it_is_resumed(pool: Pool) -> None:
    await declare(pool, triggered())
    await pause(pool, "t")
    await happen(pool, mail("1"))
    await resume(pool, "t")

    await happen(pool, mail("2"))

    assert await fates(pool) == ["Paused", "Fired"]


async def test_an_event_that_is_found_too_late_is_skipped(pool: Pool) -> None:
    await declare(pool, triggered(startingDeadlineSeconds=60))

    await happen(pool, mail("1"), ago=timedelta(seconds=61))
    await happen(pool, mail("2"), ago=timedelta(seconds=30))

    assert await fates(pool) == ["DeadlineExceeded", "Fired"]


async def test_a_task_that_is_not_ready_says_why_in_the_ledger(pool: Pool) -> None:
    await declare(pool, task("t", triggers=[MAIL], pipelineRef={"name": "missing"}))

    await happen(pool, mail("1"))

    (line,) = await ledger(pool)
    assert line.reason == "NotReady"
    assert line.message is not None
    assert line.message.startswith("PipelineNotFound: spec.pipelineRef.name: there is no Pipeline default/missing")


async def test_a_filter_that_fails_is_told_within_bounds(pool: Pool) -> None:
    await declare(pool, triggered("t", MAIL))
    async with pool.connection() as connection, connection.transaction():
        (match,) = await matches_of(connection, [mail("1")])
        wrong = type(match)(match.task_id, match.trigger, match.event, match.key, 1, 0, match.created_at, "ä" * 2000)
        await react(connection, [wrong], rights=NO_CHECKS, max_hops=MAX_HOPS)

    (line,) = await ledger(pool)
    assert (line.reason, (line.message or "")[-2:]) == ("InvalidFilter", "ä…")
    assert len((line.message or "").encode()) <= 1024


async def test_a_deleted_task_reacts_to_nothing(pool: Pool) -> None:
    await declare(pool, triggered())
    async with pool.connection() as connection:
        found = await matches_of(connection, [mail("1")])
        gone = await declared.incarnations(connection, origin=Origin.API)
    await remove(pool, gone, origin=Origin.API)

    async with pool.connection() as connection, connection.transaction():
        assert await react(connection, found, rights=NO_CHECKS, max_hops=MAX_HOPS) is not None

    assert await ledger(pool) == []
    assert await runs_of(pool) == []


# -- concurrencyPolicy -----------------------------------------------------------------------------------------------


async def test_forbid_skips_events_while_a_run_is_active(pool: Pool) -> None:
    await declare(pool, triggered(concurrencyPolicy="Forbid"))
    await happen(pool, mail("1"), mail("2"))
    await happen(pool, mail("3"))
    await finish(pool, (await runs_of(pool))[0].run_id)

    await happen(pool, mail("4"))

    assert await fates(pool) == ["Fired", "StillRunning", "StillRunning", "Fired"]


async def test_queue_lets_runs_wait_in_the_order_of_the_log(pool: Pool) -> None:
    await declare(pool, triggered(concurrencyPolicy="Queue"))

    await happen(pool, mail("1"), mail("2"), mail("3"))

    waiting = [(run.event["id"], run.phase, run.reason) for run in await runs_of(pool)]
    assert waiting == [("1", "Pending", None), ("2", "Waiting", "Turn"), ("3", "Waiting", "Turn")]
    await finish(pool, (await runs_of(pool))[0].run_id)
    assert await claimable(pool) == 2  # that of the ended run is dropped when it is come upon


async def test_queue_says_when_it_is_full(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ordinaut_operator.verdict.MAX_WAITING", 2)
    await declare(pool, triggered(concurrencyPolicy="Queue"))

    await happen(pool, *(mail(str(n)) for n in range(5)))

    assert await fates(pool) == ["Fired"] * 3 + ["QueueFull"] * 2


async def test_replace_leaves_the_run_of_the_newest_event(pool: Pool) -> None:
    await declare(pool, triggered(concurrencyPolicy="Replace"))
    await happen(pool, mail("1"))

    await happen(pool, mail("2"), mail("3"))

    ended = [(run.event["id"], run.phase, run.reason) for run in await runs_of(pool)]
    assert ended == [("1", "Cancelled", "Replaced"), ("2", "Cancelled", "Replaced"), ("3", "Pending", None)]


# -- params ----------------------------------------------------------------------------------------------------------


async def test_params_of_the_trigger_override_those_of_the_task_and_get_the_schemas_defaults(pool: Pool) -> None:
    schema = {
        "type": "object",
        "properties": {"mail": {"type": "object", "properties": {"seen": {"default": False}}}, "n": {"default": 7}},
    }
    trigger = MAIL | {"params": {"mail": {"from": "${event.data.from}"}, "b": "x-${event.id}"}}
    await declare(
        pool,
        pipeline("p", LOG, params=schema),
        task("t", triggers=[trigger], pipelineRef={"name": "p"}, params={"a": 1, "b": 2}),
    )

    await happen(pool, mail("1", {"from": "bob"}))

    (run,) = await runs_of(pool)
    assert run.params == {"a": 1, "b": "x-1", "n": 7, "mail": {"from": "bob", "seen": False}}


@pytest.mark.parametrize(
    ("params", "data", "says"),
    [
        ({"n": "${event.data.n}"}, {"n": "text"}, "params.n"),
        ({"n": "${event.data.n}"}, {"n": None}, "params.n"),
        ({"n": "${sum(event.data.list)}"}, {"list": "x"}, "sum"),
    ],
)
async def test_params_that_can_not_be_used_are_told(pool: Pool, params: Any, data: Any, says: str) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    await declare(
        pool,
        pipeline("p", LOG, params=schema),
        task("t", triggers=[MAIL | {"params": params}], pipelineRef={"name": "p"}, params={"n": 1}),
    )

    await happen(pool, mail("1", data), mail("2", {"n": 5, "list": [2, 3]}))

    wrong, right = await ledger(pool)
    assert (wrong.reason, right.outcome) == ("InvalidParams", "Fired")
    assert says in (wrong.message or "")
    assert [run.params for run in await runs_of(pool)] == [{"n": 5}]


async def test_concurrency_keys_are_those_of_the_events_params(pool: Pool) -> None:
    await declare(
        pool,
        triggered(
            "t",
            MAIL | {"params": {"to": "${event.data.to}"}},
            params={"to": "nobody"},
            concurrency=[{"key": "to-${params.to}"}],
        ),
    )

    await happen(pool, mail("1", {"to": "ann"}), mail("2", {"to": "bob"}))

    async with pool.connection() as connection:
        rows = await (await connection.execute("SELECT keys -> 0 ->> 'key' FROM keyed_work ORDER BY id")).fetchall()
    assert [row[0] for row in rows] == ["to-ann", "to-bob"]
    assert [run.reason for run in await runs_of(pool)] == ["ConcurrencyKey"] * 2


# -- later -----------------------------------------------------------------------------------------------------------


async def test_jitter_delays_the_run_by_the_same_time_for_the_same_event(pool: Pool) -> None:
    await declare(pool, triggered("a", jitter="1h"), triggered("b", jitter="1h"))
    before = await now(pool)

    await happen(pool, mail("1"))

    (one,), (two,) = await runs_of(pool, "a"), await runs_of(pool, "b")
    assert (one.phase, one.reason) == ("Waiting", "Jitter")
    first, second = await waits(pool)
    assert first != second
    assert before <= min(first, second)
    assert max(first, second) <= await now(pool) + HOUR
    assert two.phase == "Waiting"


async def test_a_snooze_holds_the_run_back_and_ending_it_lets_it_start(pool: Pool) -> None:
    await declare(pool, triggered())
    until = (await now(pool)).replace(microsecond=0) + HOUR
    await snooze(pool, "t", until)

    await happen(pool, mail("1"))

    (run,) = await runs_of(pool)
    assert (run.phase, run.reason) == ("Waiting", "Snooze")
    assert await waits(pool) == [until]
    later = until + HOUR
    await snooze(pool, "t", later)
    assert await waits(pool) == [later]
    await resume(pool, "t")
    assert (await waits(pool))[0] <= await now(pool)


async def test_ending_a_snooze_while_a_run_is_being_made_lets_it_start_too(pool: Pool) -> None:
    await declare(pool, triggered())
    await snooze(pool, "t", await now(pool) + HOUR)
    async with pool.connection() as connection:
        found = await matches_of(connection, [mail("1")])
        async with connection.transaction():
            await react(connection, found, rights=NO_CHECKS, max_hops=MAX_HOPS)
            ending = asyncio.create_task(resume(pool, "t"))
            async with pool.connection() as other, asyncio.timeout(30):
                waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                while (await other.execute(waiting)).rowcount == 0:
                    await asyncio.sleep(0.01)
        await ending

    assert (await waits(pool))[0] <= await now(pool)


async def test_what_waits_for_its_turn_in_a_snooze_starts_with_its_end_too(pool: Pool) -> None:
    await declare(pool, triggered(concurrencyPolicy="Queue"))
    await snooze(pool, "t", await now(pool) + HOUR)
    await happen(pool, mail("1"), mail("2"))

    await resume(pool, "t")

    async with pool.connection() as connection:
        row = await (
            await connection.execute(
                "SELECT (SELECT count(*) FROM delayed_work WHERE due_at <= now()),"
                " (SELECT count(*) FROM queued_work WHERE due_at <= now())"
            )
        ).fetchone()
    assert row == (1, 1)


async def test_a_retry_of_a_run_keeps_its_event_and_its_hops(pool: Pool) -> None:
    await declare(pool, triggered())
    await happen(pool, mail("1"))
    (run,) = await runs_of(pool)
    await finish(pool, run.run_id)

    await retry(pool, run_id=run.run_id)

    again = (await runs_of(pool))[-1]
    assert (again.trigger, again.event, again.hops, again.retry_of) == ("retry", run.event, 1, run.run_id)


# -- hops ------------------------------------------------------------------------------------------------------------


async def test_tasks_that_set_each_other_off_come_to_an_end(pool: Pool) -> None:
    await declare(
        pool,
        triggered("a", {"topic": "run.failed"}),
        triggered("b", {"topic": "run.failed"}),
    )
    first = await run_now(pool, namespace="default", name="a")
    await happen(pool, told_of_run("run.failed", first, "0"), max_hops=3)
    for n in range(1, 9):
        # Whatever was made fails, and both are told.
        made = await runs_of(pool, None)
        newest = [run for run in made if run.hops == n]
        for place, run in enumerate(newest):
            await happen(pool, told_of_run("run.failed", run.run_id, f"{n}-{place}"), max_hops=3)

    made = await runs_of(pool, None)
    assert max(run.hops for run in made) == 3
    assert len([run for run in made if run.hops == 3]) == 8
    assert (await fates(pool, "a")).count("HopLimit") == 8
    told = await outbox(pool, "task.skipped")
    assert {one["data"]["hops"] for one in told} == {4}
    assert {one["data"]["reason"] for one in told} == {"HopLimit"}


async def test_a_published_event_says_which_run_caused_it(pool: Pool) -> None:
    await declare(pool, triggered())
    await happen(pool, mail("1"))
    (first,) = await runs_of(pool)

    await happen(
        pool,
        mail("2", ordinautrun=str(first.run_id)),
        mail("3", ordinautrun="019ab0d2-7c1e-7cc3-98c4-dc0c0c07398f"),
        mail("4", ordinautrun="nonsense"),
        mail("5", ordinautrun=7),
    )

    assert [run.hops for run in await runs_of(pool)] == [1, 2, 1, 1, 1]


async def test_runs_of_other_namespaces_count_for_nothing(pool: Pool) -> None:
    await declare(pool, triggered())
    await happen(pool, mail("1"))
    (first,) = await runs_of(pool)
    async with pool.connection() as connection:
        await connection.execute("UPDATE run SET namespace = 'other', hops = 7")

    await happen(pool, mail("2", ordinautrun=str(first.run_id)))

    assert [run.hops for run in await runs_of(pool)] == [1]


async def test_skipping_what_tells_of_skipped_events_is_told_no_further(pool: Pool) -> None:
    await declare(pool, triggered("t", {"topic": "task.skipped"}, MAIL, suspend=True))
    await happen(pool, mail("1"))
    (told,) = await outbox(pool, "task.skipped")
    assert told["data"] == {
        "reason": "Suspended",
        "count": 1,
        "firstTime": told["data"]["firstTime"],
        "lastTime": told["data"]["firstTime"],
        "trigger": "event",
        "hops": 1,
    }

    data = {"namespace": "default", "task": "t", **told["data"]}
    await happen(pool, mail("9-0", data, source="/ordinaut/namespaces/default", type="io.ordinaut.task.skipped"))

    assert await fates(pool) == ["Suspended", "Suspended"]
    assert len(await outbox(pool, "task.skipped")) == 1


async def test_runs_that_skips_set_off_go_on_counting(pool: Pool) -> None:
    await declare(pool, triggered("t", {"topic": "task.skipped"}))
    skipped = {"source": "/ordinaut/namespaces/default", "type": "io.ordinaut.task.skipped"}

    await happen(pool, mail("1", {"hops": 3}, **skipped), mail("2", {"reason": "Coalesced"}, **skipped))

    assert [run.hops for run in await runs_of(pool)] == [4, 1]


# -- rights ----------------------------------------------------------------------------------------------------------


class Cluster:
    """An API server that knows who may run tasks, or is away."""

    def __init__(self) -> None:
        self.allowed = True
        self.silent = False
        self.now = 1000.0
        self.rights = Rights([Authority.KUBERNETES], review=self.review, clock=lambda: self.now)

    async def review(self, _: Caller, __: str) -> bool:
        if self.silent:
            raise OrdinautError("the API server does not answer")
        return self.allowed

    async def answer(self) -> None:
        """Answer what is asked."""
        answered = asyncio.Event()
        asking = asyncio.create_task(self.rights.run(answered=answered.set))
        try:
            await asyncio.wait_for(answered.wait(), 30)
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)


async def unauthorized_at(pool: Pool) -> datetime | None:
    async with pool.connection() as connection:
        row = await status.task_named(connection, namespace="default", name="t")
    assert row is not None
    return row.unauthorized_at


async def test_events_wait_until_it_is_known_whether_the_creator_may_run_the_task(pool: Pool) -> None:
    cluster = Cluster()
    await declare(pool, triggered(), by=ADA)

    done = await happen(pool, mail("1"), mail("2"), rights=cluster.rights)

    assert (done.fired, done.gathered) == (0, 2)
    assert await fates(pool) == ["Gathered", "Gathered"]
    assert (await close(pool, rights=cluster.rights)).reactions.fired == 0
    await cluster.answer()
    # What comes later does not overtake them.
    assert (await happen(pool, mail("3"), rights=cluster.rights)).gathered == 1
    assert (await close(pool, rights=cluster.rights)).reactions.fired == 3
    assert [run.event["id"] for run in await runs_of(pool)] == ["1", "2", "3"]
    assert await fates(pool) == ["Fired"] * 3
    assert await gathered(pool) == []
    assert (await happen(pool, mail("4"), rights=cluster.rights)).fired == 1


async def test_other_tasks_do_not_wait_for_an_api_server_that_is_away(pool: Pool) -> None:
    cluster = Cluster()
    cluster.silent = True
    await declare(pool, triggered("hers"), by=ADA)
    await declare(pool, triggered("nobodys"))

    done = await happen(pool, mail("1"), rights=cluster.rights)

    assert (done.fired, done.gathered) == (1, 1)
    assert await fates(pool, "nobodys") == ["Fired"]


async def test_a_creator_without_the_right_has_events_skipped_and_the_task_says_so(pool: Pool) -> None:
    cluster = Cluster()
    cluster.allowed = False
    await declare(pool, triggered(), by=ADA)
    await happen(pool, mail("1"), rights=cluster.rights)
    await cluster.answer()

    await close(pool, rights=cluster.rights)

    assert await fates(pool) == ["Unauthorized"]
    assert await unauthorized_at(pool) is not None
    cluster.allowed = True
    cluster.now += 11
    await happen(pool, mail("2"), rights=cluster.rights)
    await cluster.answer()
    await close(pool, rights=cluster.rights)
    assert await fates(pool) == ["Unauthorized", "Fired"]
    assert await unauthorized_at(pool) is None


# -- telling ---------------------------------------------------------------------------------------------------------


async def test_outcomes_are_counted_once_they_are_committed(pool: Pool) -> None:
    def count(outcome: str) -> float:
        return REGISTRY.get_sample_value("ordinaut_event_fires_total", {"outcome": outcome}) or 0.0

    before = {outcome: count(outcome) for outcome in ("Fired", "StillRunning", "Gathered")}
    lags = REGISTRY.get_sample_value("ordinaut_event_fire_lag_seconds_count") or 0.0
    await declare(pool, triggered(concurrencyPolicy="Forbid"))

    await happen(pool, mail("1"), mail("2"), mail("3"))

    assert {outcome: count(outcome) - was for outcome, was in before.items()} == {
        "Fired": 1,
        "StillRunning": 2,
        "Gathered": 0,
    }
    assert REGISTRY.get_sample_value("ordinaut_event_fire_lag_seconds_count") == lags + 1


async def test_what_was_skipped_is_told_for_each_task_and_reason(pool: Pool) -> None:
    heard: list[Skipped] = []
    await declare(pool, triggered("a", suspend=True), triggered("b"))
    await declare(pool, triggered("c", suspend=True), by=Caller(Authority.TOKENS, "eve"))

    await happen(pool, mail("1"), mail("2"), told=heard.extend)

    assert [(one.name, one.reason, one.count, one.of_events) for one in heard] == [("a", "Suspended", 2, True)]
    told = {one["task"]: one["data"]["count"] for one in await outbox(pool, "task.skipped")}
    assert told == {"a": 2, "c": 2}

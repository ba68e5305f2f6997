"""Batches and debounce: events that wait for others, and what comes of them when their time is over."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from ordinaut.declaration.apply import remove
from ordinaut.states import Origin
from ordinaut.store import declared
from ordinaut.store.pool import Pool
from ordinaut_operator.events import bundles, gather, telling
from ordinaut_operator.events.gather import Closer, close_due
from ordinaut_operator.events.react import react
from ordinaut_operator.rights import NO_CHECKS
from tests.declaring import declare, pause
from tests.integration.reacting import (
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
    pass_time,
    runs_of,
    triggered,
)

MINUTE = timedelta(minutes=1)
THREE = MAIL | {"batch": {"maxSize": 3, "timeout": "1m"}}
QUIET = MAIL | {"debounce": "1m"}


def mails(first: int, last: int) -> list[dict[str, Any]]:
    return [mail(str(number)) for number in range(first, last + 1)]


async def in_runs(pool: Pool, name: str = "t") -> list[list[str]]:
    """Return the ids of the events of each run of a batch."""
    return [[event["id"] for event in run.event] for run in await runs_of(pool, name)]


# -- batches ---------------------------------------------------------------------------------------------------------


async def test_a_batch_is_closed_at_once_when_it_is_full_and_its_run_has_all_events(pool: Pool) -> None:
    await declare(pool, triggered("t", THREE | {"params": {"n": "${length(events)}", "last": "${event.id}"}}))

    assert (await happen(pool, *mails(1, 2))).gathered == 2
    assert await fates(pool) == ["Gathered", "Gathered"]
    assert await gathered(pool) == [(2, 2)]

    # The batch that waits is filled, another one is full by itself, and what is left over waits.
    done = await happen(pool, *mails(3, 8))

    assert (done.fired, done.gathered) == (6, 2)
    assert await in_runs(pool) == [["1", "2", "3"], ["4", "5", "6"]]
    first, second = await runs_of(pool)
    assert [run.params for run in (first, second)] == [{"n": 3, "last": "3"}, {"n": 3, "last": "6"}]
    assert await fates(pool) == ["Fired"] * 6 + ["Gathered"] * 2
    assert [line.run_id for line in await ledger(pool)][:6] == [first.run_id] * 3 + [second.run_id] * 3
    assert await gathered(pool) == [(2, 2)]
    assert [one["data"]["count"] for one in await outbox(pool, "run.created")] == [3, 3]


async def test_a_batch_is_closed_when_its_time_is_over(pool: Pool) -> None:
    await declare(pool, triggered("t", THREE))
    await happen(pool, *mails(1, 2))

    closed = await close(pool)
    assert closed.reactions.fired == 0
    assert closed.next_due is not None
    assert 0 < closed.next_due <= 60

    await pass_time(pool, MINUTE)
    closed = await close(pool)

    assert (closed.reactions.fired, closed.next_due) == (2, None)
    assert await in_runs(pool) == [["1", "2"]]
    assert await fates(pool) == ["Fired", "Fired"]
    assert await gathered(pool) == []
    assert (await close(pool)).reactions.fired == 0


async def test_the_time_of_a_batch_counts_from_its_first_event(pool: Pool) -> None:
    await declare(pool, triggered("t", THREE))
    await happen(pool, mail("1"))
    await pass_time(pool, MINUTE - timedelta(seconds=10))

    await happen(pool, mail("2"))

    assert 0 < ((await close(pool)).next_due or 0) <= 10


async def test_a_batch_is_closed_when_its_events_are_large(pool: Pool) -> None:
    await declare(pool, triggered("t", MAIL | {"batch": {"maxSize": 1000, "timeout": "1h"}}))
    large = {"text": "x" * 60_000}
    for first in range(0, 8, 2):
        await happen(pool, *(mail(str(number), large) for number in range(first, first + 2)))

    (run,) = await runs_of(pool)
    assert len(run.event) == -(-bundles.MAX_BYTES // 60_000)
    assert await gathered(pool) == [(8 - len(run.event), 8 - len(run.event))]


async def test_many_events_of_one_moment_make_as_many_batches_as_they_fill(pool: Pool) -> None:
    await declare(pool, triggered("t", THREE))

    done = await happen(pool, *mails(1, 100))

    assert (done.fired, done.gathered) == (99, 1)
    assert await in_runs(pool) == [[str(n), str(n + 1), str(n + 2)] for n in range(1, 100, 3)]


async def test_batches_obey_the_policy_of_their_task(pool: Pool) -> None:
    await declare(pool, triggered("t", THREE, concurrencyPolicy="Forbid"))
    await happen(pool, *mails(1, 6))
    assert await fates(pool) == ["Fired"] * 3 + ["StillRunning"] * 3
    await finish(pool, (await runs_of(pool))[0].run_id)

    await happen(pool, *mails(7, 8))
    await pass_time(pool, MINUTE)
    await close(pool)

    assert await fates(pool) == ["Fired"] * 3 + ["StillRunning"] * 3 + ["Fired"] * 2


async def test_what_is_decided_is_decided_when_the_time_is_over(pool: Pool) -> None:
    await declare(pool, triggered("t", THREE))
    await happen(pool, mail("1"))
    await pause(pool, "t")
    assert await fates(pool) == ["Gathered"]
    await pass_time(pool, MINUTE)

    closed = await close(pool)

    assert closed.reactions.skipped == 1
    assert await fates(pool) == ["Paused"]
    assert await gathered(pool) == []


async def test_the_deadline_of_a_batch_counts_from_when_it_was_due(pool: Pool) -> None:
    slow = MAIL | {"batch": {"maxSize": 9, "timeout": "1h"}}
    await declare(pool, triggered("a", slow, startingDeadlineSeconds=60))
    await declare(pool, triggered("b", slow, startingDeadlineSeconds=60))
    await happen(pool, mail("1"), ago=timedelta(hours=2))
    await pass_time(pool, timedelta(hours=1, seconds=30))
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE gathering SET due_at = due_at - interval '1 min'"
            " WHERE task_id = (SELECT task_id FROM task WHERE name = 'b')"
        )

    await close(pool)

    assert (await fates(pool, "a"), await fates(pool, "b")) == (["Fired"], ["DeadlineExceeded"])


async def test_the_run_of_a_batch_has_the_most_hops_of_its_events(pool: Pool) -> None:
    await declare(pool, triggered("t", THREE), triggered("cause"))
    await happen(pool, mail("0"))
    (cause,) = await runs_of(pool, "cause")

    await happen(pool, mail("1", ordinautrun=str(cause.run_id)), mail("2"))

    assert [run.hops for run in await runs_of(pool)] == [2]


async def test_events_beyond_the_hop_limit_wait_for_nobody(pool: Pool) -> None:
    await declare(pool, triggered("t", THREE), triggered("cause"))
    await happen(pool, mail("0"))
    (cause,) = await runs_of(pool, "cause")

    await happen(pool, mail("1", ordinautrun=str(cause.run_id)), max_hops=1)

    assert await fates(pool) == ["Gathered", "HopLimit"]


# -- debounce --------------------------------------------------------------------------------------------------------


async def test_a_debounced_trigger_runs_with_the_last_event_when_no_other_has_come(pool: Pool) -> None:
    await declare(pool, triggered("t", QUIET))
    await happen(pool, *mails(1, 3))
    assert await fates(pool) == ["Debounced", "Debounced", "Gathered"]
    await happen(pool, mail("4"))
    assert await fates(pool) == ["Debounced"] * 3 + ["Gathered"]
    assert await gathered(pool) == [(1, 1)]

    assert (await close(pool)).reactions.fired == 0
    await pass_time(pool, MINUTE)
    await close(pool)

    (run,) = await runs_of(pool)
    assert run.event["id"] == "4"
    assert await fates(pool) == ["Debounced"] * 3 + ["Fired"]
    assert await gathered(pool) == []
    # It was meant to: nobody is told.
    assert await outbox(pool, "task.skipped") == []


async def test_each_further_event_lets_a_debounced_trigger_wait_on_but_not_for_ever(pool: Pool) -> None:
    await declare(pool, triggered("t", QUIET))
    await happen(pool, mail("1"))
    await pass_time(pool, timedelta(seconds=50))
    await happen(pool, mail("2"))
    assert 50 < ((await close(pool)).next_due or 0) <= 60

    await pass_time(pool, timedelta(minutes=8, seconds=50))
    await happen(pool, mail("3"))

    assert 0 < ((await close(pool)).next_due or 0) <= 20


# -- edits -----------------------------------------------------------------------------------------------------------


async def test_what_was_gathered_for_a_deleted_task_is_given_up(pool: Pool) -> None:
    await declare(pool, triggered("t", THREE))
    await happen(pool, mail("1"))
    async with pool.connection() as connection:
        gone = await declared.incarnations(connection, origin=Origin.API)
    await remove(pool, gone, origin=Origin.API)
    await pass_time(pool, MINUTE)

    await close(pool)

    (line,) = await ledger(pool)
    assert (line.outcome, line.reason, line.message) == ("Skipped", "NotReady", gather.TASK_GONE)
    assert await gathered(pool) == []


async def test_what_was_gathered_for_a_trigger_that_is_gone_is_given_up(pool: Pool) -> None:
    await declare(pool, triggered("t", {"topic": "other"}, THREE))
    await happen(pool, mail("1"))
    await declare(pool, triggered("t", {"topic": "other"}))
    await pass_time(pool, MINUTE)

    await close(pool)

    (line,) = await ledger(pool)
    assert (line.outcome, line.reason, line.message) == ("Skipped", "NotReady", gather.TRIGGER_GONE)
    assert await gathered(pool) == []


async def test_an_edited_trigger_goes_on_with_its_new_settings(pool: Pool) -> None:
    for name in ("smaller", "plain", "quiet"):
        await declare(pool, triggered(name, MAIL | {"batch": {"maxSize": 9, "timeout": "1m"}}))
    await happen(pool, *mails(1, 5))

    await declare(pool, triggered("smaller", MAIL | {"batch": {"maxSize": 2, "timeout": "1m"}}))
    await declare(pool, triggered("plain", MAIL))
    await declare(pool, triggered("quiet", QUIET))
    await happen(pool, mail("6"))
    await pass_time(pool, timedelta(minutes=2))
    await close(pool)

    assert await in_runs(pool, "smaller") == [["1", "2"], ["3", "4"], ["5", "6"]]
    assert [run.event["id"] for run in await runs_of(pool, "plain")] == ["1", "2", "3", "4", "5", "6"]
    assert [run.event["id"] for run in await runs_of(pool, "quiet")] == ["6"]
    assert await fates(pool, "quiet") == ["Debounced"] * 5 + ["Fired"]
    assert await gathered(pool) == []


# -- any number of operators -----------------------------------------------------------------------------------------


async def test_operators_that_gather_and_close_at_once_lose_and_double_nothing(pool: Pool) -> None:
    for name in "abc":
        await declare(pool, triggered(name, THREE))

    async def gather_all(first: int) -> None:
        async with pool.connection() as connection:
            found = await matches_of(connection, mails(first, first + 9))
            async with connection.transaction():
                done = await react(connection, found, rights=NO_CHECKS, max_hops=MAX_HOPS)
            telling.tell(done)

    async def close_all() -> None:
        await pass_time(pool, MINUTE)
        await close_due(pool, max_hops=MAX_HOPS)

    # Each event comes to two of them.
    await asyncio.gather(*(gather_all(first) for first in (0, 5, 10, 5)), close_all(), close_all())
    await pass_time(pool, MINUTE)
    await asyncio.gather(close_all(), close_all(), close_all())

    for name in "abc":
        in_all = [event for run in await in_runs(pool, name) for event in run]
        assert sorted(in_all, key=int) == [str(number) for number in range(20)]
        assert await fates(pool, name) == ["Fired"] * 20
    assert await gathered(pool) == []


async def test_a_crash_while_a_batch_is_closed_loses_and_doubles_nothing(pool: Pool, monkeypatch: Any) -> None:
    await declare(pool, triggered("t", THREE, concurrencyPolicy="Replace"))
    await happen(pool, *mails(1, 2))
    await pass_time(pool, MINUTE)

    async def crash(*_: object, **__: object) -> None:
        raise RuntimeError("the power is gone")

    with monkeypatch.context() as patched:
        patched.setattr("ordinaut_operator.events.carrying.replace_active", crash)
        with pytest.raises(RuntimeError):
            await close(pool)
    assert await fates(pool) == ["Gathered", "Gathered"]
    assert await gathered(pool) == [(2, 2)]
    assert await runs_of(pool) == []

    await close(pool)

    assert await in_runs(pool) == [["1", "2"]]


async def test_a_long_gathering_is_closed_in_parts(pool: Pool, monkeypatch: Any) -> None:
    monkeypatch.setattr("ordinaut.store.reactions.READ_AT_ONCE", 4)
    await declare(pool, triggered("t", MAIL | {"batch": {"maxSize": 100, "timeout": "1m"}}))
    await happen(pool, *mails(1, 10))
    await declare(pool, triggered("t", THREE))
    await pass_time(pool, MINUTE)

    await close(pool)

    assert await in_runs(pool) == [["1", "2", "3"], ["4", "5", "6"], ["7", "8", "9"], ["10"]]
    assert await gathered(pool) == []


async def test_what_many_tasks_have_gathered_is_read_in_parts(pool: Pool, monkeypatch: Any) -> None:
    monkeypatch.setattr("ordinaut_operator.events.react.MAX_BYTES", 1)
    monkeypatch.setattr("ordinaut_operator.events.gather.MAX_BYTES", 1)
    for name in "abc":
        await declare(pool, triggered(name, THREE, concurrencyPolicy="Queue"))
    await happen(pool, *mails(1, 2))

    done = await happen(pool, *mails(3, 4))
    assert (done.fired, done.gathered) == (9, 3)
    await pass_time(pool, MINUTE)
    await close(pool)

    for name in "abc":
        assert await in_runs(pool, name) == [["1", "2", "3"], ["4"]]
    assert await gathered(pool) == []


async def test_counts_that_are_wrong_keep_nobody_waiting(pool: Pool) -> None:
    await declare(pool, triggered("t", THREE))
    await happen(pool, *mails(1, 2))
    async with pool.connection() as connection:
        await connection.execute("DELETE FROM gathered_event WHERE place = 0 AND event ->> 'id' = '1'")
    await pass_time(pool, MINUTE)

    await asyncio.wait_for(close(pool), 60)

    assert await in_runs(pool) == [["2"]]
    assert await gathered(pool) == []


async def test_the_closer_wakes_when_something_is_due(pool: Pool) -> None:
    await declare(pool, triggered("t", THREE))
    closer = Closer(pool, max_hops=MAX_HOPS)
    following = asyncio.create_task(closer.follow())
    try:
        await happen(pool, mail("1"))
        await pass_time(pool, MINUTE)
        closer.wake()
        async with asyncio.timeout(60):
            while await fates(pool) != ["Fired"]:
                await asyncio.sleep(0.02)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

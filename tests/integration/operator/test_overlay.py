"""Pausing, snoozing and resuming: what fires, what does not, and that nobody's spec is touched."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import pytest

from ordinaut.declaration import standing
from ordinaut.errors import Invalid, NotFound
from ordinaut.states import Origin
from ordinaut.store import status
from ordinaut.store.pool import Pool
from ordinaut.store.status import Fire, TaskRow
from ordinaut_operator import fire, janitor
from tests.declaring import declare, pause, resume, run_now, snooze, task
from tests.relaying import in_outbox

pytestmark = pytest.mark.usefixtures("early_in_a_minute")

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
MINUTELY = {"cron": "* * * * *"}
DAILY = {"cron": "0 3 * * *"}
HOUR = timedelta(hours=1)

Change = Callable[[Pool, str], Any]


async def row(pool: Pool, name: str = "t") -> TaskRow:
    async with pool.connection() as connection:
        return await status.task_named(connection, namespace="default", name=name)


async def ledger(pool: Pool, name: str = "t") -> list[Fire]:
    """Return a task's ledger, oldest first."""
    async with pool.connection() as connection:
        return (await status.fires(connection, namespace="default", name=name, limit=1000))[::-1]


async def told(pool: Pool) -> list[dict[str, Any]]:
    async with pool.connection() as connection:
        return await in_outbox(connection)


async def go_back(pool: Pool, ago: timedelta) -> None:
    """Let all that was decided and written of tasks so far have happened some time earlier."""
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE task_clock SET evaluated_at = evaluated_at - %(ago)s, next_fire_at = next_fire_at - %(ago)s",
            {"ago": ago},
        )
        await connection.execute("UPDATE task SET snoozed_until = snoozed_until - %s", [ago])


async def snoozed_task(pool: Pool, **spec: Any) -> None:
    """Declare a minutely task whose snooze held back five times, and was over in the last whole minute."""
    await declare(pool, task("t", LOG, schedules=[MINUTELY], **spec))
    await snooze(pool, "t", (await row(pool)).now + HOUR)
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("UPDATE task SET snoozed_until = date_trunc('minute', now())")
        await connection.execute(
            "UPDATE task_clock SET evaluated_at = date_trunc('minute', now()) - interval '299 s',"
            " next_fire_at = date_trunc('minute', now())"
        )


async def test_a_paused_task_does_not_fire_and_starts_anew_when_it_is_resumed(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[MINUTELY]))
    await pause(pool, "t", by="kubernetes:ada")
    paused = await row(pool)
    assert (paused.next_fire_at, paused.paused_by) == (None, "kubernetes:ada")
    assert standing.task_phase(paused) == "Paused"
    async with pool.connection() as connection:
        await connection.execute("UPDATE task_clock SET evaluated_at = now() - interval '9 min'")
    assert (await fire.fire_due(pool)).claimed == 0

    await resume(pool, "t")

    resumed = await row(pool)
    assert resumed.paused_at is None
    assert resumed.next_fire_at is not None
    assert resumed.next_fire_at > resumed.now
    assert (await fire.fire_due(pool)).claimed == 0
    assert await ledger(pool) == []


async def test_a_paused_task_that_catches_up_on_all_makes_up_for_it(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[MINUTELY], catchUp={"policy": "All"}))
    await pause(pool, "t")
    async with pool.connection() as connection:
        await connection.execute("UPDATE task_clock SET evaluated_at = now() - interval '9 min'")
    await resume(pool, "t")

    assert (await fire.fire_due(pool)).fired in {9, 10}


async def test_pausing_twice_keeps_the_first_and_changes_nothing(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[MINUTELY]))
    await pause(pool, "t", by="ada")
    first = await row(pool)

    await pause(pool, "t", by="bob")

    again = await row(pool)
    assert (again.paused_at, again.paused_by, again.version) == (first.paused_at, "ada", first.version)
    assert [event["type"] for event in await told(pool)] == ["task.applied", "task.paused"]


async def test_resuming_what_runs_changes_nothing(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[MINUTELY]))
    before = await row(pool)

    await resume(pool, "t")

    after = await row(pool)
    assert (after.version, after.next_fire_at, after.evaluated_at) == (1, before.next_fire_at, before.evaluated_at)
    assert [event["type"] for event in await told(pool)] == ["task.applied"]


async def test_a_paused_task_stays_paused_whatever_is_declared(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[DAILY]))
    await pause(pool, "t")

    await declare(pool, task("t", LOG, schedules=[MINUTELY]))

    edited = await row(pool)
    assert (edited.next_fire_at, edited.paused_by) == (None, "me")
    await resume(pool, "t")
    assert (await row(pool)).next_fire_at is not None


async def test_a_task_of_a_resource_can_be_paused_and_its_spec_is_nobodys_business(pool: Pool) -> None:
    document = task("t", LOG, schedules=[MINUTELY])
    document["metadata"] |= {"uid": "u", "generation": 4, "creationTimestamp": "2026-03-02T08:00:00Z"}
    await declare(pool, document, origin=Origin.KUBERNETES)
    before = await row(pool)

    await pause(pool, "t")

    paused = await row(pool)
    assert (paused.spec, paused.generation) == (before.spec, 4)
    assert paused.version == before.version + 1
    assert (await declare(pool, document, origin=Origin.KUBERNETES)).changed == []
    assert (await row(pool)).paused_at == paused.paused_at


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("None", ["Coalesced"] * 4 + ["Fired"]),
        ("Latest", ["Coalesced"] * 4 + ["Fired"]),
        ("All", ["Fired"] * 5),
    ],
)
async def test_what_a_snooze_held_back_starts_when_it_is_over(pool: Pool, policy: str, expected: list[str]) -> None:
    await snoozed_task(pool, catchUp={"policy": policy}, startingDeadlineSeconds=90)

    done = await fire.fire_due(pool)

    times = await ledger(pool)
    assert [one.reason or one.outcome for one in times] == expected
    minutes = [one.scheduled_at for one in times]
    assert all(later - earlier == timedelta(minutes=1) for earlier, later in pairwise(minutes))
    assert all(one.second == 0 for one in minutes)
    # A run that was held back on purpose is not late.
    assert max(done.lags) < 61
    assert (await row(pool)).snoozed_until is None


async def test_nothing_starts_before_a_snooze_is_over(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[MINUTELY]))
    until = ((await row(pool)).now + HOUR).replace(microsecond=0)

    await snooze(pool, "t", until, by="ada")

    snoozed = await row(pool)
    assert (snoozed.next_fire_at, snoozed.snoozed_until, snoozed.snoozed_by) == (until, until, "ada")
    assert standing.task_phase(snoozed) == "Snoozed"
    await go_back(pool, HOUR - timedelta(seconds=30))
    assert (await fire.fire_due(pool)).claimed == 0


async def test_a_snooze_that_ends_before_the_next_time_changes_no_time(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[{"cron": "0 3 1 1 *"}]))
    before = await row(pool)
    until = min(before.now + HOUR, before.next_fire_at or before.now)

    await snooze(pool, "t", until)

    assert (await row(pool)).next_fire_at == before.next_fire_at


async def test_a_later_snooze_takes_the_place_of_the_earlier_one(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[MINUTELY]))
    now = (await row(pool)).now.replace(microsecond=0)
    await snooze(pool, "t", now + 3 * HOUR)
    await snooze(pool, "t", now + HOUR, by="bob")

    snoozed = await row(pool)
    assert (snoozed.next_fire_at, snoozed.snoozed_by) == (now + HOUR, "bob")


async def test_resuming_a_snoozed_task_starts_what_was_held_back(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[MINUTELY], catchUp={"policy": "None"}))
    await snooze(pool, "t", (await row(pool)).now + HOUR)
    await go_back(pool, timedelta(minutes=5))
    assert (await fire.fire_due(pool)).claimed == 0

    await resume(pool, "t")

    await fire.fire_due(pool)
    *older, newest = [one.reason or one.outcome for one in await ledger(pool)]
    assert (set(older), newest) == ({"Coalesced"}, "Fired")
    assert len(older) in {4, 5}
    assert standing.task_phase(replace(await row(pool), active=0)) == "Scheduled"


async def test_a_schedule_edited_during_a_snooze_waits_too(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[DAILY]))
    until = ((await row(pool)).now + HOUR).replace(microsecond=0)
    await snooze(pool, "t", until)

    await declare(pool, task("t", LOG, schedules=[MINUTELY]))

    assert (await row(pool)).next_fire_at == until


async def test_new_time_zone_data_do_not_end_a_snooze(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[MINUTELY]))
    until = ((await row(pool)).now + HOUR).replace(microsecond=0)
    await snooze(pool, "t", until)
    async with pool.connection() as connection:
        await connection.execute("UPDATE task_clock SET tzdata = 'old'")

    assert await janitor.recompute_times(pool) == 0

    assert (await row(pool)).next_fire_at == until


async def test_a_snooze_is_told_with_its_end_in_whole_seconds(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[MINUTELY]))
    until = datetime.now(UTC).replace(microsecond=1) + HOUR

    await snooze(pool, "t", until.astimezone(timezone(timedelta(hours=2))), by="ada")

    whole = until.replace(microsecond=0) + timedelta(seconds=1)
    assert (await row(pool)).snoozed_until == whole
    said = (await told(pool))[-1]
    assert (said["type"], said["data"]) == (
        "task.snoozed",
        {"by": "ada", "until": whole.strftime("%Y-%m-%dT%H:%M:%SZ")},
    )


@pytest.mark.parametrize(
    ("ahead", "why"),
    [(timedelta(seconds=-1), "not in the future"), (timedelta(days=367), "too far ahead")],
)
async def test_a_snooze_ends_in_the_future_and_within_a_year(pool: Pool, ahead: timedelta, why: str) -> None:
    await declare(pool, task("t", LOG, schedules=[MINUTELY]))

    until = (datetime.now(UTC) + ahead).replace(microsecond=0)

    with pytest.raises(Invalid, match=why) as caught:
        await snooze(pool, "t", until)

    written = until.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert [(error.field, error.value) for error in caught.value.errors] == [("until", written)]
    with pytest.raises(Invalid, match="no offset"):
        await snooze(pool, "t", datetime(2999, 1, 1))
    assert (await row(pool)).version == 1


@pytest.mark.parametrize("change", [pause, resume, lambda pool, name: snooze(pool, name, datetime.now(UTC) + HOUR)])
async def test_a_task_that_does_not_exist_has_no_overlay(pool: Pool, change: Change) -> None:
    await declare(pool, task("t", LOG, schedules=[MINUTELY]))
    with pytest.raises(NotFound, match="there is no Task default/other"):
        await change(pool, "other")


async def test_pausing_while_it_fires_leaves_one_of_the_two_states(pool: Pool) -> None:
    names = [f"t{n}" for n in range(12)]
    await declare(pool, *(task(name, LOG, schedules=[MINUTELY]) for name in names))
    await go_back(pool, timedelta(minutes=1))

    async def fire_often() -> None:
        for _ in range(5):
            await fire.fire_due(pool)

    await asyncio.gather(fire_often(), fire_often(), *(pause(pool, name) for name in names))

    for name in names:
        assert (await row(pool, name)).next_fire_at is None
        fired = [one for one in await ledger(pool, name) if one.outcome == "Fired"]
        assert len(fired) in {0, 1}


async def test_a_paused_task_can_still_be_run_by_hand(pool: Pool) -> None:
    await declare(pool, task("t", LOG, schedules=[MINUTELY]))
    await pause(pool, "t")

    await run_now(pool, namespace="default", name="t")

    assert (await row(pool)).active == 1

"""What firing tells of skipped times: after the commit, summed up, and of nothing that no resource can be."""

from datetime import timedelta

import pytest

from ordinaut.access.caller import Authority, Caller
from ordinaut.states import Origin
from ordinaut.store import status
from ordinaut.store.pool import Pool
from ordinaut_operator import fire
from ordinaut_operator.skips.series import Skipped
from tests.declaring import declare, task

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
MINUTELY = [{"cron": "* * * * *"}]
ADA = Caller(Authority.TOKENS, "ada")


async def make_due(pool: Pool, *, minutes: int) -> None:
    """Let all tasks have missed their last minutes."""
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE task_clock SET evaluated_at = date_trunc('minute', now()) - %s, next_fire_at = now()",
            [timedelta(minutes=minutes)],
        )


async def test_it_is_told_once_for_each_reason_how_many_times_were_skipped(pool: Pool) -> None:
    await declare(
        pool, task("resource", LOG, schedules=MINUTELY, startingDeadlineSeconds=150), origin=Origin.KUBERNETES
    )
    await declare(pool, task("agents", LOG, schedules=MINUTELY), by=ADA)
    await make_due(pool, minutes=10)
    told: list[Skipped] = []

    done = await fire.fire_due(pool, tell=told.extend)

    async with pool.connection() as connection:
        ledger = await status.fires(connection, namespace="default", name="resource", limit=99)
    times = {
        reason: sorted(one.scheduled_at for one in ledger if one.reason == reason)
        for reason in ("Coalesced", "DeadlineExceeded")
    }
    assert {(one.reason, one.count, one.first, one.last) for one in told} == {
        (reason, len(skipped), skipped[0], skipped[-1]) for reason, skipped in times.items()
    }
    assert {(one.name, one.at) for one in told} == {("resource", ledger[0].decided_at)}
    assert done.skipped > sum(one.count for one in told) > 8

    told.clear()
    await fire.fire_due(pool, tell=told.extend)
    assert told == []


async def test_nothing_is_told_of_what_was_not_committed(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    await declare(pool, task("t", LOG, schedules=MINUTELY), origin=Origin.KUBERNETES)
    await make_due(pool, minutes=10)
    told: list[Skipped] = []

    async def crash(*_: object, **__: object) -> None:
        raise RuntimeError("the power is gone")

    with monkeypatch.context() as patched:
        patched.setattr(fire.status, "notify", crash)
        with pytest.raises(RuntimeError):
            await fire.fire_due(pool, tell=told.extend)
    assert told == []

    await fire.fire_due(pool, tell=told.extend)
    assert [one.reason for one in told] == ["Coalesced"]

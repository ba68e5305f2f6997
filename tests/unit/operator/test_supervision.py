"""Loops go on through failures, with pauses that are bounded."""

import asyncio

import psycopg
import pytest

from ordinaut import metrics
from ordinaut.errors import StoreUnready
from ordinaut_operator.supervision import Backoff, is_away, keep_going


def test_pauses_double_up_to_the_cap_and_begin_anew_after_a_success() -> None:
    backoff = Backoff(first=0.25, cap=5.0, spread=lambda: 1.0)
    assert [backoff.next() for _ in range(6)] == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0]
    assert [backoff.next() for _ in range(2000)][-1] == 5.0
    backoff.reset()
    assert backoff.next() == 0.25


def test_pauses_are_spread_over_half_their_length() -> None:
    assert Backoff(first=4.0, spread=lambda: 0.0).next() == 2.0


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("connection refused"),
        psycopg.errors.AdminShutdown(),
        psycopg.errors.UndefinedTable(),
        psycopg.InterfaceError("the connection is closed"),
        StoreUnready(),
        TimeoutError(),
    ],
)
def test_the_database_is_away(error: Exception) -> None:
    assert is_away(error)


@pytest.mark.parametrize(
    "error", [psycopg.errors.QueryCanceled(), psycopg.errors.CheckViolation(), ValueError("a mistake of ours")]
)
def test_the_database_is_there_and_something_else_is_wrong(error: Exception) -> None:
    assert not is_away(error)


async def test_a_loop_that_fails_or_ends_is_started_again_until_cancelled() -> None:
    lives = 0
    enough = asyncio.Event()

    async def work() -> None:
        nonlocal lives
        lives += 1
        if lives == 1:
            raise psycopg.OperationalError("away")
        if lives == 2:
            raise ValueError("a mistake of ours")
        if lives == 4:
            enough.set()
            await asyncio.Event().wait()

    failures = metrics.JOB_FAILURES.labels(loop="some-loop")
    before = failures._value.get()
    running = asyncio.create_task(keep_going("some-loop", work, backoff=Backoff(first=0.001)))
    await asyncio.wait_for(enough.wait(), 60)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert failures._value.get() - before == 2

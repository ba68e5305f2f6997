"""What a worker holds, and which leases its settlements empty."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from ordinaut.states import RunPhase
from ordinaut.store.settle import RunResult, Settlement
from ordinaut.store.work import LeasedWork
from ordinaut_worker.holding import Holding, Holdings
from tests.unit.worker.works import leased

DONE = RunResult(RunPhase.SUCCEEDED)
WAITS = RunResult(RunPhase.WAITING, delay=timedelta(seconds=1))

Hold = Callable[[LeasedWork], "asyncio.Task[None]"]


@pytest.fixture
def holding() -> Holding:
    return Holding()


@pytest.fixture
async def hold(holding: Holding) -> AsyncIterator[Hold]:
    """Hold work under way, whose task ends when it is cancelled."""
    tasks: list[asyncio.Task[None]] = []

    async def under_way() -> None:
        await asyncio.Event().wait()

    def start(work: LeasedWork) -> asyncio.Task[None]:
        task = asyncio.create_task(under_way())
        tasks.append(task)
        holding.add(work, task)
        return task

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def cancelled(*tasks: "asyncio.Task[None]") -> list[bool]:
    """Return which tasks have been cancelled, after they had a chance to end."""
    await asyncio.sleep(0)
    return [task.cancelled() for task in tasks]


async def test_what_is_held_is_seen_until_it_has_ended_and_left(holding: Holding, hold: Hold) -> None:
    first, second = leased(1, lease=10), leased(2, lease=11)
    hold(first)
    hold(second)
    assert len(holding) == 2
    assert holding.view() == Holdings((10, 11), (first.run_id, second.run_id))

    holding.left([Settlement(first, run=DONE)])
    assert holding.view() == Holdings((11,), (first.run_id, second.run_id))
    assert (holding.holds(first), holding.holds(second)) == (False, True)

    holding.finished(first)
    assert len(holding) == 1
    assert holding.view() == Holdings((11,), (second.run_id,))


async def test_a_lease_is_emptied_when_the_last_of_its_items_leaves(holding: Holding, hold: Hold) -> None:
    first, second, third, other = leased(1), leased(2), leased(3), leased(4, lease=2)
    for work in (first, second, third, other):
        hold(work)
    assert holding.emptied_by([Settlement(first, run=DONE), Settlement(second, run=WAITS)]) == []

    holding.left([Settlement(first, run=DONE)])

    last = [Settlement(second, run=WAITS), Settlement(third, release=True), Settlement(other, run=DONE)]
    assert holding.emptied_by(last) == [1, 2]
    # The result of a step leaves its run under the lease.
    assert holding.emptied_by([Settlement(second), *last[1:]]) == [2]
    holding.left([Settlement(second)])
    assert holding.holds(second)


async def test_work_under_a_lost_lease_is_stopped_and_no_other(holding: Holding, hold: Hold) -> None:
    first, second, other = leased(1), leased(2), leased(3, lease=2)
    tasks = [hold(work) for work in (first, second, other)]

    holding.lost({1, 99})

    assert await cancelled(*tasks) == [True, True, False]
    assert holding.view().leases == (2,)
    assert not holding.holds(first)


def test_what_has_not_begun_is_held_and_begins_once(holding: Holding) -> None:
    first, second = leased(1), leased(2)
    holding.take([first, second])
    assert holding.view() == Holdings((1,), (first.run_id, second.run_id))
    assert len(holding) == 0

    assert [holding.begin(first), holding.begin(first)] == [True, False]
    assert holding.view() == Holdings((1,), (second.run_id,))
    assert holding.holds(first)


def test_what_was_stopped_or_lost_before_it_began_never_begins(holding: Holding) -> None:
    ended, lost, other = leased(1), leased(2, lease=2), leased(3)
    holding.take([ended, lost, other])

    holding.stop([ended.run_id])
    holding.lost([2])

    assert [holding.begin(one) for one in (ended, lost, other)] == [False, False, True]
    assert [holding.holds(one) for one in (ended, lost, other)] == [True, False, True]


async def test_a_run_that_somebody_else_has_ended_is_stopped(holding: Holding, hold: Hold) -> None:
    first, second = leased(1), leased(2)
    tasks = [hold(first), hold(second)]

    holding.stop([second.run_id, leased(9).run_id])

    assert await cancelled(*tasks) == [False, True]
    assert holding.holds(second)


async def test_a_run_that_is_held_again_is_not_forgotten_with_its_lost_delivery(holding: Holding, hold: Hold) -> None:
    old, new = leased(1, lease=1, run=5), leased(2, lease=2, run=5)
    task = hold(old)
    holding.lost([1])
    again = hold(new)

    holding.finished(old)

    assert await cancelled(task, again) == [True, False]
    assert len(holding) == 1
    assert holding.view() == Holdings((2,), (new.run_id,))
    assert [work for work, _ in holding.tasks()] == [new]


async def test_a_lease_that_is_not_held_is_emptied_by_its_settlements(holding: Holding) -> None:
    assert holding.emptied_by([Settlement(leased(1), run=DONE)]) == [1]

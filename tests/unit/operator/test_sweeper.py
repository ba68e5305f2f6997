"""What passes over what waits: woken, once at a time, and ended for sure."""

import asyncio

import pytest

from ordinaut_operator.sweeper import Sweeper


class Recorded(Sweeper):
    """Passes that end when they are let go on; a ``deaf`` one keeps its cancellation to itself."""

    def __init__(self, *, deaf: bool = False) -> None:
        super().__init__()
        self.deaf = deaf
        self.begun, self.under_way, self.most = 0, 0, 0
        self.entered, self.go_on = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def _sweep(self) -> int:
        self.begun += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.entered.release()
        try:
            await self.go_on.acquire()
        except asyncio.CancelledError:
            if not self.deaf:
                raise
        self.under_way -= 1
        return self.begun


async def test_what_is_said_during_a_pass_is_seen_by_the_next_one() -> None:
    sweeper = Recorded()
    following = asyncio.create_task(sweeper.follow())
    sweeper.wake()
    await sweeper.entered.acquire()
    sweeper.wake()
    sweeper.go_on.release()
    await sweeper.entered.acquire()
    following.cancel()
    await asyncio.wait([following])
    assert sweeper.begun == 2


async def test_passes_do_not_overlap() -> None:
    sweeper = Recorded()
    for _ in range(3):
        sweeper.go_on.release()
    assert await asyncio.gather(*(sweeper.sweep() for _ in range(3))) == [1, 2, 3]
    assert sweeper.most == 1


@pytest.mark.parametrize("deaf", [False, True])
async def test_it_ends_when_cancelled_even_if_the_pass_has_not_noticed(deaf: bool) -> None:
    sweeper = Recorded(deaf=deaf)
    following = asyncio.create_task(sweeper.follow())
    sweeper.wake()
    await sweeper.entered.acquire()
    sweeper.wake()
    following.cancel()
    await asyncio.wait([following], timeout=10)
    assert following.cancelled()
    assert sweeper.begun == 1

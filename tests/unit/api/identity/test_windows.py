"""Sliding windows: the limit holds in any sixty seconds, the wait that is told suffices, and keys are bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordinaut_api.identity.windows import Windows


class Clock:
    now = 6000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_so_many_are_let_through_and_the_rest_told_to_wait(clock: Clock) -> None:
    windows = Windows(5, clock=clock)
    standings = [windows.hit("key") for _ in range(7)]
    assert [one.allowed for one in standings] == [True] * 5 + [False] * 2
    assert [one.remaining for one in standings] == [4, 3, 2, 1, 0, 0, 0]
    assert windows.hit("other").allowed


def test_the_last_minute_counts_as_far_as_it_is_within_sixty_seconds(clock: Clock) -> None:
    windows = Windows(10, clock=clock)
    assert [windows.hit("key").allowed for _ in range(11)].count(True) == 10
    clock.now += 60
    assert not windows.hit("key").allowed
    clock.now += 30
    assert [windows.hit("key").allowed for _ in range(11)].count(True) == 5
    clock.now += 120
    assert [windows.hit("key").allowed for _ in range(11)].count(True) == 10


@given(limit=st.integers(1, 20), pauses=st.lists(st.floats(0, 70), min_size=1, max_size=60))
def test_the_wait_that_is_told_suffices(limit: int, pauses: list[float]) -> None:
    clock = Clock()
    windows = Windows(limit, clock=clock)
    for pause in pauses:
        clock.now += pause
        standing = windows.hit("key")
        if not standing.allowed:
            assert 1 <= standing.seconds <= 120
            clock.now += standing.seconds
            assert windows.look("key").allowed
        else:
            assert 0 <= standing.remaining < limit


def test_looking_counts_nothing(clock: Clock) -> None:
    windows = Windows(1, clock=clock)
    assert all(windows.look("key").allowed for _ in range(10))
    assert windows.hit("key").allowed
    assert not windows.look("key").allowed


def test_no_limit_lets_anything_through(clock: Clock) -> None:
    windows = Windows(0, clock=clock)
    assert all(windows.hit("key").allowed and windows.look("key").allowed for _ in range(1000))
    assert windows._counts == {}


def test_keys_are_bounded_and_those_silent_for_longest_give_way(clock: Clock) -> None:
    windows = Windows(2, size=100, clock=clock)
    for _ in range(3):
        windows.hit("busy")
    for number in range(99):
        windows.hit(number)
    assert not windows.look("busy").allowed
    clock.now += 60
    windows.hit("busy")  # no room yet: refused, and not moved
    clock.now += 45
    assert windows.hit("busy").allowed
    for number in range(1000, 1050):
        windows.hit(number)
    assert len(windows._counts) == 100
    assert "busy" in windows._counts

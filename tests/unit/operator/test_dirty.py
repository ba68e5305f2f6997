"""When a task's status is looked at: soon, once for many changes, and not too often."""

import pytest

from ordinaut_operator.status.dirty import Dirty


def test_a_marked_task_is_due_after_the_time_to_settle_and_once() -> None:
    dirty = Dirty(settle=1.0)
    dirty.mark([7, 7], now=10.0)
    dirty.mark([7], now=10.5)
    assert dirty.take(10, now=10.9) == []
    assert dirty.take(10, now=11.0) == [7]
    assert dirty.take(10, now=99.0) == []


def test_a_task_is_not_due_again_before_the_spacing_has_passed() -> None:
    dirty = Dirty(settle=1.0, spacing=3.0)
    dirty.wrote(7, now=10.0)
    dirty.mark([7], now=10.1)
    assert dirty.take(10, now=12.9) == []
    assert dirty.take(10, now=13.0) == [7]


def test_a_task_that_is_marked_while_it_is_written_waits_for_the_spacing_too() -> None:
    dirty = Dirty(settle=1.0, spacing=3.0)
    dirty.mark([7], now=10.0)
    dirty.wrote(7, now=10.5)
    assert dirty.take(10, now=13.4) == []
    assert dirty.pause(now=13.4) == pytest.approx(0.1)
    assert dirty.take(10, now=13.5) == [7]


def test_an_earlier_time_wins_over_a_later_one() -> None:
    dirty = Dirty(settle=1.0)
    dirty.mark([7], now=0.0, after=30.0)
    dirty.mark([7], now=0.0)
    assert dirty.take(10, now=1.0) == [7]
    assert dirty.take(10, now=31.0) == []


def test_what_waited_longest_is_taken_first_and_no_more_than_asked_for() -> None:
    dirty = Dirty(settle=1.0)
    dirty.mark([3], now=0.0)
    dirty.mark([1, 2], now=1.0)
    assert dirty.take(2, now=5.0) == [3, 1]
    assert dirty.take(2, now=5.0) == [2]


def test_the_pause_lasts_until_the_next_task_is_due() -> None:
    dirty = Dirty(settle=1.0)
    assert dirty.pause(now=0.0) is None
    dirty.mark([1], now=0.0, after=30.0)
    dirty.mark([1], now=0.0, after=5.0)
    assert dirty.pause(now=2.0) == 3.0
    assert dirty.pause(now=9.0) == 0.0


def test_clearing_unmarks_everything() -> None:
    dirty = Dirty()
    dirty.mark(range(5), now=0.0)
    dirty.clear()
    assert len(dirty) == 0
    assert dirty.pause(now=0.0) is None


def test_times_of_writes_are_forgotten_when_they_no_longer_count() -> None:
    dirty = Dirty(settle=0.0, spacing=3.0)
    for task in range(5000):
        dirty.wrote(task, now=float(task))
    assert len(dirty._written) < 2000

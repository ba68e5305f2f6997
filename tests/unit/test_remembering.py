"""What was read from texts is kept, and long texts only up to a length in all."""

import tracemalloc
from datetime import UTC, datetime, timedelta

import orjson
import pytest

from ordinaut.remembering import LONG_IN_ALL, SHORT, remembered
from ordinaut.schedule import next_fires
from ordinaut.schedule.fires import _remembered
from ordinaut.schedule.rrule import with_few_dates, with_many_dates
from ordinaut.schedule.spec import RRule
from ordinaut_operator.terms import read_terms

LONG = "x" * (SHORT + 1)


class Reader:
    """Reads texts, and counts how often."""

    def __init__(self, *, entries: int, long_in_all: int) -> None:
        self.read: list[str] = []
        self.recall = remembered(entries=entries, long_in_all=long_in_all)(self._read)

    def _read(self, text: str, more: int) -> tuple[str, int]:
        self.read.append(text)
        return text, more


def test_short_texts_are_counted() -> None:
    reader = Reader(entries=2, long_in_all=0)

    assert [reader.recall(text, 1) for text in ("a", "b", "a", "c", "a")][-1] == ("a", 1)

    assert reader.read == ["a", "b", "c"]


def test_of_long_texts_the_last_are_kept_up_to_a_length_in_all() -> None:
    reader = Reader(entries=0, long_in_all=2 * (SHORT + 2))
    first, second, third = (LONG + one for one in "abc")

    for text in (first, second, first, third, first, second):
        assert reader.recall(text, 1) == (text, 1)

    assert reader.read == [first, second, third, second]


def test_another_question_about_the_same_text_is_another() -> None:
    reader = Reader(entries=0, long_in_all=8 * SHORT)

    assert [reader.recall(LONG + "a", more) for more in (1, 2, 1)] == [
        (LONG + "a", 1),
        (LONG + "a", 2),
        (LONG + "a", 1),
    ]

    assert len(reader.read) == 2


def test_one_that_is_longer_than_all_may_be_is_read_each_time() -> None:
    reader = Reader(entries=0, long_in_all=SHORT)

    assert [reader.recall(LONG + "a", 1) for _ in range(2)] == [(LONG + "a", 1)] * 2

    assert len(reader.read) == 2


def test_a_mistake_is_not_kept() -> None:
    @remembered(entries=1)
    def fail(text: str) -> str:
        raise ValueError(text)

    for _ in range(2):
        with pytest.raises(ValueError, match="aaa"):
            fail("a" * (SHORT + 1))


def test_many_large_specs_do_not_fill_the_memory() -> None:
    date = "2026-01-01T00:00:00"
    schedules = orjson.dumps([{"rrule": "FREQ=DAILY", "rdates": [date] * 1000}] * 10).decode()
    tracemalloc.start()
    try:
        for number in range(60):
            read_terms(f'{{"schedules":{schedules},"priority":{number}}}')
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept < 8 * LONG_IN_ALL


def test_few_schedules_with_many_dates_are_remembered() -> None:
    begin = datetime(2027, 1, 1, tzinfo=UTC)
    dates = tuple(begin + timedelta(hours=hour) for hour in range(101))
    for cache in (_remembered, with_few_dates, with_many_dates):
        cache.cache_clear()

    for minute in range(70):
        rule = RRule("FREQ=YEARLY", datetime(2026, 1, 1, 0, minute % 60), dates, dates[minute:])
        assert next_fires(rule, after=begin, limit=1)

    assert _remembered.cache_info().currsize == with_few_dates.cache_info().currsize == 0
    assert with_many_dates.cache_info().currsize == 64

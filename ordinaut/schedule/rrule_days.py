"""
The calendar days that the BY parts of a recurrence rule admit (RFC 5545, 3.3.10).

``rrule_daily`` and ``rrule_elapsed`` walk them. Parts that the RFC takes from DTSTART when a rule is silent are filled
in here. (python-dateutil can't stand in for this: BYDAY=MO,2TU admits nothing there, and BYWEEKNO=52 or 53 misses the
first days of every seventh January.)
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import date

from ordinaut.schedule.days import ALL_MONTHS, Day, Days
from ordinaut.schedule.rrule_text import Freq, Recurrence, Weekday

_TO_MIDDLE = 3
"""Days from the first to the middle day of a week."""


def admitted_days(rule: Recurrence, dtstart: date) -> Days:
    """Return the days that pass every calendar part of ``rule``, before INTERVAL is looked at."""
    full = _filled_in(rule, dtstart)
    tests = _tests(full)
    return Days(
        tests[0] if len(tests) == 1 else lambda day: all(test(day) for test in tests),
        months=full.by_month or ALL_MONTHS,
        by_week=bool(full.by_week_no),
    )


def _filled_in(rule: Recurrence, dtstart: date) -> Recurrence:
    if rule.by_day or rule.by_month_day or rule.by_year_day or rule.by_week_no:
        return rule
    match rule.freq:
        case Freq.YEARLY:
            return replace(rule, by_month=rule.by_month or (dtstart.month,), by_month_day=(dtstart.day,))
        case Freq.MONTHLY:
            return replace(rule, by_month_day=(dtstart.day,))
        case Freq.WEEKLY:
            return replace(rule, by_day=(Weekday(dtstart.weekday()),))
        case _:
            return rule


def _tests(rule: Recurrence) -> list[Callable[[Day], bool]]:
    """Return a test for each part that the rule has; BYMONTH is left to ``Days``."""
    tests: list[Callable[[Day], bool]] = []
    if rule.by_month_day:
        tests.append(_month_day_test(frozenset(rule.by_month_day)))
    if rule.by_year_day:
        tests.append(_year_day_test(frozenset(rule.by_year_day)))
    if rule.by_week_no:
        tests.append(_week_test(frozenset(rule.by_week_no), rule.week_start))
    if rule.by_day:
        numbered_in_year = rule.freq is Freq.YEARLY and not rule.by_month
        tests.append(_weekday_test(frozenset(rule.by_day), in_year=numbered_in_year))
    return tests


def _month_day_test(wanted: frozenset[int]) -> Callable[[Day], bool]:
    return lambda day: day.day in wanted or day.day - day.month_length - 1 in wanted


def _year_day_test(wanted: frozenset[int]) -> Callable[[Day], bool]:
    return lambda day: day.number in wanted or day.number - day.year_length - 1 in wanted


def _week_test(wanted: frozenset[int], week_start: int) -> Callable[[Day], bool]:
    def test(day: Day) -> bool:
        # A week belongs to the year that its middle day lies in.
        middle, length = day.number - (day.weekday - week_start) % 7 + _TO_MIDDLE, day.year_length
        if middle < 1:
            middle, length = middle + day.year_before, day.year_before
        elif middle > length:
            middle, length = middle - length, day.year_after
        week = (middle + 6) // 7
        weeks = week + (length - middle) // 7
        return week in wanted or week - weeks - 1 in wanted

    return test


def _weekday_test(wanted: frozenset[Weekday], *, in_year: bool) -> Callable[[Day], bool]:
    every = frozenset(entry.weekday for entry in wanted if not entry.nth)
    numbered = frozenset((entry.weekday, entry.nth) for entry in wanted if entry.nth)

    def test(day: Day) -> bool:
        if day.weekday in every:
            return True
        number, length = (day.number, day.year_length) if in_year else (day.day, day.month_length)
        from_start, from_end = (number + 6) // 7, -((length - number) // 7) - 1
        return (day.weekday, from_start) in numbered or (day.weekday, from_end) in numbered

    return test

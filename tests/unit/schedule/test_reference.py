"""
Every kind of schedule against the rules written a second time, in all zones and around all changes of their clocks.

``ORDINAUT_TEST_EXAMPLES`` multiplies what is drawn; from 8 on, no change of a clock is left out.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ordinaut.schedule import Cron, Gap, Interval, RRule, Schedule, iter_fires, next_fires
from tests.unit.schedule import reference
from tests.unit.schedule.clocks import EXAMPLES
from tests.unit.schedule.drawn import EXPRESSIONS, fields

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
GAPS = st.sampled_from(Gap)
PARTS = 8
"""Changes of the clocks are tested in this many parts, as many of them as there are EXAMPLES."""

some_examples = settings(deadline=None, max_examples=50 * EXAMPLES)
few_examples = settings(deadline=None, max_examples=30 * EXAMPLES)


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, datetime]:
    """Draw a zone and a whole minute of 2007 to 2037: near a change of its clocks, where it has any."""
    zone = draw(st.sampled_from(reference.zones()))
    changes = reference.changes(zone)
    if changes and draw(st.integers(0, 9)):
        near = draw(st.sampled_from(changes)) - draw(st.integers(0, 24 * 60)) * MINUTE
    else:
        days = draw(st.integers(0, 31 * 365 * 24)) * HOUR
        near = datetime(reference.FIRST_YEAR, 1, 1, tzinfo=UTC) + days
    return zone, near


def in_window(schedules: Schedule | Sequence[Schedule], first: datetime, last: datetime) -> list[datetime]:
    """Return what fires from ``first`` to ``last``, both included."""
    several = schedules if isinstance(schedules, Sequence) else (schedules,)
    found = []
    for instant in iter_fires(several, after=first - SECOND):
        if instant > last:
            break
        found.append(instant)
    return found


def test_the_reference_sees_every_kind_of_change() -> None:
    """Between them, the zones of the reference have gaps and folds of many lengths, and a day that is left out."""
    assert len(reference.zones()) > 150
    hours = {
        (reference.wall(zone, at) - reference.wall(zone, at - MINUTE) - MINUTE) / HOUR
        for zone in ("America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Antarctica/Casey", "Asia/Pyongyang")
        for at in reference.changes(zone)
    }
    assert hours >= {1, -1, 0.5, -0.5, 24, 3, -3}


@some_examples
@given(expression=EXPRESSIONS, moment=moments(), gap=GAPS)
def test_cron(expression: str, moment: tuple[str, datetime], gap: Gap) -> None:
    zone, first = moment
    last = first + 36 * HOUR
    expected = reference.cron(expression, zone, first, last, skip=gap is Gap.SKIP)
    assert in_window(Cron(expression, zone, gap), first, last) == expected


@few_examples
@given(
    second=st.one_of(st.sampled_from(["0", "*/15", "59", "0,30"]), fields(0, 59)),
    minute=fields(0, 59),
    hour=st.one_of(st.just("*"), fields(0, 23)),
    moment=moments(),
    gap=GAPS,
)
def test_cron_with_seconds(second: str, minute: str, hour: str, moment: tuple[str, datetime], gap: Gap) -> None:
    zone, near = moment
    first = max((at for at in reference.changes(zone) if at <= near + DAY), default=near) - 20 * MINUTE
    last = first + HOUR
    expression = f"{second} {minute} {hour} * * *"
    expected = reference.cron(expression, zone, first, last, skip=gap is Gap.SKIP)
    assert in_window(Cron(expression, zone, gap), first, last) == expected


@pytest.mark.parametrize("part", range(min(EXAMPLES, PARTS)))
@pytest.mark.parametrize(
    ("expression", "gap"), [("*/15 * * * *", Gap.RUN), *(("0-59/15 0-23 * * *", gap) for gap in Gap)]
)
def test_every_change_of_every_clock(expression: str, gap: Gap, part: int) -> None:
    around = [(zone, at) for zone in reference.zones() for at in reference.changes(zone)]
    assert len(around) > 3_500
    for zone, at in around[part::PARTS]:
        first, last = at - 2 * HOUR, at + 2 * HOUR
        # Newfoundland's clocks were changed at a minute past midnight until 2011, all others at quarters of an hour.
        step = MINUTE if at.minute % 15 else 15 * MINUTE
        expected = reference.cron(expression, zone, first, last, skip=gap is Gap.SKIP, step=step)
        assert in_window(Cron(expression, zone, gap), first, last) == expected, (zone, at)


def some(values: Sequence[int], *, most: int = 3) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.sampled_from(values), max_size=most, unique=True).map(lambda found: tuple(sorted(found)))


PLAIN_DAYS = st.lists(st.sampled_from(reference.BYDAYS), max_size=3, unique=True).map(tuple)
NUMBERED = st.lists(st.sampled_from(["1SU", "2SU", "-1SU", "-2MO", "3WE"]), max_size=2, unique=True).map(tuple)


@st.composite
def rules(draw: st.DrawFn) -> reference.Rule:
    """Draw a recurrence rule without an end."""
    freq = draw(st.sampled_from(["DAILY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY", "HOURLY", "MINUTELY"]))
    elapsed = freq in {"HOURLY", "MINUTELY"}
    months = draw(st.sampled_from([(), (), (3, 10), (1, 2, 3, 4, 9, 10, 11)]))
    numbered = freq == "MONTHLY" or (freq == "YEARLY" and bool(months))
    return reference.Rule(
        freq,
        interval=draw(st.sampled_from([1, 5, 7, 90] if elapsed else [1, 1, 2, 3])),
        months=months,
        month_days=draw(some([1, 8, 15, 25, 28, -1, -7])) if freq != "WEEKLY" and not draw(st.integers(0, 2)) else (),
        days=draw(NUMBERED if numbered and draw(st.booleans()) else PLAIN_DAYS),
        hours=draw(some([0, 1, 2, 3, 9, 23])),
        # There BYMINUTE multiplies; that has a test of its own.
        minutes=() if freq == "HOURLY" else draw(some([0, 15, 30, 45, 59])),
    )


@st.composite
def recurrences(draw: st.DrawFn) -> tuple[RRule, reference.Rule, datetime]:
    """Draw a recurrence rule with its dates and end, near a change of the clocks, and until when to look at it."""
    zone, near = draw(moments())
    rule = draw(rules())
    dtstart = reference.wall(zone, near)
    last = near + (3 if rule.freq in {"HOURLY", "MINUTELY"} else 40) * DAY
    match draw(st.sampled_from(["", "", "COUNT", "UNTIL"])):
        case "COUNT":
            rule = replace(rule, count=draw(st.integers(1, 30)))
        case "UNTIL":
            rule = replace(rule, until=near + draw(st.integers(0, 20 * 24 * 4)) * 15 * MINUTE)
    dates = st.lists(st.integers(0, 5 * 24 * 2).map(lambda half: dtstart + half * 30 * MINUTE), max_size=3, unique=True)
    # Some dates meet instances by chance, the others are added or exclude nothing.
    spec = RRule(rule.text(), dtstart, tuple(draw(dates)), tuple(draw(dates)), zone=zone, gap=draw(GAPS))
    return spec, rule, last


def of_reference(spec: RRule, rule: reference.Rule, last: datetime) -> list[datetime]:
    return reference.rrule(
        rule,
        spec.dtstart,
        spec.zone,
        last,
        skip=spec.gap is Gap.SKIP,
        exdates=spec.exdates,
        rdates=spec.rdates,
    )


@some_examples
@given(recurrence=recurrences())
def test_rrule(recurrence: tuple[RRule, reference.Rule, datetime]) -> None:
    spec, rule, last = recurrence
    first = spec.dtstart.replace(tzinfo=UTC) - 2 * DAY
    assert in_window(spec, first, last) == of_reference(spec, rule, last)


@some_examples
@given(
    seconds=st.integers(10, 200_000),
    anchor=st.datetimes(datetime(2007, 1, 1), datetime(2037, 12, 1), timezones=st.just(UTC)),
    later=st.integers(-100_000, 1_000_000),
)
def test_interval(seconds: int, anchor: datetime, later: int) -> None:
    every, anchor = seconds * SECOND, anchor.replace(microsecond=0)
    first = anchor + later * SECOND
    last = first + 3 * DAY
    assert in_window(Interval(every, anchor), first, last) == reference.interval(every, anchor, first, last)


@st.composite
def merges(draw: st.DrawFn) -> tuple[list[Schedule], list[datetime], datetime, datetime]:
    """Draw several schedules of one task, what must fire of them all, and from when to when."""
    zone, first = draw(moments())
    last = first + 2 * DAY
    schedules: list[Schedule] = []
    found = []
    for expression in draw(st.lists(EXPRESSIONS, max_size=3)):
        gap = draw(GAPS)
        schedules.append(Cron(expression, zone, gap))
        found.append(reference.cron(expression, zone, first, last, skip=gap is Gap.SKIP))
    for minutes in draw(st.lists(st.sampled_from([10, 15, 60, 1440]), max_size=2)):
        schedules.append(Interval(minutes * MINUTE, first))
        found.append(reference.interval(minutes * MINUTE, first, first, last))
    for rule in draw(st.lists(rules(), max_size=1)):
        spec = RRule(rule.text(), reference.wall(zone, first), zone=zone, gap=draw(GAPS))
        schedules.append(spec)
        found.append([instant for instant in of_reference(spec, rule, last) if instant >= first])
    assume(schedules)
    return draw(st.permutations(schedules)), reference.merged(found), first, last


@few_examples
@given(merge=merges(), sizes=st.lists(st.integers(1, 50), min_size=1), cut=st.integers(0, 10_000))
def test_several_schedules_of_one_task(
    merge: tuple[list[Schedule], list[datetime], datetime, datetime], sizes: list[int], cut: int
) -> None:
    """One instant is one firing; whoever asks in parts of any sizes, or from anywhere, gets the same."""
    schedules, expected, first, last = merge
    found = in_window(schedules, first, last)
    assert found == expected
    assert all(before < later for before, later in pairwise(found))

    in_parts, after = [], first - SECOND
    for size in (sizes * len(found))[: len(found)]:
        part = next_fires(schedules, after=after, limit=size)
        in_parts += part
        if not part or (after := part[-1]) > last:
            break
    assert [instant for instant in in_parts if instant <= last] == found

    anywhere = first + (cut * 17 % 2880) * MINUTE
    assert next_fires(schedules, after=anywhere, limit=3) == list(islice(iter_fires(schedules, after=anywhere), 3))
    rest = [instant for instant in expected if instant > anywhere]
    assert next_fires(schedules, after=anywhere, limit=1)[: len(rest)] == rest[:1]

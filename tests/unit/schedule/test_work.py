"""
No input costs more than it may.

Work is counted in calls of functions, Python's and C's, with every cache cold: the same number on any machine and under
any load. A call costs 50 to 150 ns, so the budgets stay below the 20 ms that any input may take.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import pytest

from ordinaut.errors import Invalid
from ordinaut.schedule import (
    Cron,
    Gap,
    Progress,
    RRule,
    Schedule,
    Written,
    decide_missed,
    next_fires,
    parse_schedule,
)
from ordinaut.schedule.cron import timetable
from ordinaut.schedule.fires import _remembered
from ordinaut.schedule.rrule import with_few_dates, with_many_dates
from ordinaut.schedule.zone import zone

NOW = datetime(2026, 11, 23, tzinfo=UTC)
BUDGET = 100_000
TYPICAL = 300


@contextmanager
def counted() -> Iterator[Callable[[], int]]:
    """Count the calls made in the block."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield lambda: calls
    finally:
        sys.setprofile(before)


def cold() -> None:
    for cache in (timetable, with_few_dates, with_many_dates, zone, _remembered):
        cache.cache_clear()


def work(action: Callable[[], object]) -> int:
    cold()
    with counted() as calls:
        action()
    return calls()


def refuse(fields: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        parse_schedule(Written(**fields), created=NOW)


@pytest.mark.parametrize(
    "fields",
    [
        {"cron": "*/0 * * * *"},
        {"cron": "60 * * * *"},
        {"cron": "0 0 30 2 *"},
        {"cron": "0 0 31 2,4,6,9,11 *"},
        {"cron": "@reboot"},
        {"cron": "TZ=UTC * * * * *"},
        {"cron": "\uff10 0 * * *"},
        {"cron": "0 0 * * *\n"},
        {"cron": "0 0 * * 8"},
        {"cron": "," * 10_240},
        {"cron": "*," * 100 + "* * * * ?"},
        {"rrule": "FREQ=SECONDLY"},
        {"rrule": "FREQ=DAILY;INTERVAL=0"},
        {"rrule": "FREQ=DAILY;INTERVAL=" + "9" * 1000},
        {"rrule": "FREQ=DAILY", "dtstart": "0001-01-01T00:00:00"},
        {"rrule": "FREQ=DAILY", "dtstart": "9999-01-01T00:00:00"},
        {"rrule": "FREQ=DAILY", "exdates": ["2026-11-23T09:00:00"] * 10_000},
        {"rrule": "FREQ=DAILY\r\nRRULE:FREQ=SECONDLY"},
        {"rrule": "FREQ=DAILY;BYDAY=" + ",".join(["MO"] * 500)},
        {"rrule": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"},
        {"rrule": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"},
        {"cron": "@daily", "time_zone": "../../etc/passwd"},
        {"cron": "@daily", "time_zone": "posixrules"},
        {"cron": "@daily", "time_zone": "UTC+3"},
        {"cron": "@daily", "time_zone": "x" * 4096},
        {"interval": "9" * 4096 + "s"},
        {"at": "2026-12-01T09:00:00Z" * 200},
    ],
    ids=lambda fields: " ".join(f"{key}={str(value)[:30]!r}" for key, value in fields.items()),
)
def test_bad_input_is_refused_at_once(fields: dict[str, Any]) -> None:
    assert work(lambda: refuse(fields)) < BUDGET


def test_as_many_dates_as_are_allowed_are_read_within_the_budget() -> None:
    dates = [f"{NOW + timedelta(days=day):%Y-%m-%dT09:00:00}" for day in range(1000)]
    written = Written(rrule="FREQ=DAILY", exdates=dates, rdates=dates, time_zone="Europe/Chisinau")
    assert work(lambda: parse_schedule(written, created=NOW)) < BUDGET


@pytest.mark.parametrize("dtstart", [datetime(1970, 1, 1), datetime(2026, 1, 1)], ids=["old", "recent"])
@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO",
        "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6",
        "FREQ=WEEKLY;INTERVAL=53;BYMONTH=2;BYDAY=MO",
        "FREQ=DAILY;INTERVAL=7;BYDAY=FR",
        "FREQ=DAILY;INTERVAL=18250",
        "FREQ=DAILY;COUNT=1000000000000000000",
        "FREQ=DAILY;INTERVAL=2;COUNT=1000000000000000000",
        "FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6,7,8,9;BYMINUTE=0,10,20,30,40,50;COUNT=1000000000000000000",
        "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1;COUNT=100000",
        "FREQ=MINUTELY",
        "FREQ=MINUTELY;COUNT=1000000000000000000;BYDAY=MO",
        "FREQ=MINUTELY;BYHOUR=9;COUNT=1000000",
        "FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO;BYHOUR=3;BYMINUTE=7",
        "FREQ=HOURLY;INTERVAL=2;BYHOUR=1,3,5",
        "FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=SECONDLY;INTERVAL=10",
        "FREQ=SECONDLY;BYSECOND=0",
        "FREQ=SECONDLY;INTERVAL=7200;BYHOUR=1,3,5,7,9,11",
        "FREQ=SECONDLY;INTERVAL=2723;BYDAY=MO,TU,WE,TH,FR,SA;BYHOUR=3;BYMINUTE=5;BYSECOND=1,8,15,22,29,36,43,50,57",
        "FREQ=SECONDLY;INTERVAL=86399;BYHOUR=9;BYMINUTE=0;BYSECOND=0",
    ],
)
@pytest.mark.parametrize("gap", Gap)
def test_no_rule_costs_more_than_the_budget(rule: str, dtstart: datetime, gap: Gap) -> None:
    spec = RRule(rule, dtstart, zone="America/New_York", gap=gap)
    assert work(lambda: next_fires(spec, after=NOW, limit=1)) < BUDGET


@pytest.mark.parametrize("zone_name", ["UTC", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize(
    "expression",
    [
        "* * * * *",
        "30 8 * * 1-5",
        "0 0 29 2 1",
        "*/5 * 29 2 */1",
        "0 0 */31 * 1#5",
        "*/5 3 */31 * 1#5",
        "*/10 * * * * *",
        "0-59/10 0-59 0-23 * * *",
    ],
)
def test_no_cron_costs_more_than_the_budget(expression: str, zone_name: str) -> None:
    cron = Cron(expression, zone_name)
    assert work(lambda: next_fires(cron, after=NOW, limit=1)) < BUDGET


@pytest.mark.parametrize(
    "schedule",
    [
        Cron("* * * * *", "Europe/Chisinau"),
        Cron("30 8 * * 1-5", "Europe/Chisinau"),
        Cron("*/10 * * * * *"),
        RRule("FREQ=DAILY", datetime(1970, 1, 1, 9), zone="Europe/Chisinau"),
        RRule("FREQ=MONTHLY;BYDAY=-1FR", datetime(1970, 1, 1, 9), zone="Europe/Chisinau"),
        RRule("FREQ=MINUTELY;BYHOUR=9", datetime(1970, 1, 1, 9), zone="Europe/Chisinau"),
    ],
    ids=lambda schedule: getattr(schedule, "expression", None) or schedule.rule,
)
def test_the_next_time_of_an_ordinary_schedule_is_cheap(schedule: Schedule) -> None:
    next_fires(schedule, after=NOW, limit=1)
    with counted() as calls:
        next_fires(schedule, after=NOW + timedelta(hours=1), limit=1)
    assert calls() < TYPICAL


def test_tasks_that_share_a_schedule_and_a_time_compute_it_once() -> None:
    cron = Cron("30 8 * * 1-5", "Europe/Chisinau")
    next_fires(cron, after=NOW, limit=2)
    with counted() as calls:
        next_fires(Cron("30 8 * * 1-5", "Europe/Chisinau"), after=NOW + timedelta(microseconds=7), limit=2)
    assert calls() < 30


@pytest.mark.parametrize("limit", [1, 1000])
def test_a_backlog_costs_what_is_asked_for(limit: int) -> None:
    cron = Cron("* * * * *", "Europe/Chisinau")
    assert work(lambda: next_fires(cron, after=NOW - timedelta(days=10_000), limit=limit)) < 1000 + 20 * limit


def test_a_few_missed_times_cost_no_more_than_a_few() -> None:
    """However many a chunk may hold: after an outage, most tasks have missed a few times only."""
    daily, day = (Cron("30 8 * * 1-5", "Europe/Chisinau"),), timedelta(days=1)

    def decide() -> int:
        decision = decide_missed(daily, progress=Progress(NOW - 3 * day), now=NOW + 2 * day, chunk=1000)
        return len(decision.outcomes)

    assert decide() == 3
    with counted() as calls:
        decide()
    assert calls() < 2 * TYPICAL

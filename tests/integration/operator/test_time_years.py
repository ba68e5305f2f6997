"""
The operator's clock driven through two years of changing clocks in seven zones, with a database that has its own now().

The same statements run as in production. What must be in the ledger comes from the slow reference of the schedules'
tests, not from the engine. At each step the law holds: what the rules name up to now = fired + skipped + pending, each
nominal time exactly once, and pending is only what came after the last look.
"""

import random
from bisect import bisect_right
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import pytest

from ordinaut.schedule import Gap
from tests import lawful
from tests.declaring import declare, task
from tests.unit.schedule import reference
from tests.virtualtime import VirtualTime, open_virtual

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
QUARTER, HOUR, DAY = timedelta(minutes=15), timedelta(hours=1), timedelta(days=1)

ZONES = {
    "America/New_York": "30 2 * * *",  # missing once a year
    "America/Havana": "30 0 * * *",  # the hour after midnight
    "Europe/Chisinau": "30 3 * * *",
    "Europe/Dublin": "30 1 * * *",  # shown twice
    "Africa/Cairo": "0 0 * * *",  # midnight is missing
    "Australia/Lord_Howe": "15 2 * * *",  # half an hour
    "Africa/Casablanca": "30 2 * * *",  # leaves its clock for good within the two years
}
"""Zones, and in each a time of the day that one of its changes is about."""

POLICIES: dict[str, dict[str, Any]] = {
    "all": {"policy": "All", "max": 1000},
    "latest": {"policy": "Latest"},
    "none": {"policy": "None"},
}


def schedules(zone: str, expression: str) -> dict[str, tuple[list[dict[str, Any]], list[datetime]]]:
    """Return schedules by name, each with its nominal times of the two years."""

    def times(one: str, gap: Gap = Gap.RUN) -> list[datetime]:
        return reference.cron(one, zone, BEGIN + QUARTER, END, skip=gap is Gap.SKIP, step=QUARTER)

    minute, hour = expression.split()[:2]
    running = f"*/30 {hour} * * *"
    named = {"timeZone": zone}
    rule = reference.Rule("DAILY", interval=2)
    at = datetime(2026, 1, 2, int(hour), int(minute))
    dated = reference.rrule(rule, at, zone, END)
    once, often = times(expression), times(running)
    return {
        "fixed": ([{"cron": expression, **named}], once),
        "skip": ([{"cron": expression, "dstGap": "Skip", **named}], times(expression, Gap.SKIP)),
        "running": ([{"cron": running, **named}], often),
        "both": ([{"cron": expression, **named}, {"cron": running, **named}], reference.merged([once, often])),
        "rrule": ([{"rrule": rule.text(), "dtstart": at.isoformat(), **named}], dated),
    }


def moments(chance: random.Random) -> list[datetime]:
    """Return when somebody looks: every few hours where clocks change, else after days; once after two whole months."""
    changing = [at for zone in ZONES for at in reference.changes(zone) if BEGIN < at < END]
    near = {at + number * 6 * HOUR - DAY for at in changing for number in range(8)}
    found, at = [], BEGIN
    while at < END:
        at += timedelta(seconds=chance.randint(3600, 10 * 86_400))
        found.append(at)
    asleep = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC)
    awake = {at for at in chain(near, found) if at < END and not asleep[0] < at < asleep[1]}
    return [*sorted(awake), END]


async def check(time: VirtualTime, now: datetime, expected: dict[str, list[datetime]]) -> None:
    """Hold the law against the whole ledger."""
    async with time.pool.connection() as connection:
        rows = await connection.execute(
            "SELECT t.name, f.scheduled_at, f.outcome, r.scheduled_at, count(r.run_id) OVER (PARTITION BY r.run_id)"
            " FROM fire f JOIN task t USING (task_id) LEFT JOIN run r ON r.run_id = f.run_id ORDER BY 1, 2"
        )
        found = defaultdict(list)
        async for name, at, outcome, run_at, runs in rows:
            assert (run_at, runs) == ((at, 1) if outcome == "Fired" else (None, 0)), (name, at)
            found[name].append(at)
        clocks = await connection.execute(
            "SELECT name, evaluated_at, next_fire_at FROM task JOIN task_clock USING (task_id)"
        )
        async for name, evaluated, following in clocks:
            come = [at for at in expected[name] if at <= now]
            assert found[name] == come, name
            assert following == next((at for at in expected[name] if at > now), following), name
            assert evaluated <= now < following


async def outcomes(time: VirtualTime) -> dict[str, dict[str, int]]:
    """Return how often each task fired, or was skipped for which reason."""
    async with time.pool.connection() as connection:
        rows = await connection.execute(
            "SELECT t.name, coalesce(f.reason, 'Fired'), count(*) FROM fire f JOIN task t USING (task_id) GROUP BY 1, 2"
        )
        found: dict[str, dict[str, int]] = defaultdict(dict)
        async for name, outcome, count in rows:
            found[name][outcome] = count
    return found


@pytest.mark.timeout(180)
async def test_two_years_in_seven_zones(database: str) -> None:
    chance = random.Random(5)
    expected: dict[str, list[datetime]] = {}
    documents = []
    for number, (zone, expression) in enumerate(ZONES.items()):
        for kind, (written, times) in schedules(zone, expression).items():
            for policy, catch_up in POLICIES.items() if kind in {"fixed", "both"} else [("all", POLICIES["all"])]:
                name = f"{kind}-{policy}-{number}"
                expected[name] = times
                documents.append(task(name, LOG, schedules=written, catchUp=catch_up))
    async with open_virtual(database, now=BEGIN) as time:
        await declare(time.pool, *documents)
        looked_at = moments(chance)
        assert len(looked_at) > 200
        all_times = sorted(chain.from_iterable(expected.values()))
        total = 0
        for look, now in enumerate(looked_at):
            done = await time.fire(now)
            total += done.fired + done.skipped
            assert total == bisect_right(all_times, now)
            if look % 5 == 0:
                # What the operator and `ordinaut verify` find on live data must be as right as the reference.
                await lawful.assert_law(time.pool)
            if look % 60 == 0 or now == END:
                await check(time, now, expected)
        found = await outcomes(time)

    for name, times in expected.items():
        assert sum(found[name].values()) == len(times)
        kinds = {"all": {"Fired"}, "latest": {"Fired", "Coalesced"}, "none": {"Fired", "NotCaughtUp"}}
        assert found[name].keys() <= kinds[name.split("-")[1]], name
        # A look finds at most one time for Latest, and with two months asleep it has left out many.
        if "latest" in name:
            assert found[name]["Coalesced"] >= 30

"""The law of the ledger: what keeps it in every way that a clock can stand, and what breaks it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from ordinaut.declaration import law
from ordinaut.declaration.nominal import stored_schedules
from ordinaut.schedule import next_fires, tzdata_version
from ordinaut.store.invariants import Invariant
from ordinaut.store.ledger import Account

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SINCE = datetime(2027, 3, 26, 12, 0, 0, 250_000, tzinfo=UTC)
UNTIL = SINCE + 5 * DAY
"""A change of clocks lies in between: 28 March, 02:00 to 03:00."""

BERLIN = {"timeZone": "Europe/Berlin"}
SCHEDULES: dict[str, list[dict[str, Any]]] = {
    "missing time": [{"cron": "30 2 * * *", **BERLIN}],
    "missing time skipped": [{"cron": "30 2 * * *", "dstGap": "Skip", **BERLIN}],
    "running": [{"cron": "*/20 * * * *", **BERLIN}],
    "merged": [{"cron": "30 2 * * *", **BERLIN}, {"cron": "*/30 * * * *"}],
    "rrule": [{"rrule": "FREQ=DAILY;BYHOUR=2,3;BYMINUTE=30", "dtstart": "2027-03-01T02:30:00", **BERLIN}],
    "interval": [{"interval": "7h"}],
    "ended": [{"cron": "@hourly", "end": "2027-03-28T01:00:00Z"}],
    "once": [{"at": "2027-03-27T12:00:00Z"}],
}


def clock(schedules: list[dict[str, Any]], **more: Any) -> Account:
    """Return a clock that has decided everything up to UNTIL, a minute ago, and has fired at all times."""
    parsed = stored_schedules(schedules, anchor=SINCE)
    times = [at for at in next_fires(parsed, after=SINCE, limit=1000) if at <= UNTIL]
    account = Account(
        task_id=1,
        namespace="default",
        name="task",
        schedules=schedules,
        anchor=SINCE,
        asleep=False,
        snoozed_until=None,
        counted_from=SINCE,
        evaluated_at=UNTIL,
        next_fire_at=next(iter(next_fires(parsed, after=UNTIL, limit=1)), None),
        tzdata=tzdata_version(),
        now=UNTIL + timedelta(seconds=2),
        times=times,
        fired=[True] * len(times),
        backfilled=[False] * len(times),
    )
    return replace(account, **more)


def judged(account: Account, *, lines: int = 500) -> law.Judgement:
    """Return what a look at the newest lines finds; the whole ledger in parts says the same of all of it."""
    count = min(len(account.times), lines + 1)
    look = replace(
        account,
        times=account.times[-count:] if count else [],
        fired=account.fired[-count:] if count else [],
        backfilled=account.backfilled[-count:] if count else [],
    )
    found = law.newest(look, lines=lines)
    assert found is not None
    return found


def parts(account: Account, *, lines: int) -> list[law.Judgement]:
    """Return the judgements of all parts of a ledger, read as the store reads them."""
    found: list[law.Judgement] = []
    after = datetime(1970, 1, 1, tzinfo=UTC)
    while not found or not found[-1].is_whole:
        first = next((place for place, at in enumerate(account.times) if at > after), len(account.times))
        read = slice(first, first + lines + 1)
        look = replace(
            account, times=account.times[read], fired=account.fired[read], backfilled=account.backfilled[read]
        )
        part = law.part(look, after=after, lines=lines)
        assert part is not None
        found.append(part)
        after = part.until
    assert all(one.until == other.after for one, other in pairwise(found))
    return found


def added(account: Account, *, lines: int) -> tuple[int, int, int, int, list[str]]:
    found = parts(account, lines=lines)
    breaches = [breach.text for part in found for breach in part.breaches]
    return (
        sum(part.nominal for part in found),
        sum(part.fired for part in found),
        sum(part.skipped for part in found),
        sum(part.pending for part in found),
        breaches,
    )


def without(account: Account, *places: int) -> Account:
    """Return a ledger that lacks some of its lines."""
    places = tuple(place % len(account.times) for place in places)
    kept = [place for place in range(len(account.times)) if place not in places]
    return replace(
        account,
        times=[account.times[place] for place in kept],
        fired=[account.fired[place] for place in kept],
        backfilled=[account.backfilled[place] for place in kept],
    )


def with_line(account: Account, at: datetime, *, fired: bool = True, backfilled: bool = False) -> Account:
    lines = sorted([*zip(account.times, account.fired, account.backfilled, strict=True), (at, fired, backfilled)])
    return replace(
        account, times=[one[0] for one in lines], fired=[one[1] for one in lines], backfilled=[one[2] for one in lines]
    )


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("lines", [1, 3, 500])
def test_a_complete_ledger_keeps_the_law(kind: str, lines: int) -> None:
    account = clock(SCHEDULES[kind])
    count = len(account.times)
    assert count > 0

    newest = judged(account, lines=lines)
    assert newest.breaches == ()
    assert (newest.nominal, newest.fired) == (min(count, lines),) * 2
    assert added(account, lines=lines) == (count, count, 0, 0, [])


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("place", [0, -1, 1])
def test_each_line_that_is_lacking_is_named(kind: str, place: int) -> None:
    account = clock(SCHEDULES[kind])
    lacking = account.times[place % len(account.times)]
    text = f"{lacking:%Y-%m-%dT%H:%M:%SZ} is a nominal time, and the ledger has no line for it"

    newest = judged(without(account, place))
    assert newest.breaches == (law.Breach(Invariant.UNACCOUNTED_TIME, lacking, text),)
    assert newest.nominal == len(account.times) == newest.fired + 1
    for lines in (1, 2, 3):
        assert added(without(account, place), lines=lines)[-1] == [text]


@pytest.mark.parametrize("kind", SCHEDULES)
@pytest.mark.parametrize("away", [MINUTE, -MINUTE, 3 * DAY])
@pytest.mark.parametrize("fired", [True, False])
def test_a_line_that_no_schedule_names_is_invented_unless_a_backfill_made_it(
    kind: str, away: timedelta, fired: bool
) -> None:
    account = clock(SCHEDULES[kind])
    at = account.times[len(account.times) // 2] + away + timedelta(seconds=7)
    assert at > SINCE
    outcome = "fired" if fired else "skipped"
    text = f"{at:%Y-%m-%dT%H:%M:%SZ} is {outcome} in the ledger, and no schedule names it"

    broken = with_line(account, at, fired=fired)
    assert judged(broken).breaches == (law.Breach(Invariant.INVENTED_TIME, at, text),)
    for lines in (1, 2, 3):
        assert added(broken, lines=lines)[-1] == [text]

    assert judged(with_line(account, at, backfilled=True)).breaches == ()


def test_a_line_of_a_time_that_is_still_to_come_is_invented() -> None:
    account = clock(SCHEDULES["running"])
    assert account.next_fire_at is not None
    (breach,) = judged(with_line(account, account.next_fire_at)).breaches
    assert (breach.invariant, breach.at) == (Invariant.INVENTED_TIME, account.next_fire_at)


def test_skipped_times_count_as_skipped() -> None:
    account = clock(SCHEDULES["running"])
    account = replace(account, fired=[place % 3 == 0 for place in range(len(account.times))])
    found = judged(account)
    assert (found.nominal, found.fired, found.skipped) == (360, 120, 240)


def test_a_backfilled_line_accounts_for_its_time() -> None:
    account = clock(SCHEDULES["interval"])
    account = replace(account, backfilled=[True] * len(account.times))
    found = judged(account)
    assert (found.breaches, found.nominal, found.fired) == ((), len(account.times), len(account.times))


def late(**more: Any) -> Account:
    """Return a clock that has decided nothing for six hours and has twelve times to decide."""
    account = clock([{"cron": "*/30 * * * *"}])
    return replace(account, now=UNTIL + 6 * HOUR, **more)


def test_times_that_have_come_are_pending_as_long_as_the_clock_is_set_to_the_first() -> None:
    account = late()
    found = judged(account)
    assert (found.nominal, found.fired, found.pending, found.breaches) == (252, 240, 12, ())
    assert added(account, lines=7) == (252, 240, 0, 12, [])
    assert account.next_fire_at is not None
    made_up = with_line(account, account.next_fire_at, backfilled=True)
    assert (judged(made_up).nominal, judged(made_up).fired, judged(made_up).pending) == (252, 241, 11)


def test_what_is_pending_is_counted_within_bounds() -> None:
    assert judged(replace(late(), now=UNTIL + 400 * DAY)).pending == law.PENDING


NEXT = datetime(2027, 3, 31, 12, 30, tzinfo=UTC)

CLOCKS: dict[str, tuple[dict[str, Any], datetime | None]] = {
    "awake": ({}, NEXT),
    "suspended": ({"asleep": True}, None),
    "without schedules": ({"schedules": []}, None),
    "with a spec that can't be used": ({"schedules": None}, None),
    "snoozed": ({"snoozed_until": UNTIL + 3 * DAY}, UNTIL + 3 * DAY),
    "snoozed for less than that": ({"snoozed_until": UNTIL + MINUTE}, NEXT),
    "snoozed long ago": ({"snoozed_until": UNTIL - DAY}, NEXT),
    "suspended and snoozed": ({"asleep": True, "snoozed_until": UNTIL + DAY}, None),
    "finished": ({"schedules": [{"at": "2027-01-01T00:00:00Z"}]}, None),
}


@pytest.mark.parametrize("kind", CLOCKS)
def test_a_clock_is_set_to_the_first_time_that_is_not_decided(kind: str) -> None:
    changes, right = CLOCKS[kind]
    account = late(counted_from=UNTIL, times=[], fired=[], backfilled=[], **changes)
    set_right = replace(account, next_fire_at=right)
    assert judged(set_right).breaches == ()

    for wrong in {None, NEXT + 30 * MINUTE, NEXT - MINUTE, UNTIL + 4 * DAY} - {right}:
        found = judged(replace(account, next_fire_at=wrong))
        assert [one.invariant for one in found.breaches] == [Invariant.WRONG_NEXT_TIME]
        assert found.breaches[0].at == wrong
        told = "no time" if right is None else f"{right:%Y-%m-%dT%H:%M}"
        assert f"and the schedules say {told}" in found.breaches[0].text


def test_once_a_snooze_is_over_what_it_held_back_is_worked_off() -> None:
    """The first part of it is found at the end of the snooze, the next ones at the times themselves."""
    over = late(snoozed_until=UNTIL + 5 * HOUR)
    assert judged(replace(over, next_fire_at=NEXT)).breaches == ()
    assert judged(replace(over, next_fire_at=UNTIL + 5 * HOUR)).breaches == ()
    assert judged(replace(over, next_fire_at=NEXT + HOUR)).breaches != ()


def test_what_sleeps_has_nothing_pending() -> None:
    assert judged(late(asleep=True, next_fire_at=None)).pending == 0


def test_other_time_zone_data_can_not_be_judged() -> None:
    account = late(tzdata="1999z")
    assert law.newest(account, lines=10) is None
    assert law.part(account, after=SINCE, lines=10) is None


@pytest.mark.parametrize("count", [0, 1, 40])
def test_a_ledger_that_lacks_almost_everything_is_looked_through_in_bounded_parts(count: int) -> None:
    full = clock([{"cron": "* * * * *", "timeZone": "Europe/Berlin"}], evaluated_at=UNTIL)
    full = replace(full, times=full.times[:count], fired=full.fired[:count], backfilled=full.backfilled[:count])
    look = judged(full, lines=50)
    assert not look.is_whole
    assert look.nominal == count + law.MORE
    assert len(look.breaches) == law.MORE

    found = parts(full, lines=50)
    minutes = int(5 * DAY / MINUTE)
    assert max(part.nominal for part in found) <= 50 + law.MORE
    assert sum(part.nominal for part in found) == minutes
    missing = [breach.at for part in found for breach in part.breaches]
    assert len(missing) == len(set(missing)) == minutes - count


def test_the_edges_of_what_counts() -> None:
    """The time at which schedules begin to count is not theirs any more, that of the last decision is."""
    start = datetime(2027, 3, 26, 12, tzinfo=UTC)
    account = clock([{"cron": "@hourly"}], counted_from=start, evaluated_at=start + HOUR, now=start + HOUR)
    account = replace(account, times=[start + HOUR], fired=[True], backfilled=[False], next_fire_at=start + 2 * HOUR)
    found = judged(account)
    assert (found.nominal, found.fired, found.pending, found.breaches) == (1, 1, 0, ())


def test_a_look_comes_to_the_end_even_where_lines_run_ahead_of_the_clock() -> None:
    account = clock(SCHEDULES["interval"])
    for hours in (1, 2, 3):
        account = with_line(account, UNTIL.replace(microsecond=0) + hours * HOUR, backfilled=True)
    assert judged(account).is_whole
    assert judged(account, lines=2).breaches == ()
    assert [breach for part in parts(account, lines=2) for breach in part.breaches] == []

"""What is to be done about partitions is decided by what is there."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

from ordinaut.store.partitions import (
    DAYS_AHEAD,
    EPOCH,
    MOVED_AT_ONCE,
    Action,
    Convert,
    Drop,
    Free,
    Make,
    Partition,
    Strays,
    plan,
    start,
)

TODAY = date(2026, 11, 23)
TABLES = ("run", "step", "event_log")
KEPT = {"run": 30, "step": 30, "event_log": 3}
AHEAD = range(-1, DAYS_AHEAD + 1)
MANY = MOVED_AT_ONCE + 1


def day(number: int) -> date:
    return TODAY + timedelta(number)


def there(numbers: Iterable[int], *, tables: Iterable[str] = TABLES) -> list[Partition]:
    """Return partitions of days, by how far they are from today."""
    return [
        Partition(table, f"{table}_{day(n):%Y%m%d}", start(day(n)), start(day(n + 1)))
        for n in numbers
        for table in tables
    ]


def planned(partitions: list[Partition], *strays: Strays) -> list[Action]:
    given = {one.parent: one for one in strays}
    return plan(partitions, [given.get(table, Strays(table)) for table in TABLES], today=TODAY, days=KEPT)


def test_nothing_is_to_be_done_where_all_is_there() -> None:
    assert planned(there(AHEAD)) == []


def test_today_and_tomorrow_come_first() -> None:
    made = planned([])

    assert made[:6] == [Make(table, day(n)) for n in (0, 1) for table in TABLES]
    assert made[6:] == [Make(table, day(n)) for n in (*range(2, DAYS_AHEAD + 1), -1) for table in TABLES]


def test_a_partition_of_several_days_stands_for_each() -> None:
    wide = [Partition(table, "x", start(day(-9)), start(day(2))) for table in TABLES]

    assert planned([*wide, *there(range(2, DAYS_AHEAD + 1))]) == []


def test_what_is_past_its_retention_is_dropped_runs_before_their_steps() -> None:
    old = [Partition(table, table, start(day(-40)), start(day(-30))) for table in ("step", "run")]
    kept = Partition("run", "kept", start(day(-31)), start(day(-29)))

    assert planned([*old, kept, *there(AHEAD), *there([-4, -3], tables=["event_log"])]) == [
        Drop("run", "run"),
        Drop("step", "step"),
        Drop("event_log", f"event_log_{day(-4):%Y%m%d}"),
    ]


def test_a_few_strays_are_moved_by_their_days_and_steps_get_a_place_too() -> None:
    strays = Strays("run", rows=3, days=[day(-9), day(-5)])

    assert planned(there(AHEAD), strays) == [Make(table, day(n)) for n in (-5, -9) for table in TABLES]


def test_strays_beyond_the_days_ahead_are_left_alone() -> None:
    assert planned(there(AHEAD), Strays("run", rows=1, days=[day(900)])) == []


def test_many_strays_are_converted_together_with_the_whole_gap() -> None:
    before, until = there(range(-22, -20)), start(day(2))
    strays = Strays("step", rows=MANY, days=[day(-18), day(0)])

    made = planned(before, strays)

    assert made[0] == Convert("step", start(day(-20)), until)
    # Each new partition of this table would have PostgreSQL look at all strays.
    assert not any(isinstance(one, Make) and one.parent == "step" for one in made)
    assert made[1] == Make("run", day(0))
    assert Make("run", day(-18)) in made


def test_strays_of_the_very_first_days_are_converted_too() -> None:
    assert planned([], Strays("run", rows=MANY, days=[day(-3)]))[0] == Convert("run", EPOCH, start(day(2)))


def test_a_gap_before_the_present_partitions_ends_where_they_begin() -> None:
    strays = Strays("run", rows=MANY, days=[day(-18), day(-7)])

    assert planned([*there([-20]), *there(AHEAD)], strays)[0] == Convert("run", start(day(-19)), start(day(-1)))


def test_many_strays_are_moved_where_somebody_may_write_outside_of_their_gap() -> None:
    several = Strays("run", rows=MANY, days=[day(-18), day(-12)])
    now_missing = Strays("run", rows=MANY, days=[day(-18)])

    for partitions, strays in ((there([-15, *AHEAD]), several), (there([-15, -1]), now_missing)):
        made = planned(partitions, strays)
        assert not any(isinstance(one, Convert) for one in made)
        assert Make("run", day(-18)) in made


def test_bounds_that_nobody_needs_any_more_are_taken_back_first() -> None:
    assert planned(there(AHEAD), Strays("run", bounded=True)) == [Free("run")]
    begun = Strays("run", rows=MANY, days=[day(0)], bounded=True)
    assert Free("run") not in planned([], begun)


def test_what_becomes_scarce_or_is_long_overdue_is_urgent() -> None:
    made = planned(there([-40, -33, -32, -31], tables=["run"]))

    assert [one.day for one in made if isinstance(one, Make) and one.parent == "run" and one.urgent] == [
        *(day(n) for n in (0, 1, 2)),
        day(-1),
    ]
    assert [one.urgent for one in made if isinstance(one, Drop)] == [True, True, False, False]
    assert all(one.urgent for one in planned([], Strays("run", rows=MANY, days=[day(0)])) if isinstance(one, Convert))


def test_days_begin_in_utc() -> None:
    assert start(TODAY) == datetime(2026, 11, 23, tzinfo=UTC)

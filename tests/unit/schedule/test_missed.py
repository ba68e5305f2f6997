"""What becomes of nominal times that are due: the tables of the rules, and that chunks and crashes change nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordinaut.schedule import CatchUp, CatchUpPolicy, Cron, Decision, Interval, Outcome, Progress, decide_missed
from ordinaut.states import SkipReason
from tests.unit.schedule.clocks import against_reference

NOW = datetime(2026, 11, 23, 12, 0, 5, 250_000, tzinfo=UTC)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
HOURLY = (Cron("@hourly"),)
MINUTELY = (Cron("* * * * *"),)

NONE, LATEST, ALL = (CatchUp(policy) for policy in CatchUpPolicy)


def fates(decision: Decision) -> list[str]:
    return [f"{outcome.scheduled_at:%H:%M} {outcome.skipped or 'Fired'}" for outcome in decision.outcomes]


def test_a_time_that_has_come_fires_and_the_next_one_is_named() -> None:
    decision = decide_missed(HOURLY, progress=Progress(NOW - HOUR), now=NOW)
    assert decision == Decision((Outcome(NOON),), Progress(NOW), NOON + HOUR)


def test_before_its_time_nothing_happens() -> None:
    early = NOON - timedelta(microseconds=1)
    decision = decide_missed(HOURLY, progress=Progress(NOON - MINUTE), now=early)
    assert decision == Decision((), Progress(early), NOON)


def test_what_was_evaluated_is_not_evaluated_again() -> None:
    assert decide_missed(HOURLY, progress=Progress(NOON), now=NOW).outcomes == ()


def test_a_new_schedule_does_not_fire_for_the_past() -> None:
    decision = decide_missed(HOURLY, progress=Progress(NOW), now=NOW, catch_up=ALL)
    assert decision == Decision((), Progress(NOW), NOON + HOUR)


@pytest.mark.parametrize("step_back", [timedelta(seconds=1), HOUR, timedelta(days=400)])
def test_a_clock_that_is_set_back_fires_nothing_twice(step_back: timedelta) -> None:
    decision = decide_missed(HOURLY, progress=Progress(NOW), now=NOW - step_back, catch_up=ALL)
    assert decision == Decision((), Progress(NOW), NOON + HOUR)


def test_the_last_time_of_all_leaves_no_next_one() -> None:
    once = (Interval(timedelta(days=40_000), NOON),)
    assert decide_missed(once, progress=Progress(NOW - HOUR), now=NOW).next_fire is None


@pytest.mark.parametrize(
    ("catch_up", "deadline", "expected"),
    [
        (NONE, None, ["09:00 NotCaughtUp", "10:00 NotCaughtUp", "11:00 NotCaughtUp", "12:00 Fired"]),
        (LATEST, None, ["09:00 Coalesced", "10:00 Coalesced", "11:00 Coalesced", "12:00 Fired"]),
        (ALL, None, ["09:00 Fired", "10:00 Fired", "11:00 Fired", "12:00 Fired"]),
        (replace(ALL, max=2), None, ["09:00 Fired", "10:00 Fired", "11:00 CatchUpLimit", "12:00 CatchUpLimit"]),
        (NONE, HOUR, ["09:00 DeadlineExceeded", "10:00 DeadlineExceeded", "11:00 DeadlineExceeded", "12:00 Fired"]),
        (LATEST, 2 * HOUR, ["09:00 DeadlineExceeded", "10:00 DeadlineExceeded", "11:00 Coalesced", "12:00 Fired"]),
        (
            replace(ALL, max=1),
            2 * HOUR,
            ["09:00 DeadlineExceeded", "10:00 DeadlineExceeded", "11:00 Fired", "12:00 CatchUpLimit"],
        ),
    ],
)
def test_the_table_of_catching_up(catch_up: CatchUp, deadline: timedelta | None, expected: list[str]) -> None:
    decision = decide_missed(
        HOURLY,
        progress=Progress(NOON - 4 * HOUR),
        now=NOW,
        catch_up=catch_up,
        starting_deadline=deadline,
    )
    assert fates(decision) == expected
    assert (decision.progress, decision.next_fire) == (Progress(NOW), NOON + HOUR)


@pytest.mark.parametrize(("age", "fate"), [(60, "12:00 Fired"), (61, "12:00 NotCaughtUp")])
def test_without_catching_up_a_minute_late_is_still_on_time(age: int, fate: str) -> None:
    now = NOON + timedelta(seconds=age)
    assert fates(decide_missed(HOURLY, progress=Progress(NOON - MINUTE), now=now, catch_up=NONE)) == [fate]


@pytest.mark.parametrize(("age", "fate"), [(300, "12:00 Fired"), (301, "12:00 DeadlineExceeded")])
@pytest.mark.parametrize("catch_up", [LATEST, ALL])
def test_the_deadline_itself_is_in_time(catch_up: CatchUp, age: int, fate: str) -> None:
    decision = decide_missed(
        HOURLY,
        progress=Progress(NOON - MINUTE),
        now=NOON + timedelta(seconds=age),
        catch_up=catch_up,
        starting_deadline=timedelta(seconds=300),
    )
    assert fates(decision) == [fate]


def test_if_even_the_newest_is_too_late_none_is_caught_up() -> None:
    decision = decide_missed(
        HOURLY, progress=Progress(NOON - 2 * HOUR), now=NOON + 30 * MINUTE, starting_deadline=10 * MINUTE
    )
    assert {outcome.skipped for outcome in decision.outcomes} == {SkipReason.DEADLINE_EXCEEDED}


def test_several_schedules_share_one_row_per_time() -> None:
    both = (Cron("0 * * * *"), Cron("*/30 * * * *"))
    decision = decide_missed(both, progress=Progress(NOON - HOUR), now=NOW, catch_up=ALL)
    assert fates(decision) == ["11:30 Fired", "12:00 Fired"]


def work_off(
    progress: Progress,
    *,
    now: datetime,
    catch_up: CatchUp,
    deadline: timedelta | None,
    chunk: int,
    delay: timedelta,
    held_until: datetime | None = None,
) -> list[Outcome]:
    """Decide chunk after chunk, time going on in between, until nothing is due; count every time's outcomes."""
    outcomes: list[Outcome] = []
    while True:
        decision = decide_missed(
            MINUTELY,
            progress=progress,
            now=now,
            catch_up=catch_up,
            starting_deadline=deadline,
            held_until=held_until,
            chunk=chunk,
        )
        assert len(decision.outcomes) <= chunk
        outcomes += decision.outcomes
        progress, now = decision.progress, now + delay
        if progress.as_of is None:
            return outcomes
        assert decision.next_fire is not None
        assert decision.next_fire <= now


@against_reference
@given(
    policy=st.sampled_from(CatchUpPolicy),
    most=st.integers(1, 12),
    missed=st.integers(0, 30),
    deadline=st.one_of(st.none(), st.integers(0, 40).map(lambda minutes: minutes * MINUTE)),
    chunk=st.integers(1, 12),
    delay=st.sampled_from([timedelta(0), timedelta(seconds=45), timedelta(minutes=7)]),
)
def test_chunks_decide_what_one_big_chunk_would_have_decided(
    policy: CatchUpPolicy, most: int, missed: int, deadline: timedelta | None, chunk: int, delay: timedelta
) -> None:
    catch_up, begin = CatchUp(policy, most), Progress(NOW - missed * MINUTE)
    whole = work_off(begin, now=NOW, catch_up=catch_up, deadline=deadline, chunk=1000, delay=delay)
    assert work_off(begin, now=NOW, catch_up=catch_up, deadline=deadline, chunk=chunk, delay=delay) == whole
    assert [outcome.scheduled_at for outcome in whole] == [NOON - back * MINUTE for back in reversed(range(missed))]


@pytest.mark.parametrize(
    ("catch_up", "deadline", "held_until", "expected"),
    [
        # What a snooze held back is as good as due when it is over.
        (NONE, None, NOON + MINUTE, ["11:58 Coalesced", "11:59 Coalesced", "12:00 Coalesced", "12:01 Fired"]),
        (NONE, None, NOON, ["11:58 Coalesced", "11:59 Coalesced", "12:00 Fired", "12:01 Fired"]),
        (LATEST, None, NOON, ["11:58 Coalesced", "11:59 Coalesced", "12:00 Coalesced", "12:01 Fired"]),
        (ALL, None, NOON, ["11:58 Fired", "11:59 Fired", "12:00 Fired", "12:01 Fired"]),
        (
            replace(ALL, max=1),
            None,
            NOON,
            ["11:58 Fired", *(f"{at} CatchUpLimit" for at in ("11:59", "12:00", "12:01"))],
        ),
        (ALL, MINUTE, NOON + MINUTE, ["11:58 Fired", "11:59 Fired", "12:00 Fired", "12:01 Fired"]),
        # Nobody was there when it was over: from then on it was missed like anything else.
        (NONE, None, NOON - MINUTE, ["11:58 NotCaughtUp", "11:59 NotCaughtUp", "12:00 Fired", "12:01 Fired"]),
        (
            ALL,
            MINUTE,
            NOON - MINUTE,
            ["11:58 DeadlineExceeded", "11:59 DeadlineExceeded", "12:00 Fired", "12:01 Fired"],
        ),
    ],
)
def test_the_table_of_what_was_held_back(
    catch_up: CatchUp, deadline: timedelta | None, held_until: datetime, expected: list[str]
) -> None:
    decision = decide_missed(
        MINUTELY,
        progress=Progress(NOON - 3 * MINUTE),
        now=NOON + MINUTE,
        catch_up=catch_up,
        starting_deadline=deadline,
        held_until=held_until,
    )
    assert fates(decision) == expected


@against_reference
@given(
    policy=st.sampled_from(CatchUpPolicy),
    most=st.integers(1, 6),
    missed=st.integers(0, 20),
    held=st.integers(-3, 20),
    deadline=st.one_of(st.none(), st.integers(0, 20).map(lambda minutes: minutes * MINUTE)),
    chunk=st.integers(1, 8),
)
def test_held_times_are_decided_as_if_they_had_come_when_the_snooze_was_over(
    policy: CatchUpPolicy, most: int, missed: int, held: int, deadline: timedelta | None, chunk: int
) -> None:
    until = NOON - held * MINUTE
    found = work_off(
        Progress(NOW - missed * MINUTE),
        now=NOW,
        catch_up=CatchUp(policy, most),
        deadline=deadline,
        chunk=chunk,
        delay=MINUTE,
        held_until=until,
    )
    times = [NOON - back * MINUTE for back in reversed(range(missed))]
    assert [outcome.scheduled_at for outcome in found] == times
    ages = {time: NOW - max(time, until) for time in times}
    young = [time for time in times if deadline is None or ages[time] <= deadline]
    match policy:
        case CatchUpPolicy.ALL:
            expected = young[:most]
        case CatchUpPolicy.LATEST:
            expected = [time for time in young if time == times[-1]]
        case CatchUpPolicy.NONE:
            newest_held = max((time for time in times if time <= until), default=None)
            on_time = [time for time in young if ages[time] <= MINUTE]
            expected = [time for time in on_time if time > until or time == newest_held]
    assert [outcome.scheduled_at for outcome in found if outcome.skipped is None] == expected


def test_a_hundred_thousand_missed_times_get_one_outcome_each() -> None:
    missed = 100_000
    outcomes = work_off(
        Progress(NOW - missed * MINUTE), now=NOW, catch_up=LATEST, deadline=None, chunk=1000, delay=timedelta(0)
    )
    assert len({outcome.scheduled_at for outcome in outcomes}) == len(outcomes) == missed
    assert [outcome for outcome in outcomes if outcome.skipped is None] == [Outcome(NOON)]


def test_a_crash_between_chunks_repeats_the_chunk_and_nothing_else() -> None:
    first = decide_missed(MINUTELY, progress=Progress(NOW - 10 * MINUTE), now=NOW, catch_up=ALL, chunk=4)
    lost = decide_missed(MINUTELY, progress=first.progress, now=NOW + MINUTE, catch_up=ALL, chunk=4)
    again = decide_missed(MINUTELY, progress=first.progress, now=NOW + 9 * MINUTE, catch_up=ALL, chunk=4)
    assert again == lost


def test_times_that_come_while_a_backlog_is_worked_off_are_decided_after_it() -> None:
    first = decide_missed(MINUTELY, progress=Progress(NOW - 3 * MINUTE), now=NOW, chunk=2)
    second = decide_missed(MINUTELY, progress=first.progress, now=NOW + 5 * MINUTE, chunk=2)
    assert fates(second) == ["12:00 Fired"]
    assert (second.progress, second.next_fire) == (Progress(NOW), NOON + MINUTE)


def test_the_limit_of_catching_up_holds_across_chunks() -> None:
    catch_up = replace(ALL, max=3)
    outcomes = work_off(
        Progress(NOW - 8 * MINUTE), now=NOW, catch_up=catch_up, deadline=None, chunk=2, delay=timedelta(0)
    )
    assert [outcome.skipped for outcome in outcomes] == [None] * 3 + [SkipReason.CATCH_UP_LIMIT] * 5

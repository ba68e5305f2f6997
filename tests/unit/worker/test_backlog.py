"""Whose turn it is under a backlog: urgency with ageing, lanes in turns, nobody left out."""

from collections import Counter
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from ordinaut.store.work import Flow, LeasedWork
from ordinaut_worker.backlog import AGEING, FORGET, Backlog
from tests.unit.worker.works import leased

NOW = 1000.0
LANES = st.integers(-(2**31), 2**31 - 1)
FLOWS = st.sets(
    st.builds(Flow, st.just(0), st.integers(0, 9), st.sampled_from([-5, 0, 7, 2**31 - 1])), min_size=1, max_size=20
)


def flow(*, urgency: int = 4, lane: int = 1) -> Flow:
    return Flow(0, urgency, lane)


def backlog(*flows: Flow, waited: float = 0.0) -> Backlog:
    made = Backlog()
    made.found(dict.fromkeys(flows, timedelta(seconds=waited)), now=NOW)
    return made


def turns(made: Backlog, slots: int) -> Counter[Flow]:
    return Counter({share.flow: share.limit for share in made.shares(slots, now=NOW)})


def work(of: Flow, *ids: int) -> list[LeasedWork]:
    return [leased(n, queue=of.queue, urgency=of.urgency, lane=of.lane) for n in ids]


def test_one_flow_gets_everything() -> None:
    assert turns(backlog(flow()), 500) == {flow(): 500}


def test_lanes_take_turns() -> None:
    flood, other = flow(lane=1), flow(lane=2)

    assert turns(backlog(flood, other), 10) == {flood: 5, other: 5}


def test_a_lane_that_comes_later_is_next_but_has_no_turns_to_catch_up_with() -> None:
    made = backlog(flow(lane=1))
    turns(made, 1000)
    made.found({flow(lane=2): timedelta(0)}, now=NOW)

    assert turns(made, 3)[flow(lane=2)] >= 1
    assert turns(made, 100)[flow(lane=1)] == 50


def test_the_more_urgent_goes_first_within_a_lane_and_the_other_is_not_forgotten() -> None:
    urgent, patient = flow(urgency=0), flow(urgency=9)
    made = backlog(urgent, patient)

    assert turns(made, 100) == {urgent: 100}
    made.leased(made.shares(1, now=NOW), [], now=NOW)  # the urgent ones are gone
    assert turns(made, 100) == {patient: 100}


def test_whoever_calls_everything_urgent_keeps_nobody_out() -> None:
    loud, quiet = flow(urgency=0, lane=1), flow(urgency=4, lane=2)

    found = turns(backlog(loud, quiet), 100)

    assert found[quiet] == 25


def test_what_has_waited_long_is_as_urgent_as_what_has_just_come() -> None:
    made = Backlog()
    old, new = flow(urgency=9), flow(urgency=4)
    made.found({old: timedelta(seconds=5 * AGEING), new: timedelta(0)}, now=NOW)

    assert turns(made, 10) == {old: 5, new: 5}


def test_what_is_urgent_and_has_just_come_does_not_wait_for_all_that_is_old() -> None:
    made = Backlog()
    old, new = flow(urgency=9), flow(urgency=4)
    made.found({old: timedelta(days=1), new: timedelta(0), flow(lane=2): timedelta(0)}, now=NOW)

    assert turns(made, 12) == {flow(lane=2): 6, old: 3, new: 3}


def test_a_flow_is_read_behind_what_was_taken_from_it_until_that_is_forgotten() -> None:
    made = backlog(flow())
    shares = made.shares(2, now=NOW)
    taken = work(flow(), 1, 2)
    made.leased(shares, taken, now=NOW)

    (share,) = made.shares(2, now=NOW)
    assert (share.after_due, share.after_id) == (taken[-1].due_at, 2)
    (share,) = made.shares(2, now=NOW + FORGET)
    assert (share.after_due, share.after_id) == (None, 0)


def test_a_flow_that_had_too_little_is_read_from_its_beginning_before_it_is_let_go() -> None:
    made = backlog(flow())
    made.leased(made.shares(2, now=NOW), work(flow(), 1, 2), now=NOW)

    made.leased(made.shares(2, now=NOW), work(flow(), 3), now=NOW)
    (share,) = made.shares(2, now=NOW)
    assert share.after_due is None

    made.leased([share], [], now=NOW)
    assert not made


def test_what_was_taken_without_knowing_any_flow_is_where_it_begins() -> None:
    made = Backlog()
    made.begin([*work(flow(lane=1), 1, 2), *work(flow(lane=2), 3)], now=NOW)

    assert {share.flow.lane: share.after_id for share in made.shares(2, now=NOW)} == {1: 2, 2: 3}


@given(FLOWS, st.integers(0, 200))
def test_all_slots_are_given_away_and_no_more(flows: set[Flow], slots: int) -> None:
    found = turns(backlog(*flows), slots)

    assert found.total() == slots
    assert found.keys() <= flows


@given(FLOWS)
def test_in_the_long_run_everybody_is_served(flows: set[Flow]) -> None:
    found = turns(backlog(*flows, waited=10 * AGEING), 8 * len(flows) ** 2)

    assert found.keys() == flows


@given(FLOWS)
def test_lanes_of_the_same_urgency_differ_by_one_turn_at_most(flows: set[Flow]) -> None:
    alike = {one._replace(urgency=4) for one in flows}
    found = turns(backlog(*alike), 101)

    by_lane = [found[one] for one in alike]
    assert max(by_lane) - min(by_lane) <= 1


@given(FLOWS, LANES, st.integers(0, 9))
def test_any_flow_is_known_or_in_a_gap(flows: set[Flow], lane: int, urgency: int) -> None:
    gaps = backlog(*flows).gaps([0])
    inside = [gap for gap in gaps if gap.urgency == urgency and gap.after_lane < lane < gap.before_lane]

    assert (Flow(0, urgency, lane) in flows) == (not inside)
    assert len(inside) <= 1

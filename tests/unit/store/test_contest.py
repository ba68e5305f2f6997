"""Who goes on of those that wait for concurrency keys: in order, all keys or none, never past a limit."""

from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from ordinaut.store.contest import MOST, Candidate, Contest, Slot, choose, room

KEYS = [Slot("default", name) for name in "abc"]
_NAMES = UUID(int=1)


def contest(task: int, **limits: int | None) -> Contest:
    """Return the contest of a task."""
    return Contest(task, UUID(int=task), {Slot("default", key): limit for key, limit in limits.items()})


def runs(of: Contest, *places: int, urgency: int = 4) -> list[Candidate]:
    """Return runs of a contest by their places in line."""
    return [Candidate(urgency, place, uuid5(_NAMES, str(place)), of.task_id, of.contest) for place in places]


def places(chosen: list[Candidate]) -> list[int]:
    return [one.id for one in chosen]


def test_as_many_as_there_is_room_for_oldest_first() -> None:
    one = contest(1, a=3)
    assert places(choose([one], runs(one, 3, 1, 2, 4), held={Slot("default", "a"): 1})) == [1, 2]


def test_more_urgent_ones_go_first_whatever_their_task() -> None:
    one, other = contest(1, a=1), contest(2, a=1)
    assert places(choose([one, other], runs(one, 1) + runs(other, 2, urgency=0), held={})) == [2]


def test_a_run_gets_all_its_keys_or_none() -> None:
    both, single = contest(1, a=1, b=1), contest(2, a=1)
    chosen = choose([both, single], runs(both, 1) + runs(single, 2), held={Slot("default", "b"): 1})
    assert places(chosen) == [2]


def test_each_is_held_to_its_own_limit() -> None:
    small, large = contest(1, a=1), contest(2, a=3)
    chosen = choose([small, large], runs(small, 1, 2) + runs(large, 3, 4), held={Slot("default", "a"): 1})
    assert places(chosen) == [3, 4]


def test_a_limit_below_what_is_held_lets_nobody_go_on() -> None:
    one = contest(1, a=1)
    assert choose([one], runs(one, 1), held={Slot("default", "a"): 5}) == []
    assert room(one, {Slot("default", "a"): 5}) == 0


def test_without_a_limit_all_go_on() -> None:
    one = contest(1, a=None)
    assert places(choose([one], runs(one, 1, 2), held={Slot("default", "a"): 99})) == [1, 2]
    assert room(one, {}) == MOST


CONTESTS = st.lists(
    st.dictionaries(st.sampled_from(KEYS), st.none() | st.integers(1, 4), min_size=1), min_size=1, max_size=5
).map(lambda drawn: [Contest(task, UUID(int=task), limits) for task, limits in enumerate(drawn)])


@given(
    contests=CONTESTS,
    line=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=25),
    held=st.dictionaries(st.sampled_from(KEYS), st.integers(0, 5)),
)
def test_it_is_what_going_through_the_line_one_by_one_gives(
    contests: list[Contest], line: list[tuple[int, int]], held: dict[Slot, int]
) -> None:
    candidates = [
        Candidate(urgency, place, uuid5(_NAMES, str(place)), task, UUID(int=task))
        for place, (task, urgency) in enumerate(line)
        if task < len(contests)
    ]

    chosen = choose(contests, candidates, held=held)

    taken, expected = dict(held), []
    for one in sorted(candidates):
        limits = contests[one.task_id].limits
        if all(limit is None or taken.get(slot, 0) < limit for slot, limit in limits.items()):
            expected.append(one)
            for slot in limits:
                taken[slot] = taken.get(slot, 0) + 1
    assert chosen == expected

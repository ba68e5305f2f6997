"""Which events a list shows: patterns mean in PostgreSQL what they mean to triggers."""

import re

from hypothesis import given
from hypothesis import strategies as st

from ordinaut.store.event_lists import Wanted, pattern
from ordinaut.triggers.topics import Topics

WORDS = st.sampled_from(["run", "task", "mail", "a-b", "x_1", "Push"])
TYPES = st.lists(WORDS, min_size=1, max_size=4).map(".".join)
PATTERNS = st.builds(
    lambda words, rest: ".".join([*words, *rest]),
    st.lists(WORDS | st.just("*"), max_size=3),
    st.sampled_from([[">"], ["*"], ["mail"]]),
)


@given(st.lists(PATTERNS, min_size=1, max_size=4), TYPES)
def test_a_list_covers_the_types_that_triggers_of_the_same_topics_do(topics: list[str], type_: str) -> None:
    index = Topics[str]()
    for topic in topics:
        index.set(topic, topic)
    expression = pattern(topics)
    assert expression is not None
    assert (re.search(expression, type_) is not None) == bool(index.covering(type_))


def test_only_what_rows_tell_unopened_is_plain() -> None:
    assert Wanted("a").is_plain
    assert Wanted("a", topics=frozenset(["x.y"])).is_plain
    for topics in (["x.*"], [">"], ["x", "y"]):
        assert not Wanted("a", topics=frozenset(topics)).is_plain
    assert not Wanted("a", subject="x").is_plain
    assert not Wanted("a", run="x").is_plain

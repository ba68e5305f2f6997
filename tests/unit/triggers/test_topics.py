"""Topics: which patterns cover which types, found in a tree as by looking at each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordinaut.triggers.topics import Topics

TYPE = "mail.received.inbox"


def covers(pattern: str, type_: str) -> bool:
    """Say the same in the plainest way."""
    wanted, words = pattern.split("."), type_.split(".")
    if wanted[0] in {"*", ">"} and words[0] in {"task", "run", "step"}:
        return False
    if wanted[-1] == ">":
        wanted, words = wanted[:-1], words[: len(wanted) - 1] if len(words) >= len(wanted) else ["too", "short"] * 9
    return len(wanted) == len(words) and all(one in {"*", word} for one, word in zip(wanted, words, strict=True))


def covering(patterns: list[str], type_: str) -> list[str]:
    topics: Topics[str] = Topics()
    for pattern in patterns:
        topics.set(pattern, pattern)
    return sorted(topics.covering(type_))


@pytest.mark.parametrize(
    ("pattern", "type_", "expected"),
    [
        ("mail.received", "mail.received", True),
        ("mail.received", "mail.received.inbox", False),
        ("mail.received", "mail", False),
        ("mail.*", "mail.received", True),
        ("mail.*", "mail", False),
        ("mail.*", "mail.received.inbox", False),
        ("mail.>", "mail.received.inbox", True),
        ("mail.>", "mail.received", True),
        ("mail.>", "mail", False),
        ("*.received", "mail.received", True),
        ("*.*.>", "mail.received.inbox", True),
        ("*.*.>", "mail.received", False),
        ("*", "mail", True),
        (">", "mail", True),
        (">", "mail.received", True),
        ("run.failed", "run.failed", True),
        ("run.*", "run.failed", True),
        ("run.>", "run.failed", True),
        (">", "run.failed", False),
        ("*.failed", "run.failed", False),
        ("*.failed", "job.failed", True),
        ("*.*", "task.applied", False),
        ("*", "runner", True),
    ],
)
def test_what_a_pattern_covers(pattern: str, type_: str, expected: bool) -> None:
    assert covering([pattern], type_) == ([pattern] if expected else [])
    assert covers(pattern, type_) is expected


WORDS = st.sampled_from(["a", "b", "c", "run"])
TYPES = st.lists(WORDS, min_size=1, max_size=4).map(".".join)
PATTERNS = st.tuples(st.lists(WORDS | st.just("*"), max_size=4), st.sampled_from([[], [">"]])).map(
    lambda parts: ".".join([*parts[0], *parts[1]]) or ">"
)


@given(st.lists(PATTERNS, unique=True, max_size=12), TYPES)
def test_the_tree_finds_what_looking_at_each_finds(patterns: list[str], type_: str) -> None:
    assert covering(patterns, type_) == sorted(pattern for pattern in patterns if covers(pattern, type_))


@given(st.lists(PATTERNS, unique=True, max_size=8), st.sets(PATTERNS, max_size=8), TYPES)
def test_what_was_discarded_is_not_found_and_the_rest_is(kept: list[str], gone: set[str], type_: str) -> None:
    topics: Topics[str] = Topics()
    for pattern in [*kept, *gone]:
        topics.set(pattern, pattern)
    for pattern in gone:
        topics.discard(pattern)
        topics.discard(pattern)
    left = [pattern for pattern in kept if pattern not in gone]
    assert sorted(topics.covering(type_)) == sorted(pattern for pattern in left if covers(pattern, type_))
    assert [topics.get(pattern) for pattern in left] == left
    assert {topics.get(pattern) for pattern in gone} <= {None}

"""Cron expressions as Hypothesis draws them."""

from hypothesis import strategies as st


def terms(low: int, high: int) -> st.SearchStrategy[str]:
    """Draw one term of a field: a star, a number, a range, each with or without a step."""
    number = st.integers(low, high)
    span = st.tuples(number, number).filter(lambda pair: pair[0] < pair[1]).map(lambda pair: f"{pair[0]}-{pair[1]}")
    step = st.integers(1, 7).map(str)
    with_step = st.builds(lambda head, by: f"{head}/{by}", st.one_of(st.just("*"), span), step)
    return st.one_of(st.just("*"), number.map(str), span, with_step)


def fields(low: int, high: int, *special: str) -> st.SearchStrategy[str]:
    """Draw a field of one to three terms; ``special`` are terms that are not made of numbers."""
    one = st.one_of(terms(low, high), st.sampled_from(special)) if special else terms(low, high)
    return st.one_of(terms(low, high), st.lists(one, min_size=1, max_size=3).map(",".join))


EXPRESSIONS = st.builds(
    lambda *texts: " ".join(texts),
    fields(0, 59),
    fields(0, 23),
    st.one_of(st.just("*"), fields(1, 31, "L", "LW")),
    st.one_of(st.just("*"), fields(1, 12, "JAN", "oct")),
    st.one_of(st.just("*"), fields(0, 7, "5L", "1#2", "SUN#1", "sat")),
)

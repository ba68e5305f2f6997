"""Conditions as closures: they mean what the tree walker means, cost what they may, and say what they compare."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordinaut.engine import evaluation, syntax
from ordinaut.engine.evaluation import Meter
from ordinaut.engine.expression import is_true
from ordinaut.engine.predicate import MAX_WORK, Equality, compile_predicate, unusable
from ordinaut.errors import Invalid, Permanent

ROOTS = frozenset({"data", "type", "subject", "a", "b"})
PLENTY = 1_000_000
MAIL: dict[str, Any] = {
    "type": "mail.received",
    "subject": "inbox/7",
    "data": {
        "to": "ada",
        "size": 7,
        "zero": 0,
        "urgent": True,
        "spam": False,
        "none": None,
        "labels": ["work", "urgent"],
        "parts": [{"kind": "text"}, {"kind": "image"}],
    },
}


def holds(source: str, value: dict[str, Any] = MAIL, meter: Meter | None = None) -> bool:
    return compile_predicate(source, roots=ROOTS).holds(value, meter=meter or Meter(PLENTY))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("data.to == 'ada'", True),
        ("data.to == 'bob'", False),
        ("'ada' == data.to", True),
        ("data.to != 'ada'", False),
        ("data.nobody != 'ada'", True),
        ("data.size > `5`", True),
        ("`5` > data.size", False),
        ("data.size > '5'", False),
        ("data.nobody > `5`", False),
        ("data.urgent == `true`", True),
        ("data.urgent == `1`", False),
        ("data.zero == `false`", False),
        ("data.zero == `0`", True),
        ("data.none == `null`", True),
        ("data.nobody == `null`", True),
        ("data.nobody != `null`", False),
        ("data.zero", True),
        ("data.nobody", False),
        ("!data.nobody", True),
        ("!data.zero", False),
        ("data.urgent && !data.spam", True),
        ("data.spam || data.to == 'ada'", True),
        ("starts_with(subject, 'inbox/')", True),
        ("ends_with(subject, '8')", False),
        ("contains(data.labels, 'urgent')", True),
        ("contains(subject, 'box')", True),
        ("data.parts[0].kind == 'text'", True),
        ("data.parts[?kind == 'image']", True),
        ("length(data.labels) > `2`", False),
        ('data.labels == `["work", "urgent"]`', True),
        ("`true`", True),
    ],
)
def test_what_a_condition_says(source: str, expected: bool) -> None:
    assert holds(source) is expected


LITERALS = st.sampled_from(["'x'", "'y'", "''", "`0`", "`1`", "`1.5`", "`true`", "`false`", "`null`", "`[1]`", "`{}`"])
PATHS = st.sampled_from(["a", "b", "a.b", "a.b[0]", "b[-1]", "a.b.a", "a[*].b", "length(a)", "contains(a, 'x')"])


def joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda parts: f"({' '.join(parts)})")
    return pairs | inner.map(lambda text: f"!({text})")


COMPARISONS = st.tuples(PATHS | LITERALS, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), PATHS | LITERALS)
CONDITIONS = st.recursive(PATHS | COMPARISONS.map(" ".join), joined, max_leaves=5)
LEAVES = st.sampled_from([None, True, False, 0, 1, 2, 1.5, "", "x", "y", "xy"])
VALUES = st.dictionaries(
    st.sampled_from("ab"),
    st.recursive(
        LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner), max_leaves=5
    ),
)


@given(CONDITIONS, VALUES)
def test_closures_mean_what_the_tree_walker_means(source: str, value: dict[str, Any]) -> None:
    predicate = compile_predicate(source, roots=ROOTS)
    try:
        expected = is_true(evaluation.evaluate(syntax.parse(source), value))
    except evaluation.Unevaluable:
        with pytest.raises(Permanent):
            predicate.holds(value, meter=Meter(PLENTY))
        return
    assert predicate.holds(value, meter=Meter(PLENTY)) is expected


@given(CONDITIONS, VALUES)
def test_without_its_equality_a_condition_is_false_and_does_not_fail(source: str, value: dict[str, Any]) -> None:
    predicate = compile_predicate(source, roots=ROOTS)
    if (equality := predicate.equality) and evaluation.evaluate(
        syntax.parse(".".join(str(key) for key in equality.path).replace(".0", "[0]").replace(".-1", "[-1]")), value
    ) != equality.text:
        assert not predicate.holds(value, meter=Meter(PLENTY))


@pytest.mark.parametrize(
    ("source", "equality"),
    [
        ("data.to == 'ada'", Equality(("data", "to"), "ada")),
        ("'ada' == data.to", Equality(("data", "to"), "ada")),
        ("data.size > `5` && data.to == 'ada' && contains(data.labels, 'x')", Equality(("data", "to"), "ada")),
        ("data.parts[0].kind == 'text'", Equality(("data", "parts", 0, "kind"), "text")),
        ("contains(data.labels, 'x') && data.to == 'ada'", None),
        ("data.to == 'ada' || data.to == 'bob'", None),
        ("data.size == `5`", None),
        ("data.to != 'ada'", None),
        ("!(data.to == 'ada')", None),
        ("data.to", None),
    ],
)
def test_the_text_that_a_condition_needs(source: str, equality: Equality | None) -> None:
    assert compile_predicate(source, roots=ROOTS).equality == equality


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("starts_with(data.nobody, 'x')", "null"),
        ("contains(data.size, 'x')", "number"),
        ("length(data.size)", "number"),
    ],
)
def test_what_a_function_does_not_take_fails(source: str, said: str) -> None:
    with pytest.raises(Permanent, match=said) as refused:
        holds(source)
    assert source in str(refused.value)


def test_a_comparison_costs_nothing_and_a_walk_is_paid_for() -> None:
    meter = Meter(100)
    assert holds("data.to == 'ada' && data.size < `9`", meter=meter)
    assert meter.left == 100
    assert holds("length(data.labels) == `2`", meter=meter)
    assert 0 < meter.left < 100


def test_one_condition_may_not_take_all_the_work() -> None:
    items = [{"n": number} for number in range(3_000)]
    meter = Meter(10 * MAX_WORK)
    with pytest.raises(Permanent, match="too much work"):
        holds(
            "data.items[?length(to_string(@)) > `3` && length(to_string(n)) > `0`]", {"data": {"items": items}}, meter
        )
    assert meter.left >= 9 * MAX_WORK


def test_who_comes_after_all_work_is_done_fails() -> None:
    meter = Meter(3)
    with pytest.raises(Permanent, match="too much work"):
        holds("length(data.labels) == `2`", meter=meter)
    with pytest.raises(Permanent, match="others like it"):
        holds("length(data.labels) == `2`", meter=meter)
    assert holds("data.to == 'ada'", meter=meter)


@pytest.mark.parametrize("source", ["data.", "steps.x", "data.to == unknown", "nonsense(data)", "@"])
def test_what_is_no_condition_is_refused(source: str) -> None:
    with pytest.raises(Invalid):
        compile_predicate(source, roots=ROOTS)


def test_an_unusable_condition_fails_with_its_reason() -> None:
    with pytest.raises(Permanent, match="of a newer release"):
        unusable("?", "of a newer release").holds(MAIL, meter=Meter(1))

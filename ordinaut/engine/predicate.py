"""
Conditions over one value, such as an event, that are asked thousands of times a second.

`compile_predicate` turns JMESPath into closures as far as it goes: comparisons of paths with literals, tests of text,
and what `&&`, `||` and `!` make of them. Everything else is left to the tree walker, at the same meaning, and pays from
a meter that the caller shares between conditions: many costly ones together are bounded, too. ``ordinaut.triggers`` is
the caller; it also reads `Predicate.equality`, to find the few conditions among thousands that can be true of an event.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from ordinaut.engine import evaluation, syntax
from ordinaut.engine.evaluation import Meter
from ordinaut.engine.expression import MISSING, Find, Scope, is_true, path_finder
from ordinaut.errors import Permanent, shown

MAX_WORK: Final = 20_000
"""Units of work of one condition, some 50 ms at worst: it looks at one value, which has 64 KiB at most."""

SHORT: Final = 64
"""Items of a list that are looked through without counting them."""

Test = Callable[[Scope, Meter], bool]


class Equality(NamedTuple):
    """What must hold of a value before anything else is asked: this path leads to this text."""

    path: syntax.Path
    text: str


class _Compiled(NamedTuple):
    """A test; ``sure`` where it never fails and costs next to nothing."""

    test: Test
    sure: bool


@dataclass(frozen=True, slots=True)
class Predicate:
    """A compiled condition; ``equality`` is None where it can be true of values that have no text in common."""

    source: str
    equality: Equality | None
    _test: Test = field(repr=False, compare=False)

    def holds(self, value: Scope, *, meter: Meter) -> bool:
        """Return whether the condition is true of a value; raise `Permanent` where it can't be evaluated."""
        return self._test(value, meter)


def compile_predicate(source: str, *, roots: Collection[str]) -> Predicate:
    """
    Return the condition that ``source`` spells over a value whose names are ``roots``.

    Raise `Invalid` with an empty field as `ordinaut.engine.expression.compile_expression` does.
    """
    tree = syntax.parse(source)
    syntax.names_read(source, tree, roots=roots)
    return Predicate(source, _equality(tree), _compiled(tree, source).test)


def unusable(source: str, why: str) -> Predicate:
    """Return what stands in for a condition that can't be compiled: asking it fails."""

    def fail(_value: Scope, _meter: Meter) -> bool:
        raise Permanent(why)

    return Predicate(source, None, fail)


def _compiled(node: syntax.Node, source: str) -> _Compiled:
    match node["type"]:
        case "and_expression" | "or_expression" as kind:
            (left, sure), (right, also) = (_compiled(child, source) for child in node["children"])
            return _Compiled(_both(left, right) if kind == "and_expression" else _either(left, right), sure and also)
        case "not_expression":
            test, sure = _compiled(node["children"][0], source)
            return _Compiled(lambda value, meter: not test(value, meter), sure)
        case "comparator":
            return _comparison(node, source)
        case "function_expression":
            return _Compiled(_text_test(node, source) or _walk(node, source), sure=False)
    if path := syntax.plain_path(node):
        find = path_finder(path)
        return _Compiled(lambda value, _: (found := find(value)) is not MISSING and is_true(found), sure=True)
    return _Compiled(_walk(node, source), sure=False)


def _both(left: Test, right: Test) -> Test:
    return lambda value, meter: left(value, meter) and right(value, meter)


def _either(left: Test, right: Test) -> Test:
    return lambda value, meter: left(value, meter) or right(value, meter)


_TURNED: Final = {"eq": "eq", "ne": "ne", "lt": "gt", "lte": "gte", "gt": "lt", "gte": "lte"}
"""The comparator that means the same with its sides exchanged."""

_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "lt": lambda left, right: left < right,
    "lte": lambda left, right: left <= right,
    "gt": lambda left, right: left > right,
    "gte": lambda left, right: left >= right,
}


class _PathAndLiteral(NamedTuple):
    """A comparison of what a path leads to, on the left, with what the author wrote."""

    path: syntax.Path
    comparator: str
    literal: Any


def _path_and_literal(node: syntax.Node) -> _PathAndLiteral | None:
    """Return a comparator of this kind; None for all others."""
    left, right = node["children"]
    comparator = node["value"]
    if left["type"] == "literal":
        left, right, comparator = right, left, _TURNED[comparator]
    path = syntax.plain_path(left)
    if path is None or right["type"] != "literal" or isinstance(right["value"], list | dict):
        return None
    return _PathAndLiteral(path, comparator, right["value"])


def _comparison(node: syntax.Node, source: str) -> _Compiled:
    simple = _path_and_literal(node)
    if simple is None:
        return _Compiled(_walk(node, source), sure=False)
    find, (_, comparator, literal) = path_finder(simple.path), simple
    if comparator not in _ORDER:
        return _Compiled(_equal(find, literal, negated=comparator == "ne"), sure=True)
    return _Compiled(_ordered(find, _ORDER[comparator], literal), sure=True)


def _equal(find: Find, literal: Any, *, negated: bool) -> Test:
    if isinstance(literal, str):
        if negated:
            return lambda value, _: find(value) != literal
        return lambda value, _: find(value) == literal
    if literal is None:
        return lambda value, _: ((found := find(value)) is None or found is MISSING) is not negated
    if isinstance(literal, bool):
        return lambda value, _: (find(value) is literal) is not negated
    # Python's True equals 1, JSON's does not.
    return lambda value, _: ((found := find(value)) == literal and not isinstance(found, bool)) is not negated


def _ordered(find: Find, compare: Callable[[Any, Any], bool], literal: Any) -> Test:
    """Return a comparison of numbers, or of text; of anything else it is not true."""
    if isinstance(literal, str):
        return lambda value, _: isinstance(found := find(value), str) and compare(found, literal)
    if literal is None or isinstance(literal, bool):
        return lambda _value, _meter: False

    def test(value: Scope, _: Meter) -> bool:
        found = find(value)
        return isinstance(found, int | float) and not isinstance(found, bool) and compare(found, literal)

    return test


_OF_TEXT: Final[dict[str, Callable[[str, str], bool]]] = {
    "contains": lambda text, part: part in text,
    "starts_with": str.startswith,
    "ends_with": str.endswith,
}


def _text_test(node: syntax.Node, source: str) -> Test | None:
    """Return the test of a call such as ``starts_with(subject, 'inbox/')``; None where it is another call."""
    name, arguments = node["value"], node["children"]
    path = syntax.plain_path(arguments[0]) if name in _OF_TEXT else None
    if path is None or arguments[1]["type"] != "literal" or not isinstance(part := arguments[1]["value"], str):
        return None
    find, holds, walk = path_finder(path), _OF_TEXT[name], _walk(node, source)
    in_lists = name == "contains"

    def test(value: Scope, meter: Meter) -> bool:
        found = find(value)
        if isinstance(found, str):
            return holds(found, part)
        if in_lists and isinstance(found, list) and len(found) <= SHORT:
            return part in found
        return walk(value, meter)  # which also says what is wrong

    return test


def _walk(node: syntax.Node, source: str) -> Test:
    named = f"expression {shown(source)} can't be evaluated"

    def walk(value: Scope, meter: Meter) -> bool:
        if meter.left <= 0:
            raise Permanent(f"{named}: others like it have just done all the work that they may together")
        granted = min(meter.left, MAX_WORK)
        own = Meter(granted)
        try:
            return is_true(evaluation.evaluate(node, value, meter=own))
        except evaluation.Unevaluable as error:
            raise Permanent(f"{named}: {error}") from None
        finally:
            meter.left -= granted - max(own.left, 0)

    return walk


def _equality(tree: syntax.Node) -> Equality | None:
    """
    Return the first equality with text in a chain of `&&` that is reached whatever the value.

    What stands before it must not be able to fail: else leaving out the condition would hide the failure.
    """
    for part in _conjuncts(tree):
        simple = _path_and_literal(part) if part["type"] == "comparator" else None
        if simple and simple.comparator == "eq" and isinstance(simple.literal, str):
            return Equality(simple.path, simple.literal)
        if not _compiled(part, "").sure:
            return None
    return None


def _conjuncts(node: syntax.Node) -> list[syntax.Node]:
    if node["type"] != "and_expression":
        return [node]
    return [part for child in node["children"] for part in _conjuncts(child)]

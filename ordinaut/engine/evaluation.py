"""
Evaluate a parsed JMESPath expression without letting it cost more than a known amount of work.

JMESPath has no loops, yet 131 characters can make 21 MB, and ``[@, @]`` piped into itself doubles a value with every
repetition. So the interpreter of the ``jmespath`` package is run here with a meter: each visited node and each
element that is copied, compared or turned into text costs a unit, and when the units are spent the evaluation ends.

`ordinaut.engine.expression` and `ordinaut.engine.predicate` call `evaluate` with a syntax tree whose length, depth and
size are bounded; the result is plain JSON and goes back into a template or a condition.
"""

import math
from collections.abc import Mapping
from typing import Any

import orjson
from jmespath import exceptions, functions, visitor

from ordinaut.errors import MAX_SHOWN_VALUE

MAX_WORK = 250_000
"""Units of work of one evaluation: some 0.1 s at worst, a filter over ten thousand messages with ease."""

MAX_OUTPUT = 1 << 20
"""Bytes of a result, as JSON."""

_CHARACTERS_PER_UNIT = 64
_BITS_PER_UNIT = 256

_CONSTANT_TIME = frozenset({"length", "map", "not_null", "to_array", "type"})
"""Functions whose own work does not grow with their arguments (what ``map`` calls is counted where it is visited)."""

_COPIES = frozenset({"flatten", "slice"})
"""Nodes which produce elements without visiting them."""


_EQUALITY = frozenset({"eq", "ne"})


class Unevaluable(Exception):
    """The expression has no value here; the text is the reason, without the expression."""


class Meter:
    """The units of work that are ``left``, to one evaluation or to several."""

    __slots__ = ("left",)

    def __init__(self, units: int) -> None:
        self.left = units

    def spend(self, units: int) -> None:
        """Take ``units`` away; raise `Unevaluable` when there are not enough."""
        self.left -= units
        if self.left < 0:
            raise Unevaluable("it takes too much work; read less, or let a tool do this")

    def weigh(self, value: object) -> None:
        """
        Spend what walking through the whole ``value`` costs, shared parts as often as they are met.

        Sharing is what makes a short expression explode, so the walk stops as soon as the units are spent.
        """
        stack = [value]
        while stack:
            item = stack.pop()
            if isinstance(item, str):
                self.spend(1 + len(item) // _CHARACTERS_PER_UNIT)
            elif isinstance(item, dict):
                self.spend(1 + len(item) + sum(map(len, item)) // _CHARACTERS_PER_UNIT)
                stack.extend(item.values())
            elif isinstance(item, list):
                self.spend(1 + len(item))
                stack.extend(item)
            elif isinstance(item, int):
                self.spend(1 + item.bit_length() // _BITS_PER_UNIT)
            elif isinstance(item, float):
                if not math.isfinite(item):
                    raise Unevaluable("it makes a number that is not finite")
                self.spend(1)
            elif item is not None:
                raise Unevaluable("its result is not JSON; use `&` only inside sort_by, map and the like")


class _Functions(functions.Functions):  # type: ignore[misc]  # jmespath ships no types
    """JMESPath's built-in functions, each paying for the arguments it walks through."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def call_function(self, function_name: str, resolved_args: list[Any]) -> object:
        if function_name not in _CONSTANT_TIME:
            for argument in resolved_args:
                if isinstance(argument, str | list | dict):
                    self._meter.weigh(argument)
        if function_name == "join":  # the glue is repeated: its weight alone says nothing
            glue, pieces = resolved_args
            if isinstance(glue, str) and isinstance(pieces, list):
                self._meter.spend(len(glue) * len(pieces) // _CHARACTERS_PER_UNIT)
        return super().call_function(function_name, resolved_args)


class _Interpreter(visitor.TreeInterpreter):  # type: ignore[misc]  # jmespath ships no types
    """The tree walker of ``jmespath``, paying for every step. One serves one evaluation."""

    def __init__(self, meter: Meter) -> None:
        super().__init__(visitor.Options(custom_functions=_Functions(meter)))
        self._meter = meter

    def visit(self, node: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        self._meter.spend(1)
        result = super().visit(node, *args, **kwargs)
        if node["type"] in _COPIES and isinstance(result, list):
            self._meter.spend(len(result))
        return result

    def visit_comparator(self, node: dict[str, Any], value: Any) -> object:
        left, right = (self.visit(child, value) for child in node["children"])
        # Python compares as deep as the smaller side reaches, and not at all when the types differ.
        if type(left) is type(right) and isinstance(left, str | list | dict):
            self._meter.weigh(left if len(left) <= len(right) else right)
        if node["value"] not in _EQUALITY and not _have_an_order(left, right):
            return None
        return self.COMPARATOR_FUNC[node["value"]](left, right)


def _have_an_order(left: object, right: object) -> bool:
    """Whether JMESPath orders the two: text with text, numbers with numbers; the library compares text with numbers."""
    if isinstance(left, str):
        return isinstance(right, str)
    return all(isinstance(side, int | float) and not isinstance(side, bool) for side in (left, right))


def evaluate(tree: dict[str, Any], scope: Mapping[str, object], *, meter: Meter | None = None) -> object:
    """
    Return the value of the syntax tree over ``scope``: JSON, at most `MAX_OUTPUT` bytes, ``None`` for null or nothing.

    ``meter`` holds the work that it may take, `MAX_WORK` by default. Raise `Unevaluable` when a limit is passed or a
    function is given what it does not take.
    """
    meter = meter or Meter(MAX_WORK)
    try:
        result: object = _Interpreter(meter).visit(tree, scope)
        meter.weigh(result)
        size = len(orjson.dumps(result))
    except exceptions.JMESPathTypeError as error:
        # The library's own text repeats the value, which may be a megabyte, or endless once its shared parts unfold.
        takes = " or ".join(error.expected_types)
        raise Unevaluable(f"{error.function_name}() takes {takes}, and was given {error.actual_type}") from None
    except (ArithmeticError, RecursionError, TypeError, ValueError) as error:
        raise Unevaluable(str(error)[:MAX_SHOWN_VALUE]) from None
    if size > MAX_OUTPUT:
        raise Unevaluable(f"its result is {size} bytes, more than the {MAX_OUTPUT} allowed; select less")
    return result

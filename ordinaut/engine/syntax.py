"""
Parse JMESPath of untrusted authors, and find out what it reads.

The ``jmespath`` parser recurses, knows no limits, and accepts calls of functions that do not exist. So every bound is
checked here before it can hurt: characters, then the nesting of the tokens (3,000 ``[`` recurse the parser to death),
then the tree itself. `ordinaut.engine.expression` and `ordinaut.engine.predicate` call it; the tree goes on to
`ordinaut.engine.evaluation`.
"""

import difflib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, NoReturn

from jmespath import exceptions, functions, lexer, parser

from ordinaut.errors import FieldError, Invalid, shown

MAX_LENGTH = 512
"""Characters of an expression."""

MAX_DEPTH = 20
"""Nesting, of the tokens and of the syntax tree."""

MAX_NODES = 200
"""Nodes of the syntax tree."""

Node = dict[str, Any]
"""A node of the tree that ``jmespath`` builds: ``type``, ``children`` and mostly ``value``."""

Path = tuple[str | int, ...]
"""Names and list positions, from a root name on."""

_OPENING: Final = frozenset({"lbracket", "lbrace", "lparen", "filter"})
_CLOSING: Final = frozenset({"rbracket", "rbrace", "rparen"})
_PARSED_DEEPER: Final = frozenset({"not", "expref", "star", "flatten", "rbracket"})
"""Tokens after which the parser recurses although no bracket is open: prefixes, and what starts a projection."""
_PARSED_BACK: Final = frozenset({"comma", "pipe", "or", "and", "eq", "ne", "lt", "lte", "gt", "gte"})
"""Tokens at which it has come back from all of these."""

_REMEDIES: Final = {
    "-": 'put names with a dash in double quotes: steps."my-step"',
    "`": "put text in single quotes; backticks hold JSON: `[1, 2]`",
    "=": "compare with ==",
}
"""What to do about the character at which most mistakes are found."""

_FUNCTIONS: Final[Mapping[str, Any]] = functions.Functions.FUNCTION_TABLE


@dataclass(slots=True)
class Names:
    """What an expression reads: its top-level names, and the steps of ``steps.NAME``."""

    roots: set[str] = field(default_factory=set)
    steps: set[str] = field(default_factory=set)


def refuse(source: str, message: str, remedy: str) -> NoReturn:
    """Raise the `Invalid` of one mistake in ``source``; the caller puts the field's path before it."""
    raise Invalid([FieldError("", source, message, remedy)])


def parse(source: str) -> Node:
    """Return the syntax tree of ``source``, or raise `Invalid` with the place of the mistake."""
    if len(source) > MAX_LENGTH:
        refuse(source, f"has {len(source)} characters", f"use at most {MAX_LENGTH}")
    if not source.strip():
        refuse(source, "is an empty expression", "name what to read, such as params.city")
    try:
        if _nesting(source) > MAX_DEPTH:
            refuse(source, f"is nested deeper than {MAX_DEPTH} levels", "split it over several steps")
        tree: Node = _Parser().parse(source).parsed
    except exceptions.ParseError as error:
        _refuse_unparsable(source, error)
    _check_size(source, tree)
    return tree


def names_read(source: str, tree: Node, *, roots: Collection[str]) -> Names:
    """Return the names that ``tree`` reads; raise `Invalid` for a name outside ``roots`` and for wrong calls."""
    reader = _Reader(source, roots)
    reader.read(tree, _EVERYTHING)
    return reader.names


def plain_path(tree: Node) -> Path | None:
    """Return the path that ``tree`` follows if it is only names and list positions (``a.b[0].c``), else ``None``."""
    match tree["type"]:
        case "field" | "index":
            return (tree["value"],)
        case "subexpression" | "index_expression":
            parts = [plain_path(child) for child in tree["children"]]
            return None if None in parts else tuple(key for part in parts if part for key in part)
    return None


def alternatives(tree: Node) -> list[Node]:
    """Return the nodes of ``a || b || c`` in order; a tree that is no choice is its only one."""
    if tree["type"] != "or_expression":
        return [tree]
    return [node for child in tree["children"] for node in alternatives(child)]


def ends_in_literal(tree: Node) -> bool:
    """Whether the last resort of ``tree`` is a value that the author wrote: ``a | b || 'c'``."""
    while tree["type"] == "pipe":
        tree = tree["children"][-1]
    return bool(alternatives(tree)[-1]["type"] == "literal")


class _Parser(parser.Parser):  # type: ignore[misc]  # jmespath ships no types
    """The parser of ``jmespath``, for which ``!a.b`` was ``(!a).b``: always null, where the author meant ``!(a.b)``."""

    BINDING_POWER: ClassVar = {**parser.Parser.BINDING_POWER, "not": 8}  # above comparisons, below all that selects
    _CACHE: ClassVar[dict[str, object]] = {}  # the trees differ from those of other users of the library


class _Lexer(lexer.Lexer):  # type: ignore[misc]  # jmespath ships no types
    """The lexer of ``jmespath`` without its deprecated unquoted text in backticks, which it would only warn about."""

    def _consume_literal(self) -> object:
        start = self._position
        text = self._consume_until("`").replace("\\`", "`")
        try:
            return {"type": "literal", "value": json.loads(text)}
        except (ValueError, RecursionError):
            raise exceptions.LexerError(start, text, "backticks hold JSON") from None


def _nesting(source: str) -> int:
    """Return how deep a parser will recurse, counted over the tokens without any recursion."""
    chains = [0]  # one count per open bracket: prefixes and projections since the last operator
    deepest = 0
    for token in _Lexer().tokenize(source):
        kind = token["type"]
        if kind in _CLOSING and len(chains) > 1:
            chains.pop()
        if kind in _PARSED_DEEPER:
            chains[-1] += 1
        if kind in _PARSED_BACK:
            chains[-1] = 0
        if kind in _OPENING:
            chains.append(0)
        deepest = max(deepest, len(chains) - 1 + sum(chains))
    return deepest


def _refuse_unparsable(source: str, error: exceptions.ParseError) -> NoReturn:
    place = error.lex_position
    if place >= len(source):
        refuse(source, "ends too early", "complete the expression")
    remedy = "see https://jmespath.org; text goes in single quotes: 'like this'"
    remedy = _REMEDIES.get(source[place : place + 1], remedy)
    refuse(source, f"is not JMESPath at character {place + 1}, near {shown(source[place : place + 10])}", remedy)


def _check_size(source: str, tree: Node) -> None:
    count, waiting = 0, [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if depth > MAX_DEPTH:
            refuse(source, f"is nested deeper than {MAX_DEPTH} levels", "split it over several steps")
        waiting += [(child, depth + 1) for child in node["children"] if isinstance(child, dict)]
    if count > MAX_NODES:
        refuse(source, f"has {count} parts", f"use at most {MAX_NODES}; split it over several steps")


# What the current node is at a place in the tree: everything (only there a name is a root name), all steps, or a value.
_EVERYTHING, _STEPS, _VALUE = "everything", "steps", "value"


class _Reader:
    """Walks a tree of bounded depth and collects the names it reads."""

    def __init__(self, source: str, roots: Collection[str]) -> None:
        self.names = Names()
        self._source = source
        self._roots = roots

    def read(self, node: Node, current: str) -> str:
        """Collect the names of ``node`` where the current node is ``current``; return what its result is."""
        children = node["children"]
        match node["type"]:
            case "field":
                return self._field(node["value"], current)
            case "current" | "identity":
                return self._unnamed(current)
            case "subexpression" | "pipe" | "index_expression":
                return self._chain(children, current)
            case "projection" | "value_projection" | "filter_projection":
                self.read(children[0], current)
                self._all(children[1:], _VALUE)
            case "function_expression":
                self._call(node, current)
            case "expref":
                refuse(self._source, "uses `&` outside a call", "write it as an argument: sort_by(list, &name)")
            case "slice":  # its children are numbers
                pass
            case _:
                self._all(children, current)
        return _VALUE

    def _all(self, nodes: Iterable[Node], current: str) -> None:
        for node in nodes:
            self.read(node, current)

    def _chain(self, nodes: Iterable[Node], current: str) -> str:
        for node in nodes:
            current = self.read(node, current)
        return current

    def _unnamed(self, current: str) -> str:
        if current is _EVERYTHING:
            refuse(self._source, "reads everything at once", f"start with one of {self._choice()}")
        return current

    def _field(self, name: str, current: str) -> str:
        if current is _STEPS:
            self.names.steps.add(name)
        if current is not _EVERYTHING:
            return _VALUE
        if name not in self._roots:
            self._refuse_root(name)
        self.names.roots.add(name)
        return _STEPS if name == "steps" else _VALUE

    def _refuse_root(self, name: str) -> NoReturn:
        if name == "secrets":
            refuse(self._source, "secrets are not supported yet", "keep the credential with the tool's server")
        refuse(
            self._source,
            f"reads {shown(name)}, which does not exist here",
            f"{_did_you_mean(name, self._roots)}start with one of {self._choice()}; text goes in single quotes",
        )

    def _choice(self) -> str:
        return ", ".join(sorted(self._roots))

    def _call(self, node: Node, current: str) -> None:
        name, arguments = node["value"], node["children"]
        function = _FUNCTIONS.get(name)
        if function is None:
            remedy = _did_you_mean(name, _FUNCTIONS) or f"there are {', '.join(sorted(_FUNCTIONS))}"
            refuse(self._source, f"calls {shown(name)}, which does not exist", remedy.rstrip())
        takes = len(function["signature"])
        endless = function["signature"][-1].get("variadic", False)
        if len(arguments) < takes or (len(arguments) > takes and not endless):
            count = f"{takes} or more arguments" if endless else f"{takes} argument{'s' if takes > 1 else ''}"
            refuse(self._source, f"calls {name}() with {len(arguments)} arguments", f"give it {count}")
        for argument in arguments:
            # The body of `&body` sees one element, not the names around it.
            if argument["type"] == "expref":
                self.read(argument["children"][0], _VALUE)
            else:
                self.read(argument, current)


def _did_you_mean(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}? " if near else ""

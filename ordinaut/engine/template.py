"""
Compile JSON values that contain ``${ … }`` once, and render them for every step.

The plan compiler calls `compile_template` for a step's ``with``, ``forEach`` and a pipeline's ``output``; the worker
renders over the run's scope and sends the result to the tool. A string which is exactly one template becomes the
expression's value, whatever its type; inside longer text a template is rendered as text. ``$${`` stands for ``${``.

Values are data: what an expression yields is never looked at for templates again, so a mail that contains ``${…}``
arrives as it was written. Property names are no templates, and there is no default for what is missing but
``${a || 'default'}``.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from ordinaut.engine import fieldpath
from ordinaut.engine.expression import ROOTS, Expression, Scope, compile_expression
from ordinaut.errors import FieldError, Invalid, Mistake, Permanent, shown

MAX_RENDERED: Final = 256 * 1024
"""Bytes of a rendered value, as JSON; also of the value before it is rendered."""

MAX_EXPRESSIONS = 256
"""Templates in one value; compiling one takes some 0.1 ms."""

MAX_DEPTH = 64
"""Nesting of lists and objects in a value that is compiled."""

MAX_MISTAKES = 20
"""Mistakes that are reported at once."""

_OPEN, _ESCAPED = "${", "$${"
_START = re.compile(r"\$?\$\{")
_QUOTES = frozenset("'\"`")


class _Size:
    """The bytes that one rendering may still produce."""

    __slots__ = ("_left",)

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, value: object) -> bytes:
        """Count ``value`` and return it as JSON."""
        try:
            text = orjson.dumps(value)
        except TypeError as error:
            raise Permanent(f"the value can't be written as JSON: {error}") from None
        self._left -= len(text)
        if self._left < 0:
            raise Permanent(f"the rendered value has more than the {MAX_RENDERED} bytes allowed; pass less")
        return text


class _Part(ABC):
    """A piece of a compiled value which has to be rendered. What needs no rendering stays plain JSON."""

    __slots__ = ()

    @abstractmethod
    def render(self, scope: Scope, size: _Size) -> object:
        """Return the piece's value over ``scope``."""


@dataclass(frozen=True, slots=True)
class _Whole(_Part):
    """A string that is exactly one template: keeps the value's type."""

    field: str
    expression: Expression

    def render(self, scope: Scope, size: _Size) -> object:
        try:
            value = self.expression.require(scope)
            size.take(value)
        except Permanent as error:
            raise _placed(self.field, error) from None
        return value


@dataclass(frozen=True, slots=True)
class _Text(_Part):
    """Templates inside text: strings as they are, anything else as compact JSON."""

    field: str
    pieces: tuple[str | Expression, ...]

    def render(self, scope: Scope, size: _Size) -> object:
        try:
            return "".join(piece if isinstance(piece, str) else self._text(piece, scope, size) for piece in self.pieces)
        except Permanent as error:
            raise _placed(self.field, error) from None

    @staticmethod
    def _text(expression: Expression, scope: Scope, size: _Size) -> str:
        value = expression.require(scope)
        if value is None:
            raise Permanent(f"expression {shown(expression.source)} is null, which is no text; give a default: a || ''")
        text = size.take(value)
        return value if isinstance(value, str) else text.decode()


@dataclass(frozen=True, slots=True)
class _Object(_Part):
    """An object with at least one value to render; ``base`` holds the others and keeps the order."""

    base: dict[str, object]
    parts: tuple[tuple[str, _Part], ...]

    def render(self, scope: Scope, size: _Size) -> object:
        rendered = self.base.copy()
        for key, part in self.parts:
            rendered[key] = part.render(scope, size)
        return rendered


@dataclass(frozen=True, slots=True)
class _List(_Part):
    """A list with at least one item to render."""

    base: list[object]
    parts: tuple[tuple[int, _Part], ...]

    def render(self, scope: Scope, size: _Size) -> object:
        rendered = self.base.copy()
        for index, part in self.parts:
            rendered[index] = part.render(scope, size)
        return rendered


@dataclass(frozen=True, slots=True)
class Template:
    """
    A compiled value.

    ``roots`` are the top-level names that its expressions read, ``step_refs`` the steps they read as ``steps.NAME``.
    """

    roots: frozenset[str]
    step_refs: frozenset[str]
    _compiled: object = field(repr=False)
    _left: int = field(repr=False)

    def render(self, scope: Scope) -> object:
        """
        Return the value over ``scope``, a mapping from root names to JSON values.

        Parts without templates, and the values of expressions, are shared with the template and the scope: treat
        the result as immutable. Raise `Permanent`, naming field and expression, when a value is missing or a limit is
        passed.
        """
        if isinstance(self._compiled, _Part):
            return self._compiled.render(scope, _Size(self._left))
        return self._compiled


def compile_template(value: object, *, roots: frozenset[str] = ROOTS, field: str = "") -> Template:
    """
    Compile any JSON ``value``, whose templates may read the names ``roots``.

    ``field`` is the place of the value, such as ``with``; errors then name ``with.city``, now and when rendering.
    Raise `Invalid` with every mistake.
    """
    size = _size_of(value, field)
    compiler = _Compiler(roots)
    compiled = compiler.compile(value, field, MAX_DEPTH)
    if compiler.mistakes:
        raise Invalid(compiler.mistakes[:MAX_MISTAKES])
    expressions = compiler.expressions.values()
    return Template(
        roots=frozenset[str]().union(*(expression.roots for expression in expressions)),
        step_refs=frozenset[str]().union(*(expression.step_refs for expression in expressions)),
        _compiled=compiled,
        _left=MAX_RENDERED - size,
    )


class _Compiler:
    """Walks one value; gathers the expressions by their source, and the mistakes."""

    def __init__(self, roots: frozenset[str]) -> None:
        self.expressions: dict[str, Expression] = {}
        self.mistakes: list[FieldError] = []
        self._roots = roots
        self._templates = 0

    def compile(self, value: object, field: str, depth: int) -> object:
        """Return ``value`` itself, or a `_Part` where there is something to render."""
        if isinstance(value, str):
            return self._string(value, field)
        if not isinstance(value, Mapping | list):
            return value
        if depth == 0:
            message = f"is nested deeper than {MAX_DEPTH} levels"
            raise Invalid([FieldError(field, value, message, "flatten it")])
        if isinstance(value, list):
            base = [self.compile(item, fieldpath.child(field, index), depth - 1) for index, item in enumerate(value)]
            indexed = tuple((index, part) for index, part in enumerate(base) if isinstance(part, _Part))
            return _List(base, indexed) if indexed else base
        named = {key: self.compile(item, fieldpath.child(field, key), depth - 1) for key, item in value.items()}
        parts = tuple((key, part) for key, part in named.items() if isinstance(part, _Part))
        return _Object(named, parts) if parts else named

    def _string(self, text: str, field: str) -> object:
        if _OPEN not in text:
            return text
        pieces: list[str | Expression] = []
        try:
            for is_expression, piece in _split(text):
                pieces.append(self._expression(piece, text) if is_expression else piece)
        except Invalid as invalid:
            self.mistakes += (error.under(field) for error in invalid.errors)
            return text
        if len(pieces) == 1:
            return _Whole(field, pieces[0]) if isinstance(pieces[0], Expression) else pieces[0]
        return _Text(field, tuple(pieces))

    def _expression(self, source: str, text: str) -> Expression:
        self._templates += 1
        if self._templates > MAX_EXPRESSIONS:
            message = f"is one template more than the {MAX_EXPRESSIONS} allowed in a value"
            raise Invalid([FieldError("", text, message, "pass whole objects instead of many of their fields")])
        if source not in self.expressions:
            self.expressions[source] = compile_expression(source.strip(), roots=self._roots)
        return self.expressions[source]


def _split(text: str) -> Iterator[tuple[bool, str]]:
    """Yield the pieces of ``text`` in order: whether it is an expression, and its characters without the marks."""
    literal, at = "", 0
    while start := _START.search(text, at):
        literal += text[at : start.start()]
        at = start.end()
        if start[0] == _ESCAPED:
            literal += _OPEN
            continue
        end = _closing(text, at)
        if end < 0:
            remedy = "close it with `}`, and its quotes; a `${` that is text is written `$${`"
            raise Invalid([FieldError("", text, "has a `${` without its end", remedy)])
        if literal:
            yield False, literal
        yield True, text[at:end]
        literal, at = "", end + 1
    if literal := literal + text[at:]:
        yield False, literal


def _closing(text: str, at: int) -> int:
    """Return where the ``}`` is that ends the expression at ``at``, past quoted text and ``{a: b}``; -1 if nowhere."""
    depth, quote = 0, ""
    while at < len(text):
        char = text[at]
        if quote:
            at += char == "\\"  # what is escaped does not end the quote
            quote = "" if char == quote else quote
        elif char in _QUOTES:
            quote = char
        elif char == "}" and depth == 0:
            return at
        else:
            depth += (char == "{") - (char == "}")
        at += 1
    return -1


def _size_of(value: object, field: str) -> int:
    try:
        size = len(orjson.dumps(value))
    except TypeError as error:
        raise Invalid([FieldError(field, value, f"is not JSON: {error}", "write plain JSON, not too deep")]) from None
    if size > MAX_RENDERED:
        message = f"has {size} bytes, more than {MAX_RENDERED}"
        raise Invalid([FieldError(field, value, message, "let a tool fetch large data", Mistake.TOO_LONG)])
    return size


def _placed(field: str, error: Permanent) -> Permanent:
    return Permanent(f"{field}: {error}") if field else error

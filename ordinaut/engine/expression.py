"""
Compile JMESPath expressions of untrusted authors once, so that they can be evaluated safely and often.

Conditions (``if: "steps.mail.unread"``) and templates (``${params.city}``) are expressions. The plan compiler and the
trigger matcher call `compile_expression` when a resource is accepted; a mistake is an `Invalid` that names the place
and the remedy. What comes out also says which names it reads, so that the plan can refuse a reference to a step that
does not exist. At run time the worker evaluates it over a *scope*: a mapping from each root name to a JSON value.

Paths such as ``steps.mail.messages[0].id`` and choices such as ``params.city || 'Chisinau'``, which most expressions
are, become closures that are some ten times faster than the tree walker. The limits are in `ordinaut.engine.syntax`
and `ordinaut.engine.evaluation`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ordinaut.engine import evaluation, fieldpath, syntax
from ordinaut.errors import MAX_SHOWN_VALUE, Permanent, shown

ROOTS: Final = frozenset({"params", "steps", "run", "task", "event", "events", "item", "index", "now"})
"""The names a pipeline's expressions may start with."""

Scope = Mapping[str, object]
"""A JSON value for each root name that exists at this place."""

MISSING: Final = object()
"""Where a path leads to nothing; JSON's null is something."""

Find = Callable[[Scope], object]
"""Returns an expression's value over a scope, or ``MISSING``."""

_NAMES_SHOWN = 8
"""Names which exist, listed when the wanted one does not."""


@dataclass(frozen=True, slots=True)
class Expression:
    """
    A compiled expression.

    ``roots`` are the top-level names it reads, ``step_refs`` the steps it reads as ``steps.NAME``. Values come out of
    the scope as they are, shared with it: treat them as immutable.
    """

    source: str
    roots: frozenset[str]
    step_refs: frozenset[str]
    _path: syntax.Path | None = field(repr=False, compare=False)
    _find: Find = field(repr=False, compare=False)

    def evaluate(self, scope: Scope) -> object:
        """Return the value over ``scope``, ``None`` for null and for nothing; raise `Permanent` at a limit."""
        value = self._find(scope)
        return None if value is MISSING else value

    def require(self, scope: Scope) -> object:
        """
        Return the value over ``scope``; raise `Permanent` at a limit, and when there is no value.

        A path knows a missing name from a null. Elsewhere JMESPath has only null, which counts as missing unless the
        author spelled it as the last choice: ``a[*].b | [0] || `null```.
        """
        value = self._find(scope)
        if value is MISSING:
            raise Permanent(
                f"{_named(self.source)} is missing{_gap(self._path, scope)}; give a default: a || 'default'"
            )
        return value


def compile_expression(source: str, *, roots: frozenset[str] = ROOTS) -> Expression:
    """
    Return the expression that ``source`` spells, which may read the names ``roots``.

    Raise `Invalid` with an empty field when it is no JMESPath, too large, or reads or calls what does not exist; the
    caller places the mistake with `FieldError.under`.
    """
    tree = syntax.parse(source)
    names = syntax.names_read(source, tree, roots=roots)
    return Expression(
        source=source,
        roots=frozenset(names.roots),
        step_refs=frozenset(names.steps),
        _path=syntax.plain_path(tree),
        _find=_finder(source, tree),
    )


def is_true(value: object) -> bool:
    """Return JMESPath's truth: false, null and empty text, lists and objects are false, all else is true, also 0."""
    if isinstance(value, str | list | dict):
        return bool(value)
    return value is not None and value is not False


def _finder(source: str, tree: syntax.Node) -> Find:
    """Return closures for a path and a choice of paths and literals (``a.b || 'default'``), else the tree walker."""
    choice = [_simple_finder(node) for node in syntax.alternatives(tree)]
    finders = [finder for finder in choice if finder]
    if len(finders) < len(choice):
        return _tree_finder(source, tree)
    if len(finders) == 1:
        return finders[0]
    *first, last = finders

    def choose(scope: Scope) -> object:
        for find in first:
            value = find(scope)
            if value is not MISSING and is_true(value):
                return value
        return last(scope)

    return choose


def _simple_finder(node: syntax.Node) -> Find | None:
    if node["type"] == "literal":
        literal = node["value"]
        return lambda _: literal
    path = syntax.plain_path(node)
    return path_finder(path) if path else None


def path_finder(path: syntax.Path) -> Find:
    """Return a closure that follows a path of names and list positions."""
    if all(isinstance(key, str) for key in path):

        def follow_names(scope: Scope) -> object:
            value: Any = scope
            try:
                for name in path:
                    value = value[name]
            except (KeyError, TypeError):
                return MISSING
            return value

        return follow_names

    def follow(scope: Scope) -> object:
        value: object = scope
        try:
            for key in path:
                value = _step(value, key)
        except (KeyError, IndexError, TypeError):
            return MISSING
        return value

    return follow


def _step(value: Any, key: str | int) -> Any:
    """Return the item of a list or the property of an object; text has no items in JMESPath."""
    if isinstance(key, str) or isinstance(value, list):
        return value[key]
    raise TypeError


def _gap(path: syntax.Path | None, scope: Scope) -> str:
    """Say at which name a path ends, and which names there are instead; nothing if it is no plain path."""
    place: Any = scope
    above = ""
    for key in path or ():
        try:
            place = _step(place, key)
        except (KeyError, IndexError, TypeError):
            return f": {above or 'the scope'} has {_names_in(place)}"
        above = fieldpath.child(above, key)
    return ""


def _names_in(value: object) -> str:
    if isinstance(value, list):
        return f"{len(value)} items"
    if not isinstance(value, Mapping) or not value:
        return "no names"
    names = sorted(value)
    more = ", …" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(shown(name[:MAX_SHOWN_VALUE]) for name in names[:_NAMES_SHOWN]) + more


def _tree_finder(source: str, tree: syntax.Node) -> Find:
    # JMESPath can't tell missing from null; the author can: a || `null`
    nothing = None if syntax.ends_in_literal(tree) else MISSING

    def walk(scope: Scope) -> object:
        try:
            value = evaluation.evaluate(tree, scope)
        except evaluation.Unevaluable as error:
            raise Permanent(f"{_named(source)} can't be evaluated: {error}") from None
        return nothing if value is None else value

    return walk


def _named(source: str) -> str:
    return f"expression {shown(source)}"

"""
Say where and why a value does not satisfy a JSON Schema, in words that tell what to write instead.

`ordinaut.engine.schema` calls `explain` only after ``jsonschema_rs`` has refused the value: that library decides in a
microsecond, but copies the whole value into every error. ``jsonschema`` finds the errors one by one, and knows which
branch of an ``anyOf`` was probably meant. Two of its habits are unfit for hostile input and are replaced here: Python's
exponential regular expressions, and a comparison of all items with each other for ``uniqueItems``. Its work is metered,
since an explanation that does not end helps nobody.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from itertools import islice
from typing import Any, Final

import jsonschema_rs
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from jsonschema_specifications import REGISTRY as SPECIFICATIONS  # type: ignore[import-untyped]
from referencing import Registry
from referencing.jsonschema import DRAFT202012, Schema

from ordinaut.engine import fieldpath, pattern, schema_words
from ordinaut.errors import FieldError

MAX_ERRORS = 10
"""Mistakes that are explained at once."""

MAX_WORK = 20_000
"""Keywords that are looked at, and 64 characters of error text each, for one explanation: some 0.1 s at worst."""

_CHARACTERS_PER_UNIT = 64

_Keyword = Callable[[Any, Any, Any, Any], Iterable[ValidationError] | None]
"""How ``jsonschema`` checks a keyword: validator, the keyword's value, the instance, the schema around the keyword."""

_MARKS = frozenset({"const", "enum"})

_left: ContextVar[list[int]] = ContextVar("left")
"""The units of work left to the explanation under way; ``jsonschema`` has no place to hand them through."""


class _Exhausted(Exception):
    """The explanation costs more than it is worth."""


def explain(schema: Mapping[str, Any], value: object, *, field: str) -> list[FieldError]:
    """
    Return why ``value``, which stands at ``field``, does not satisfy ``schema``: at least one mistake, at most ten.

    ``schema`` is a document that `ordinaut.engine.schema` has accepted, or `METASCHEMA`.
    """
    mistakes = _first((error, field) for error in _explainer(schema).iter_errors(value))
    return mistakes or [FieldError(field, value, "does not match its schema", "compare it with the schema")]


def mismatches(schema: Mapping[str, Any], parts: Iterable[tuple[Mapping[str, Any], object, str]]) -> list[FieldError]:
    """
    Return the mistakes, ten at most, in the values of ``parts``: subschemas of ``schema``, a value and a field of each.

    Nothing is returned for what would take too long to look at.
    """
    explainer = _explainer(schema)
    return _first(
        (error, field) for part, value, field in parts for error in explainer.evolve(schema=part).iter_errors(value)
    )


def _first(errors: Iterator[tuple[ValidationError, str]]) -> list[FieldError]:
    """Return the first errors, as far as they can be found with bounded work, each with the field of its value."""
    mistakes: list[FieldError] = []
    token = _left.set([MAX_WORK])
    try:
        for error, field in islice(errors, MAX_ERRORS):
            mistake = _mistake(_probable(error), field)
            if mistake not in mistakes:
                mistakes.append(mistake)
    except (_Exhausted, RecursionError):
        pass
    finally:
        _left.reset(token)
    return mistakes


def _probable(error: ValidationError) -> ValidationError:
    """
    Return the error behind ``error``, which may be a choice of schemas, in the branch that was probably meant.

    That is the only one of which the value has the type, or of these the only one whose marks (``kind: {const: a}``)
    it bears. Where that leaves none or several, the choice itself is the error.
    """
    while error.context:
        branches: dict[object, list[ValidationError]] = {}
        for inner in filter(_is_of_a_keyword, error.context):
            branches.setdefault(inner.relative_schema_path[0], []).append(inner)
        typed = [
            found for found in branches.values() if not any(one.validator == "type" and not one.path for one in found)
        ]
        marked = [found for found in typed if not any(one.validator in _MARKS for one in found)]
        meant = marked if len(typed) > 1 else typed
        if len(meant) != 1:
            break
        error = meant[0][0]
    return error


def _is_of_a_keyword(error: ValidationError) -> bool:
    """Whether ``error`` comes from within a branch; a branch that is ``false`` has no within, and was not meant."""
    return error.validator is not None


def _mistake(error: ValidationError, field: str) -> FieldError:
    for key in error.absolute_path:
        field = fieldpath.child(field, key)
    return schema_words.mistake(error, field=field)


# --- Keywords that jsonschema checks in a way unfit for hostile input, or reports with less than a field each


def _spend(units: int) -> None:
    left = _left.get()
    left[0] -= units
    if left[0] < 0:
        raise _Exhausted


def _metered(keyword: _Keyword) -> _Keyword:
    def metered(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        _spend(1)
        for error in keyword(validator, value, instance, schema) or ():
            _spend(len(error.message) // _CHARACTERS_PER_UNIT)  # it repeats the instance, however large
            yield error

    return metered


def _pattern(_: Any, value: str, instance: object, __: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not pattern.matcher(value)(instance):
        yield ValidationError("does not match")


def _pattern_properties(validator: Any, value: dict[str, Any], instance: Any, _: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for expression, schema in value.items():
            for name in filter(pattern.matcher(expression), instance):
                yield from validator.descend(instance[name], schema, path=name, schema_path=expression)


def _additional_properties(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    matchers = [pattern.matcher(expression) for expression in schema.get("patternProperties", ())]
    for name in instance:
        if name in schema.get("properties", ()) or any(matches(name) for matches in matchers):
            continue
        if value is False:
            yield ValidationError("is unknown", path=[name], instance=instance[name])
        else:
            yield from validator.descend(instance[name], value, path=name)


def _required(_: Any, value: list[str], instance: object, __: Any) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for name in value:
            if name not in instance:
                yield ValidationError("is missing", path=[name], instance=None)


def _unique_items(_: Any, value: bool, instance: Any, __: Any) -> Iterator[ValidationError]:
    if value and isinstance(instance, list) and not _UNIQUE.is_valid(instance):
        yield ValidationError("has items twice")


_UNIQUE = jsonschema_rs.Draft202012Validator({"uniqueItems": True})

_KEYWORDS: Final[Mapping[str, _Keyword]] = {
    **Draft202012Validator.VALIDATORS,
    "additionalProperties": _additional_properties,
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "required": _required,
    "uniqueItems": _unique_items,
}

_Explainer = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {name: _metered(keyword) for name, keyword in _KEYWORDS.items()}
)


def _without_dialect(schema: Schema) -> Any:
    """Return ``schema`` without ``$schema``, which would make ``jsonschema`` go on with its own class."""
    return {key: value for key, value in schema.items() if key != "$schema"} if isinstance(schema, Mapping) else schema


METASCHEMA: Final[Mapping[str, Any]] = _without_dialect(Draft202012Validator.META_SCHEMA)
"""What every schema must satisfy."""

# No document that was accepted refers outside itself; the metaschema refers to its vocabularies. Nothing is fetched.
_REGISTRY: Registry[Schema] = Registry().with_resources(
    (uri, DRAFT202012.create_resource(_without_dialect(SPECIFICATIONS.contents(uri))))
    for uri in SPECIFICATIONS
    if "/draft/2020-12/" in uri
)


def _explainer(schema: Mapping[str, Any]) -> Any:
    return _Explainer(_without_dialect(schema), registry=_REGISTRY)

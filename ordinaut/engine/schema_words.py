"""
Put a failed keyword of a JSON Schema into words: what is wrong with the value, and what to write instead.

`ordinaut.engine.schema_errors` hands over the errors of ``jsonschema``, whose own texts repeat the whole value and name
no remedy. The kinds of mistake are those of the Kubernetes API server, so that an argument of a tool is refused like
a field of a manifest.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from jsonschema import ValidationError

from ordinaut.errors import MAX_SHOWN_VALUE, FieldError, Mistake, shown

_TYPES: Final = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}

_KINDS: Final = {
    "additionalProperties": Mistake.UNKNOWN,
    "const": Mistake.UNSUPPORTED,
    "enum": Mistake.UNSUPPORTED,
    "maxItems": Mistake.TOO_MANY,
    "maxLength": Mistake.TOO_LONG,
    "required": Mistake.REQUIRED,
}

_BOUNDS: Final = {
    "exclusiveMaximum": ("is not less than {0}", "write less than {0}"),
    "exclusiveMinimum": ("is not more than {0}", "write more than {0}"),
    "maxItems": ("has more than {0} items", "write at most {0}"),
    "maxLength": ("has more than {0} characters", "write at most {0}"),
    "maxProperties": ("has more than {0} properties", "write at most {0}"),
    "maximum": ("is more than {0}", "write at most {0}"),
    "minItems": ("has fewer than {0} items", "write at least {0}"),
    "minLength": ("has fewer than {0} characters", "write at least {0}"),
    "minProperties": ("has fewer than {0} properties", "write at least {0}"),
    "minimum": ("is less than {0}", "write at least {0}"),
    "multipleOf": ("is no multiple of {0}", "write a multiple of {0}"),
    "pattern": ("does not match {0}", "write text that matches"),
    "contains": ("holds no item of the kind it must hold", "add one"),
    "not": ("is what the schema excludes", "write something else"),
    "uniqueItems": ("has items that are equal", "write each one once"),
}
"""Message and remedy of keywords whose own value says it all."""


def mistake(error: ValidationError, *, field: str) -> FieldError:
    """Return the mistake that ``error`` stands for; ``field`` is where its value stands."""
    keyword = str(error.validator)
    if keyword in _BOUNDS:
        message, remedy = (text.format(shown(error.validator_value)) for text in _BOUNDS[keyword])
    else:
        message, remedy = _DESCRIBED.get(keyword, _in_its_own_words)(error)
    return FieldError(field, error.instance, message, remedy, _KINDS.get(keyword, Mistake.INVALID))


def _wrong_type(error: ValidationError) -> tuple[str, str]:
    return _other_type(error, _as_list(error.validator_value))


def _other_type(error: ValidationError, wanted: Iterable[str]) -> tuple[str, str]:
    names = " or ".join(dict.fromkeys(wanted))
    return f"is of type {_TYPES.get(type(error.instance), 'object')}", f"write a value of type {names}"


def _as_list(names: Any) -> list[str]:
    return names if isinstance(names, list) else [names]


def _no_choice(error: ValidationError) -> tuple[str, str]:
    value: Any = error.validator_value
    choices = [value] if error.validator == "const" else value
    return f"supported values: {_listed(choices)}", ""


def _missing(_: ValidationError) -> tuple[str, str]:
    return "", "add it"


def _unknown(error: ValidationError) -> tuple[str, str]:
    schema: Any = error.schema
    known = sorted(schema.get("properties", ()))
    near = difflib.get_close_matches(str(error.absolute_path[-1])[:MAX_SHOWN_VALUE], known, n=1)
    if near:
        return "unknown field", f"did you mean {shown(near[0])}?"
    return "unknown field", f"leave it out; the fields here are {_listed(known)}" if known else "leave it out"


def _matches_none(error: ValidationError) -> tuple[str, str]:
    """Describe a choice of schemas of which no branch is nearer than the others."""
    branches = error.context or []
    if not branches:  # oneOf, satisfied more than once
        return "matches more than one of the forms of which it must match one", "make it match one only"
    possible = [branch for branch in branches if branch.validator is not None]  # the others are `false`
    if possible and all(branch.validator == "type" and not branch.path for branch in possible):
        return _other_type(error, (name for branch in possible for name in _as_list(branch.validator_value)))
    return "matches none of the forms the schema allows", "compare it with the schema's choices"


def _in_its_own_words(error: ValidationError) -> tuple[str, str]:
    return error.message[:MAX_SHOWN_VALUE], "compare it with the schema"


def _listed(values: Iterable[object]) -> str:
    """Return ``values`` as a list of bounded length."""
    texts: list[str] = []
    for value in values:
        texts.append(shown(value))
        if sum(map(len, texts)) > MAX_SHOWN_VALUE:
            return ", ".join((*texts[:-1], "…"))
    return ", ".join(texts)


_DESCRIBED: Final[Mapping[str, Callable[[ValidationError], tuple[str, str]]]] = {
    "additionalProperties": _unknown,
    "anyOf": _matches_none,
    "const": _no_choice,
    "enum": _no_choice,
    "oneOf": _matches_none,
    "required": _missing,
    "type": _wrong_type,
}

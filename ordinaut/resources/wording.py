"""
Says pydantic's complaints in the words of the Kubernetes API server.

`manifest.parse` calls `field_errors` when a manifest does not have the structure of a model. The texts are those of
kube-openapi's and apimachinery's validation (``kube-openapi/pkg/validation/errors``, ``apimachinery/util/validation/
field``), so that a manifest is refused with the same words by kubectl, REST and the command line.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ordinaut.errors import FieldError, Mistake, shown

_WANTED_TYPES: Final = {
    "string_type": "string",
    "int_type": "integer",
    "int_from_float": "integer",
    "float_type": "number",
    "bool_type": "boolean",
    "list_type": "array",
    "dict_type": "object",
    "model_type": "object",
    "model_attributes_type": "object",
    "literal_error": "string",
}
_WORDS: Final = {
    "missing": (Mistake.REQUIRED, ""),
    "greater_than_equal": (Mistake.INVALID, "{field} in body should be greater than or equal to {ge:g}"),
    "less_than_equal": (Mistake.INVALID, "{field} in body should be less than or equal to {le:g}"),
    "string_too_long": (Mistake.TOO_LONG, "may not be more than {max_length} bytes"),
    "string_too_short": (Mistake.INVALID, "{field} in body should be at least {min_length} chars long"),
    "too_long": (Mistake.TOO_MANY, "must have at most {max_length} items"),
    "too_short": (Mistake.INVALID, "{field} in body should have at least {min_length} items"),
}

_JSON_TYPES: Final = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
}


def field_errors(error: ValidationError, *, model: type[BaseModel]) -> Iterator[FieldError]:
    """Yield each mistake that pydantic found while it read ``model``."""
    for detail in error.errors(include_url=False):
        yield _field_error(detail, model)


def field_path(location: tuple[str | int, ...]) -> str:
    """Return a path as Kubernetes writes it: ``spec.schedules[0].cron``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")


def _field_error(detail: ErrorDetails, model: type[BaseModel]) -> FieldError:
    field, value, context = field_path(detail["loc"]), detail["input"], detail.get("ctx", {})
    kind = detail["type"]
    if kind == "extra_forbidden":
        return FieldError(field, value, "unknown field", _nearest(detail["loc"], model), Mistake.UNKNOWN)
    if kind == "literal_error" and isinstance(value, str):
        known = re.findall(r"'([^']*)'", context["expected"])
        supported = "supported values: " + ", ".join(shown(one) for one in known)
        return FieldError(field, value, supported, "", Mistake.UNSUPPORTED)
    if kind in _WANTED_TYPES:
        return _wrong_type(field, value, _WANTED_TYPES[kind])
    mistake, words = _WORDS.get(kind, (Mistake.INVALID, detail["msg"].replace("{", "{{").replace("}", "}}")))
    return FieldError(field, context.get("actual_length", value), words.format(field=field, **context), "", mistake)


def _wrong_type(field: str, value: object, wanted: str) -> FieldError:
    """Return the mistake; like the API server, it names the type of the value in place of the value."""
    found = _JSON_TYPES.get(type(value), "object")
    message = f'{field} in body must be of type {wanted}: "{found}"'
    composed = isinstance(value, Mapping | list) or value is None
    remedy = f"write a value of type {wanted}" + ("" if composed else f" instead of {shown(value)}")
    return FieldError(field, found, message, remedy)


def _nearest(location: tuple[str | int, ...], model: type[BaseModel]) -> str:
    """Return a hint at the field that an unknown one at ``location`` was probably meant to be."""
    parent = _model_at(location[:-1], model)
    known = [info.alias or name for name, info in parent.model_fields.items()] if parent else []
    folded = {name.lower(): name for name in known}
    wanted = str(location[-1]).replace("_", "").replace("-", "").lower()
    for name in difflib.get_close_matches(wanted, folded, n=1, cutoff=0.7):
        return f"did you mean {shown(folded[name])}?"
    return f"leave it out; the fields here are {', '.join(known)}" if known else "leave it out"


def _model_at(location: tuple[str | int, ...], model: type[BaseModel]) -> type[BaseModel] | None:
    """Return the model of the value at ``location`` inside a ``model``."""
    for part in location:
        if isinstance(part, str):
            declared = next((info.annotation for info in model.model_fields.values() if info.alias == part), None)
            found = _model_in(declared)
            if found is None:
                return None
            model = found
    return model


def _model_in(declared: Any) -> type[BaseModel] | None:
    """Return the first model that the type ``declared`` mentions, which is what its items or values are."""
    if isinstance(declared, type) and issubclass(declared, BaseModel):
        return declared
    return next((found for inner in get_args(declared) if (found := _model_in(inner))), None)

"""
Fill the defaults of a JSON Schema into a value.

`ordinaut.engine.schema` calls `fill` for the parameters of a run before it checks them. A recursive schema may ask for
defaults without end, so what one value may get is bounded.
"""

from collections.abc import Iterator
from typing import Any

from ordinaut.engine.schema_document import Document, Subschema, inside
from ordinaut.errors import FieldError, Invalid

MAX_STEPS = 100_000
"""Subschemas that are looked at for one value, some 0.1 s; one that refers to itself twice doubles with each level."""


def fill(document: Document, value: object, *, pointer: str = "#", field: str = "") -> object:
    """
    Return ``value`` with the defaults of the subschema at ``pointer``.

    What changes is copied; the rest is shared with ``value``, and defaults with the schema: treat it as immutable.

    Raise `Invalid`, naming ``field``, when the defaults have no end.
    """
    if not document.has_defaults:
        return value
    try:
        return _Filler(document).fill(pointer, value)
    except (RecursionError, _Endless):
        message = "takes too much work to be given its defaults"
        raise Invalid(
            [FieldError(field, value, message, "take `default` out of the schema that refers to itself")]
        ) from None


class _Endless(Exception):
    """More work than one value may cost."""


class _Filler:
    """Fills one value."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._steps = 0

    def fill(self, pointer: str, value: Any) -> Any:
        """Return ``value`` with the defaults of the subschema at ``pointer``."""
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise _Endless
        subschema = self._document.subschemas[pointer]
        for same in self._always(pointer, subschema):
            value = self.fill(same, value)
        if isinstance(value, dict):
            return self._object(pointer, subschema, value)
        if isinstance(value, list) and "items" in subschema.schema:
            first = len(subschema.schema.get("prefixItems", ()))
            items = inside(pointer, "items")
            return value[:first] + [self.fill(items, item) for item in value[first:]]
        return value

    @staticmethod
    def _always(pointer: str, subschema: Subschema) -> Iterator[str]:
        """Yield the subschemas that hold for the same value in any case."""
        yield from subschema.references
        for index in range(len(subschema.schema.get("allOf", ()))):
            yield inside(pointer, "allOf", index)

    def _object(self, pointer: str, subschema: Subschema, value: dict[str, Any]) -> dict[str, Any]:
        filled = dict(value)
        declared = subschema.schema.get("properties", {})
        for name, schema in declared.items():
            if name not in filled and isinstance(schema, dict) and "default" in schema:
                filled[name] = schema["default"]
            if name in filled:
                filled[name] = self.fill(inside(pointer, "properties", name), filled[name])
        if "additionalProperties" in subschema.schema and "patternProperties" not in subschema.schema:
            rest = inside(pointer, "additionalProperties")
            filled |= {name: self.fill(rest, filled[name]) for name in filled if name not in declared}
        return filled

"""
Compile JSON Schemas (2020-12) of untrusted authors, check values with them, and fill in their defaults.

The plan compiler calls `compile_schema` for a Pipeline's ``params`` and a Tool's ``inputSchema`` and ``outputSchema``;
the worker checks each step's input before the call and its output after. ``jsonschema_rs`` decides, in a microsecond;
only for a refused value is it asked why (`ordinaut.engine.schema_errors`). A schema is bounded when it is compiled
(`ordinaut.engine.schema_document`), so that no value can make a check run away. ``format`` is an annotation, as the
standard has it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import jsonschema_rs
import orjson

from ordinaut.engine import fieldpath, pattern
from ordinaut.engine.defaults import fill
from ordinaut.engine.schema_document import Document, read_document
from ordinaut.engine.schema_errors import METASCHEMA, explain, mismatches
from ordinaut.errors import FieldError, Invalid, Mistake

MAX_BYTES = 64 * 1024
"""Size of a schema, as JSON."""

MAX_PATTERN_WORK = 1 << 31
"""
Bytes of compiled patterns, times bytes of the value: some 0.3 s for the worst patterns found, a blink for others.

Nothing else in the process goes on meanwhile, a worker's heartbeat neither: it must be far below the time of a lease.
"""

_WELL_FORMED = jsonschema_rs.Draft202012Validator(dict(METASCHEMA), offline=True)
"""Decides whether a document is a schema; ``jsonschema_rs`` brings the vocabularies that the metaschema refers to."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A compiled schema. ``source`` is the document itself: a copy, to be treated as immutable."""

    source: Mapping[str, Any]
    _document: Document = field(repr=False)
    _validator: jsonschema_rs.Draft202012Validator = field(repr=False)

    def check(self, value: object, *, field: str) -> None:
        """Raise `Invalid` if ``value`` is not what the schema says: up to ten mistakes, at paths under ``field``."""
        try:
            # It also refuses what is nested deeper than 254 levels, on which the validator would overflow its stack.
            size = len(orjson.dumps(value))
        except TypeError as error:
            raise Invalid(
                [FieldError(field, value, f"is not JSON: {error}", "write plain JSON, not too deep")]
            ) from None
        if size * self._document.pattern_bytes > MAX_PATTERN_WORK:
            message = f"has {size} bytes, too many for the patterns of its schema"
            raise Invalid([FieldError(field, value, message, "use fewer or simpler patterns", Mistake.TOO_LONG)])
        if not self._validator.is_valid(value):
            raise Invalid(explain(self.source, value, field=field))


def compile_schema(schema: Mapping[str, Any], *, field: str) -> Schema:
    """
    Return the compiled ``schema``, from a cache if an equal one was compiled lately.

    Raise `Invalid` with paths under ``field`` when it is no schema of JSON Schema 2020-12, refers out of itself, has
    patterns which can't be matched in linear time or defaults which it would itself refuse, or is too large.
    """
    try:
        canonical = orjson.dumps(schema, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise Invalid([FieldError(field, schema, f"is not JSON: {error}", "write plain JSON, not too deep")]) from None
    if len(canonical) > MAX_BYTES:
        message = f"has {len(canonical)} bytes, more than {MAX_BYTES}"
        raise Invalid([FieldError(field, schema, message, "describe less", Mistake.TOO_LONG)])
    try:
        return _compiled(canonical)
    except Invalid as invalid:
        raise Invalid([error.under(field) for error in invalid.errors]) from None


def apply_defaults(schema: Schema, value: object, *, field: str = "") -> object:
    """
    Return ``value`` with the ``default`` of each property that it lacks, at every depth; ``value`` stays as it is.

    Defaults are looked for where they are certain to apply: in ``properties``, ``additionalProperties``, ``items``,
    ``allOf`` and references, not in branches. A default is completed in its turn, as in a Kubernetes CRD: with
    ``default: {}`` an object's own defaults appear. The result has still to be checked.
    """
    return fill(schema._document, value, field=field)


@lru_cache(maxsize=256)
def _compiled(canonical: bytes) -> Schema:
    """Compile the schema that is written in canonical JSON; its fields are relative to the schema."""
    source = orjson.loads(canonical)
    if not _WELL_FORMED.is_valid(source):
        raise Invalid(explain(METASCHEMA, source, field=""))
    document = read_document(source)
    try:
        validator = jsonschema_rs.Draft202012Validator(source, pattern_options=pattern.options(), offline=True)
    except (jsonschema_rs.ValidationError, ValueError) as error:
        raise Invalid([FieldError("", source, f"is no schema: {error}", "see https://json-schema.org")]) from None
    schema = Schema(source, document, validator)
    _check_defaults(schema)
    return schema


def _check_defaults(schema: Schema) -> None:
    """Refuse defaults that the schema would refuse as values, which every run would otherwise find out."""
    document = schema._document
    mistakes = mismatches(
        schema.source,
        (
            (
                part.schema,
                fill(document, part.schema["default"], pointer=pointer),
                fieldpath.child(part.field, "default"),
            )
            for pointer, part in document.subschemas.items()
            if "default" in part.schema
        ),
    )
    if mistakes:
        raise Invalid(mistakes)

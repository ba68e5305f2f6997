"""
Read a JSON Schema of an untrusted author: its subschemas, and the mistakes that the metaschema leaves open.

`ordinaut.engine.schema` calls `read_document` when a Pipeline's ``params`` or a Tool's schemas are accepted, after the
metaschema has said that the document is well formed. Refused are references out of the document, patterns which the
linear-time engine can't take, and documents that cost too much: ten definitions, each using the next one twice, are a
thousand subschemas, and both validators slow down by powers where ``unevaluatedProperties`` is nested in itself.

Keywords and their meaning: JSON Schema 2020-12, https://json-schema.org/draft/2020-12/json-schema-core.
"""

import dataclasses
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from typing import Any, Final, NoReturn
from urllib.parse import unquote

from ordinaut.engine import fieldpath
from ordinaut.engine.pattern import MAX_PATTERN, compiled_bytes
from ordinaut.errors import FieldError, Invalid

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

MAX_SUBSCHEMAS = 2_000
"""Subschemas of a document, each counted as often as references lead to it."""

MAX_DEPTH = 64
"""Nesting of subschemas, followed through references."""

MAX_UNEVALUATED = 2
"""``unevaluated…`` keywords that look at the same value from within each other; each one doubles the work or worse."""

MAX_PATTERN_BYTES = 1 << 18
"""Bytes that all compiled patterns of a document may have together."""

MAX_MISTAKES = 10
"""Mistakes that are reported at once."""

# Where subschemas stand, and whether they look at the same value as the schema around them or at a part of it.
_SAME_ONE = frozenset({"not", "if", "then", "else"})
_SAME_LIST = frozenset({"allOf", "anyOf", "oneOf"})
_SAME_MAP = frozenset({"dependentSchemas"})
_PART_ONE = frozenset(
    {"additionalProperties", "contains", "items", "propertyNames", "unevaluatedItems", "unevaluatedProperties"}
)
_PART_LIST = frozenset({"prefixItems"})
_PART_MAP = frozenset({"patternProperties", "properties"})
_STORED_MAP = frozenset({"$defs", "definitions"})
"""Applied to nothing until a reference leads there."""

_SAME = _SAME_ONE | _SAME_LIST | _SAME_MAP
_ONE, _LIST, _MAP = _SAME_ONE | _PART_ONE, _SAME_LIST | _PART_LIST, _SAME_MAP | _PART_MAP | _STORED_MAP
_REFERENCES = ("$ref", "$dynamicRef")
_ANCHORS = ("$anchor", "$dynamicAnchor")
_UNEVALUATED = frozenset({"unevaluatedItems", "unevaluatedProperties"})


@dataclasses.dataclass(slots=True)
class Subschema:
    """
    One schema inside a document.

    ``field`` is its path for messages (``properties.city``). The others are pointers: ``same`` and ``parts`` of the
    schemas inside it that it applies to its own value and to parts of that value, ``references`` of those outside.
    """

    field: str
    schema: Mapping[str, Any]
    same: list[str] = dataclasses.field(default_factory=list)
    parts: list[str] = dataclasses.field(default_factory=list)
    references: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class Document:
    """A schema's parts: its object schemas by pointer (``#/properties/city``), and what its patterns weigh in bytes."""

    subschemas: Mapping[str, Subschema]
    pattern_bytes: int
    has_defaults: bool


def read_document(schema: Mapping[str, Any]) -> Document:
    """Return the parts of ``schema``, which satisfies the metaschema; raise `Invalid` with its other mistakes."""
    reader = _Reader()
    reader.read(schema)
    reader.link()
    if reader.mistakes:
        raise Invalid(reader.mistakes[:MAX_MISTAKES])
    _Cost(reader.found).check()
    return Document(
        subschemas=reader.found,
        pattern_bytes=reader.pattern_bytes,
        has_defaults=any("default" in subschema.schema for subschema in reader.found.values()),
    )


def inside(pointer: str, *path: str | int) -> str:
    """Return the pointer (RFC 6901) of what lies at ``path`` inside the value at ``pointer``."""
    return "/".join((pointer, *(str(key).replace("~", "~0").replace("/", "~1") for key in path)))


class _Reader:
    """Walks one document without recursion; gathers its subschemas and mistakes."""

    def __init__(self) -> None:
        self.found: dict[str, Subschema] = {}
        self.mistakes: list[FieldError] = []
        self.pattern_bytes = 0
        self._anchors: dict[str, str] = {}
        self._keywords: set[str] = set()

    def read(self, document: Mapping[str, Any]) -> None:
        """Find all subschemas, and check the keywords of each."""
        waiting: deque[tuple[object, str, str, int]] = deque([(document, "#", "", 0)])
        while waiting:
            schema, pointer, field, depth = waiting.popleft()
            if depth > MAX_DEPTH or len(self.found) == MAX_SUBSCHEMAS:
                limits = f"{MAX_SUBSCHEMAS} subschemas, {MAX_DEPTH} levels deep"
                self._refuse(field, {}, "makes the schema too large", f"at most {limits}, are allowed")
                return
            subschema = Subschema(field, schema if isinstance(schema, Mapping) else {})
            self.found[pointer] = subschema
            self._check(subschema, pointer)
            for keyword, path, child in _children(subschema.schema):
                place = inside(pointer, *path)
                if keyword not in _STORED_MAP:
                    (subschema.same if keyword in _SAME else subschema.parts).append(place)
                waiting.append((child, place, reduce(fieldpath.child, path, field), depth + 1))

    def link(self) -> None:
        """Follow every reference to where it leads in this document; look at what only the whole shows."""
        if self._keywords >= {"patternProperties", "unevaluatedProperties"}:
            # jsonschema, which explains failures, matches the two together with Python's exponential engine.
            message = "has both patternProperties and unevaluatedProperties"
            self._refuse("", {}, message, "use additionalProperties instead of unevaluatedProperties")
        for subschema in self.found.values():
            for keyword in _REFERENCES:
                if keyword in subschema.schema:
                    self._link(subschema, keyword)

    def _link(self, subschema: Subschema, keyword: str) -> None:
        reference = subschema.schema[keyword]
        local = reference.startswith("#")
        pointer = unquote(reference)
        if local and reference[1:] in self._anchors:
            pointer = self._anchors[reference[1:]]
        if pointer in self.found:
            subschema.references.append(pointer)
        else:
            message = "leads to no schema of this document" if local else "leaves the document"
            remedy = "copy the schema under $defs and write #/$defs/NAME"
            self._refuse(fieldpath.child(subschema.field, keyword), reference, message, remedy)

    def _check(self, subschema: Subschema, pointer: str) -> None:
        schema = subschema.schema
        self._keywords |= schema.keys()
        inner = pointer != "#"
        if "$schema" in schema and (inner or schema["$schema"].rstrip("#") != DIALECT):
            remedy = f"leave it out, or write {DIALECT} at the top"
            self._refuse(fieldpath.child(subschema.field, "$schema"), schema["$schema"], "is another dialect", remedy)
        if inner and "$id" in schema:
            field = fieldpath.child(subschema.field, "$id")
            self._refuse(field, schema["$id"], "starts a document of its own", "use $anchor, or only $defs")
        for keyword in _ANCHORS:
            if keyword in schema and self._anchors.setdefault(schema[keyword], pointer) != pointer:
                field = fieldpath.child(subschema.field, keyword)
                self._refuse(field, schema[keyword], "names two schemas", "give each its own name")
        if "pattern" in schema:
            self._weigh(schema["pattern"], fieldpath.child(subschema.field, "pattern"))
        for pattern in schema.get("patternProperties", ()):
            self._weigh(pattern, fieldpath.child(subschema.field, "patternProperties"))

    def _weigh(self, pattern: str, field: str) -> None:
        if len(pattern) > MAX_PATTERN:
            self._refuse(field, pattern, f"has {len(pattern)} characters", f"use at most {MAX_PATTERN}")
            return
        size = compiled_bytes(pattern)
        if size is None:
            remedy = "write RE2 syntax: no look-around, no back references; maxLength instead of long repeats"
            self._refuse(field, pattern, "is no pattern that can be matched in linear time", remedy)
            return
        self.pattern_bytes += size
        if self.pattern_bytes > MAX_PATTERN_BYTES >= self.pattern_bytes - size:
            self._refuse(field, pattern, "makes the schema's patterns too large in total", "use fewer or simpler ones")

    def _refuse(self, field: str, value: object, message: str, remedy: str) -> None:
        self.mistakes.append(FieldError(field, value, message, remedy))


def _children(schema: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str | int, ...], object]]:
    """Yield the schemas directly inside ``schema``: the keyword, the path from here, and the schema."""
    for keyword, value in schema.items():
        if keyword in _ONE:
            yield keyword, (keyword,), value
        elif keyword in _LIST:
            for index, child in enumerate(value):
                yield keyword, (keyword, index), child
        elif keyword in _MAP:
            for name, child in value.items():
                yield keyword, (keyword, name), child


class _Cost:
    """What checking one value may cost, for documents whose references all lead somewhere."""

    def __init__(self, found: Mapping[str, Subschema]) -> None:
        self._found = found
        self._sizes: dict[str, int] = {}
        self._nestings: dict[str, int] = {}
        self._open: set[str] = set()

    def check(self) -> None:
        """Raise `Invalid` when the document costs too much."""
        for pointer, subschema in self._found.items():
            if self._size(pointer, 0) > MAX_SUBSCHEMAS:
                message = f"stands for more than {MAX_SUBSCHEMAS} subschemas, references followed"
                _refuse_cost(subschema, message, "refer to a schema once where it is used twice")
            if self._nesting(pointer, 0) > MAX_UNEVALUATED:
                message = f"nests more than {MAX_UNEVALUATED} unevaluated… keywords at the same value"
                _refuse_cost(subschema, message, "keep the outermost one")

    def _size(self, pointer: str, depth: int) -> int:
        """Count the subschemas that ``pointer`` stands for; one that contains itself counts once in itself."""
        if pointer in self._open:
            return 1
        if pointer not in self._sizes:
            with self._entered(pointer, depth) as subschema:
                sizes = (
                    self._size(child, depth + 1) for child in (*subschema.references, *subschema.same, *subschema.parts)
                )
                self._sizes[pointer] = 1 + sum(sizes)
        return self._sizes[pointer]

    def _nesting(self, pointer: str, depth: int) -> int:
        """Count the ``unevaluated…`` keywords that look at the same value within each other."""
        if pointer in self._open:
            _refuse_cost(self._found[pointer], "refers to itself for the same value", "refer to it from a property")
        if pointer not in self._nestings:
            with self._entered(pointer, depth) as subschema:
                below = max(
                    (self._nesting(child, depth + 1) for child in (*subschema.references, *subschema.same)), default=0
                )
                self._nestings[pointer] = below + (not _UNEVALUATED.isdisjoint(subschema.schema))
        return self._nestings[pointer]

    @contextmanager
    def _entered(self, pointer: str, depth: int) -> Iterator[Subschema]:
        subschema = self._found[pointer]
        if depth > MAX_DEPTH:
            _refuse_cost(subschema, f"is nested deeper than {MAX_DEPTH} levels, references followed", "flatten it")
        self._open.add(pointer)
        yield subschema
        self._open.discard(pointer)


def _refuse_cost(subschema: Subschema, message: str, remedy: str) -> NoReturn:
    raise Invalid([FieldError(subschema.field, subschema.schema, message, remedy)])

"""
What an API server would drop: fields of our models that the definitions it serves do not have.

A definition (CRD) that is older than the program loses fields without a word: when they are written, and also when
objects that have them are read or get a new status. The operator asks here before it takes anything over;
:mod:`ordinaut.resources.crd` says what the schemas should be.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

from ordinaut.resources.crd import Schema, definition
from ordinaut.resources.manifest import GROUP, KINDS, VERSION

_ANYTHING: Final = "x-kubernetes-preserve-unknown-fields"
_PARTS: Final = ("spec", "status")
_SHOWN: Final = 3
"""Fields that a message names of each definition."""


def published(openapi: Mapping[str, Any]) -> dict[str, Schema]:
    """Return the schemas of our kinds, as far as a published OpenAPI document has them."""
    found = {}
    for schema in openapi.get("components", {}).get("schemas", {}).values():
        for name in schema.get("x-kubernetes-group-version-kind", ()):
            if (name["group"], name["version"]) == (GROUP, VERSION) and name["kind"] in KINDS:
                properties = schema.get("properties", {})
                found[name["kind"]] = {part: properties[part] for part in _PARTS if part in properties}
    return found


def structure(schema: Schema) -> Schema:
    """Return of a schema what decides which fields objects are given out with; wording and checks do not."""
    kept: Schema = {name: schema[name] for name in (_ANYTHING, "default") if name in schema}
    if "properties" in schema:
        kept["properties"] = {name: structure(inner) for name, inner in schema["properties"].items()}
    for name in ("items", "additionalProperties"):
        if name in schema:
            kept[name] = structure(schema[name]) if isinstance(schema[name], dict) else schema[name]
    return kept


def missing(served: Mapping[str, Schema]) -> dict[str, list[str]]:
    """Return the fields that the served schemas lack, by definition; only those that lack some are named."""
    lacks = {}
    for kind, ours in _expected().items():
        if fields := [
            field for part, schema in ours.items() for field in lacking(schema, served[kind].get(part), at=part)
        ]:
            lacks[f"{kind.lower()}s.{GROUP}"] = fields
    return lacks


def in_words(lacks: Mapping[str, Sequence[str]]) -> str:
    """Return what is missing, as a message says it."""
    return "; ".join(f"{name} lacks {_some(fields)}" for name, fields in lacks.items())


def lacking(ours: Schema, served: Schema | None, *, at: str) -> Iterator[str]:
    """Yield the paths that ``ours`` allows and ``served`` drops; ``at`` is the path of both."""
    if served is None:
        yield at
        return
    keeps_all = served.get(_ANYTHING, False)
    theirs = served.get("properties", {})
    for name, inner in ours.get("properties", {}).items():
        if name in theirs or not keeps_all:
            yield from lacking(inner, theirs.get(name), at=f"{at}.{name}")
    if "items" in ours:
        yield from lacking(ours["items"], served.get("items"), at=f"{at}[]")
    values, their_values = ours.get("additionalProperties"), served.get("additionalProperties")
    if isinstance(values, dict) and isinstance(their_values, dict):
        yield from lacking(values, their_values, at=f"{at}.*")
    elif (values or ours.get(_ANYTHING)) and not (their_values or keeps_all):
        yield f"{at}.*"


def _some(fields: Sequence[str]) -> str:
    more = f" and {len(fields) - _SHOWN} more" if len(fields) > _SHOWN else ""
    return ", ".join(fields[:_SHOWN]) + more


@cache
def _expected() -> dict[str, dict[str, Schema]]:
    expected = {}
    for kind in KINDS:
        schema = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        expected[kind] = {part: schema["properties"][part] for part in _PARTS}
    return expected

"""
JSON Schemas of what requests hold, made from the models, so that no field is described twice.

The models carry their rules as CEL for Kubernetes. What JSON Schema can say too is translated: patterns, lists of
values, "exactly one of", what is not supported yet. The rest is left to the models; it is refused with 422.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ordinaut.resources.manifest import KINDS
from ordinaut.resources.metadata import SERVER_FIELDS
from ordinaut.resources.part import Part
from ordinaut.resources.rules import STORED_DEFAULT, VALIDATIONS

Schema = dict[str, Any]

PREFIX: Final = "#/components/schemas/"

_KUBERNETES_ONLY: Final = frozenset(
    {"title", "nullable", "x-kubernetes-preserve-unknown-fields", STORED_DEFAULT, VALIDATIONS}
)
_NAMED: Final = {
    "Task": "TaskManifest",
    "Pipeline": "PipelineManifest",
    "Tool": "ToolManifest",
    "Hook": "HookManifest",
    "Metadata": "ManifestMetadata",
}
"""Names of definitions that answers use for shapes of their own."""

_MATCHES: Final = re.compile(r'self\.matches\(("(?:[^"\\]|\\.)*")\)')
_IN: Final = re.compile(r"self in (\[.*\])")
_NOT: Final = re.compile(r'self != ("(?:[^"\\]|\\.)*")')
_HAS: Final = re.compile(r"has\(self\.(\w+)\)")
_EXACTLY_ONE: Final = re.compile(r"\[(.*)\]\.exists_one\(given, given\)")
_ONLY_WITH: Final = re.compile(r"has\(self\.(\w+)\) \|\| !\((.*)\)")
_GROUP_NAME: Final = re.compile(r"\(\?<\w+>")

_SCALARS: Final = frozenset({"string", "integer", "number", "boolean", "array", "object"})

_ORIGINAL_STEP: Final[Mapping[str, Schema]] = {
    "save_as": {"type": "string"},
    "timeout_seconds": {"type": "number", "minimum": 0.001, "maximum": 1_000_000},
    "timeoutSeconds": {"type": "number", "minimum": 0.001, "maximum": 1_000_000},
    "max_retries": {"type": "integer", "minimum": 0, "maximum": 100},
    "maxRetries": {"type": "integer", "minimum": 0, "maximum": 100},
}
"""How the first releases wrote a step; taken for their sake."""


def definitions() -> dict[str, Schema]:
    """Return the schemas of all kinds of manifest and of their parts, by name."""
    found: dict[str, Schema] = {}
    for model in KINDS.values():
        found |= of_model(model)
    for kind in KINDS:
        manifest = found[_NAMED[kind]]
        manifest["properties"].pop("status")
    metadata = found[_NAMED["Metadata"]]
    for name in SERVER_FIELDS:
        metadata["properties"].pop(name)
    # Where the namespace is left out, it is that of the path.
    metadata["properties"]["namespace"].pop("default", None)
    _take_original_steps(found)
    return found


def of_model(model: type[Part]) -> dict[str, Schema]:
    """Return the schema of a model and those of its parts, by name."""
    schema = model.model_json_schema(by_alias=True, ref_template=PREFIX + "{model}")
    parts = schema.pop("$defs", {})
    return {_NAMED.get(name, name): _translated(one) for name, one in {**parts, model.__name__: schema}.items()}


def reference(name: str) -> Schema:
    """Return a reference to a schema of the document."""
    return {"$ref": PREFIX + name}


def _take_original_steps(found: dict[str, Schema]) -> None:
    step = found["Step"]
    step["required"] = [name for name in step["required"] if name != "id"]
    for name, schema in _ORIGINAL_STEP.items():
        step["properties"][name] = {**_or_null(dict(schema)), "deprecated": True}
    spec = found["TaskSpec"]["properties"]
    steps = {"type": "array", "items": reference("Step"), "minItems": 1, "maxItems": 100}
    spec["pipeline"] = {
        "anyOf": [reference("PipelineSpec"), steps, {"type": "null"}],
        "description": "The pipeline to run, written in place; also its steps alone.",
    }


def _translated(schema: Schema) -> Schema:
    """Return a schema in the words of JSON Schema 2020-12 alone."""
    kept = {key: value for key, value in schema.items() if key not in _KUBERNETES_ONLY}
    if kept.get("default", ...) is None:
        del kept["default"]
    if "pattern" in kept:
        kept["pattern"] = _GROUP_NAME.sub("(?:", kept["pattern"])
    if "$ref" in kept:
        name = kept["$ref"].removeprefix(PREFIX)
        kept["$ref"] = PREFIX + _NAMED.get(name, name)
    for key in ("items", "additionalProperties"):
        if isinstance(kept.get(key), dict):
            kept[key] = _translated(kept[key])
    if "anyOf" in kept:
        kept = _unwrapped(kept)
    if "properties" in kept:
        _translate_properties(kept)
    for rule in schema.get(VALIDATIONS, []):
        _apply(rule["rule"], kept)
    return kept


def _unwrapped(kept: Schema) -> Schema:
    """Return an optional value without the alternative of null, which every optional property gets again."""
    alternatives = [_translated(one) for one in kept.pop("anyOf") if one.get("type") != "null"]
    if len(alternatives) == 1:
        return alternatives[0] | kept
    return kept | {"anyOf": alternatives}


def _translate_properties(kept: Schema) -> None:
    required = set(kept.get("required", ()))
    properties = {}
    for name, inner in kept["properties"].items():
        if _is_not_supported(inner):
            said = inner.get("description", "")
            properties[name] = {"type": "null", "description": f"{said} Not supported yet.".strip()}
            continue
        schema = _translated(inner)
        properties[name] = schema if name in required else _or_null(schema)
    kept["properties"] = properties


def _or_null(schema: Schema) -> Schema:
    """Return a schema that also takes null, which counts as left out."""
    if isinstance(type_ := schema.get("type"), str) and type_ in _SCALARS:
        schema = {**schema, "type": [type_, "null"]}
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
        return schema
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if "$ref" in schema:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return {"anyOf": [{"$ref": schema["$ref"]}, {"type": "null"}], **beside}
    return schema  # which has no type, and so takes null already


def _is_not_supported(schema: Schema) -> bool:
    within = [schema, *schema.get("anyOf", [])]
    return any(rule["rule"] == "false" for one in within for rule in one.get(VALIDATIONS, []))


def _apply(rule: str, schema: Schema) -> None:
    """Add to ``schema`` what a CEL rule demands, if JSON Schema can say it."""
    if found := _MATCHES.match(rule.partition(" && ")[0]):
        schema.setdefault("pattern", json.loads(found[1]))
    elif found := _IN.fullmatch(rule):
        schema["enum"] = json.loads(found[1])
    elif found := _NOT.fullmatch(rule):
        schema["enum"] = [one for one in schema["enum"] if one != json.loads(found[1])]
    elif found := _EXACTLY_ONE.fullmatch(rule):
        _require_one(schema, _HAS.findall(found[1]))
    elif found := _ONLY_WITH.fullmatch(rule):
        depending = [
            name for name in _HAS.findall(found[2]) if schema["properties"].get(name, {}).get("type") != "null"
        ]
        schema.setdefault("dependentRequired", {}).update({name: [found[1]] for name in depending})


def _require_one(schema: Schema, names: Iterable[str]) -> None:
    """Demand exactly one of these properties; those that are not supported yet do not count."""
    names = [name for name in names if schema["properties"][name].get("type") != "null"]
    if len(names) == 1:
        schema.setdefault("required", []).extend(names)
        schema["properties"][names[0]] = _without_null(schema["properties"][names[0]])
        return
    schema["oneOf"] = [
        {
            "required": [name],
            "properties": {name: {"not": {"type": "null"}}} | {other: False for other in names if other != name},
        }
        for name in names
    ]


def _without_null(schema: Schema) -> Schema:
    if isinstance(schema.get("type"), list):
        (type_,) = (one for one in schema["type"] if one != "null")
        return {**schema, "type": type_}
    if "anyOf" in schema:
        alternatives = [one for one in schema["anyOf"] if one.get("type") != "null"]
        beside = {key: value for key, value in schema.items() if key != "anyOf"}
        return {**alternatives[0], **beside} if len(alternatives) == 1 else {**schema, "anyOf": alternatives}
    return schema

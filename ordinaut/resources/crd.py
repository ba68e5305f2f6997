"""
Makes the CustomResourceDefinitions from the models, so that no field is declared twice.

``make crds`` runs ``python -m ordinaut.resources.crd --write crds``; a test fails when the files differ from what
`render` gives. The schemas are structural (apiextensions v1): pydantic's JSON Schema with its references put in place,
what Kubernetes does not know taken out, and the rules of `ordinaut.resources.rules` as CEL.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from ordinaut.resources.hook import HookSpec
from ordinaut.resources.manifest import GROUP, KINDS, VERSION
from ordinaut.resources.part import Part
from ordinaut.resources.pipeline import PipelineSpec
from ordinaut.resources.rules import STORED_DEFAULT, VALIDATIONS
from ordinaut.resources.status import HookStatus, PipelineStatus, TaskStatus, ToolStatus
from ordinaut.resources.task import TaskSpec
from ordinaut.resources.tool import ToolSpec

Schema = dict[str, Any]

_ANYTHING: Final = "x-kubernetes-preserve-unknown-fields"
_STATUS: Final[Mapping[str, type[Part]]] = {
    "Task": TaskStatus,
    "Pipeline": PipelineStatus,
    "Tool": ToolStatus,
    "Hook": HookStatus,
}
_SPEC: Final[Mapping[str, type[Part]]] = {
    "Task": TaskSpec,
    "Pipeline": PipelineSpec,
    "Tool": ToolSpec,
    "Hook": HookSpec,
}
_SHORT_NAMES: Final = {"Task": "otask", "Pipeline": "opipe", "Tool": "otool", "Hook": "ohook"}
_READY: Final = '.status.conditions[?(@.type=="Ready")].status'
_COLUMNS: Final = {
    "Task": (
        ("Schedule", "string", ".status.schedule"),
        ("Timezone", "string", ".status.timeZone"),
        ("Suspend", "boolean", ".spec.suspend"),
        ("Next", "string", ".status.nextScheduleTime"),  # type date prints "<invalid>" for the future
        ("Last", "string", ".status.lastScheduleTime"),
        ("Phase", "string", ".status.phase"),
    ),
    "Pipeline": (("Ready", "string", _READY),),
    "Tool": (("URL", "string", ".spec.http.url"), ("Ready", "string", _READY)),
    "Hook": (
        ("Topic", "string", ".spec.topic"),
        ("Style", "string", ".spec.signature.style"),
        ("Ready", "string", _READY),
    ),
}
_DROPPED: Final = ("title", "default", "const", "$defs", STORED_DEFAULT)
_ORDER: Final = ("description", "type", "format", "enum", "default", "required")
"""What a reader of a schema wants to see first."""


def render() -> dict[str, str]:
    """Return the text of each file under ``crds/``, by file name."""
    return {f"{_plural(kind)}.yaml": _to_yaml(definition(kind)) for kind in KINDS}


def definition(kind: str) -> Schema:
    """Return the CustomResourceDefinition of ``kind``."""
    model, plural = KINDS[kind], _plural(kind)
    columns = [{"name": name, "type": type_, "jsonPath": path} for name, type_, path in _COLUMNS[kind]]
    columns.append({"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"})
    root: Schema = {
        "type": "object",
        "description": model.__doc__,
        "required": ["metadata", "spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 63}}},
            "spec": structural(_SPEC[kind]),
            "status": structural(_STATUS[kind]),
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [_SHORT_NAMES[kind]],
                "categories": ["ordinaut"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": root},
                }
            ],
        },
    }


def structural(model: type[Part]) -> Schema:
    """Return the structural schema of ``model``."""
    schema = model.model_json_schema(by_alias=True)
    return _structural(schema, definitions=schema.get("$defs", {}))


def _structural(schema: Schema, *, definitions: Mapping[str, Schema]) -> Schema:
    """Return ``schema`` with everything in place and nothing that an API server refuses."""
    schema = _resolved(schema, definitions)
    kept = {key: value for key, value in schema.items() if key not in _DROPPED}
    if schema.get(STORED_DEFAULT):
        kept["default"] = schema["default"]
    # With `additionalProperties: true` beside what says "anything", the API server would prune what is deeper.
    values = kept.pop("additionalProperties", True)
    if "properties" in schema:
        kept["properties"] = {
            name: _structural(inner, definitions=definitions) for name, inner in schema["properties"].items()
        }
    elif isinstance(values, dict):
        kept["additionalProperties"] = _structural(values, definitions=definitions)
    elif kept.get("type", "object") == "object":
        kept[_ANYTHING] = True
    if "items" in schema:
        kept["items"] = _structural(schema["items"], definitions=definitions)
    return {key: kept[key] for key in sorted(kept, key=_rank)}


def _rank(key: str) -> tuple[int, bool, str]:
    """Return what sorts the keys of a schema: the first ones, then bounds, then what nests."""
    first = _ORDER.index(key) if key in _ORDER else len(_ORDER)
    return first, key in {"properties", "items", "additionalProperties"}, key


def _resolved(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """
    Return ``schema`` without a reference and without the alternative of null.

    The API server takes a null for a field left out by itself. What stands beside a reference adds to what it names.
    """
    while "$ref" in schema or "anyOf" in schema or "allOf" in schema:
        beside = {key: value for key, value in schema.items() if key not in {"$ref", "anyOf", "allOf"}}
        for inner in _inner(schema, definitions):
            beside = _joined(inner, beside)
        schema = beside
    return schema


def _inner(schema: Schema, definitions: Mapping[str, Schema]) -> Iterator[Schema]:
    if "$ref" in schema:
        yield definitions[schema["$ref"].rpartition("/")[2]]
    alternatives = [one for one in schema.get("anyOf", []) if one.get("type") != "null"]
    if len(alternatives) > 1:
        raise TypeError(f"a structural schema has one type for each field, not {alternatives}")
    yield from alternatives
    yield from schema.get("allOf", [])


def _joined(inner: Schema, beside: Schema) -> Schema:
    """Return ``inner`` with what stands ``beside`` it; of two descriptions the nearer one counts, rules add up."""
    joined = inner | beside
    if rules := [*inner.get(VALIDATIONS, []), *beside.get(VALIDATIONS, [])]:
        joined[VALIDATIONS] = rules
    return joined


def _plural(kind: str) -> str:
    return f"{kind.lower()}s"


class _Dumper(yaml.SafeDumper):
    """Writes no anchors: a schema that stands in two places is written out twice."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def _to_yaml(document: Schema) -> str:
    opening = "# Made by `make crds` from ordinaut/resources. Do not edit.\n"
    return opening + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def main() -> None:
    """Write the files into the folder that the command line names."""
    parser = argparse.ArgumentParser(description="Make the CustomResourceDefinitions of Ordinaut.")
    parser.add_argument("--write", type=Path, required=True, metavar="DIR", help="folder to write the files into")
    folder: Path = parser.parse_args().write
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in render().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

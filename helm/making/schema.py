"""
Makes values.schema.json: helm refuses what does not fit it, and editors explain and complete values by it.

Types and descriptions follow from values.yaml, what a default cannot tell from `rules`. Every map is closed, so that a
misspelt key is refused and not ignored; `global` takes anything, since it is shared with other charts. Draft 7, which
both majors of helm read.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from helm.making.rules import RULES, TEXTS, Schema
from helm.making.values import Key, Path

_TEXTUAL: Final = ("annotations", "Annotations", "labels", "Labels", "Attributes")
"""Endings of the names of maps that hold texts, as everywhere in Kubernetes."""

_COMPONENTS: Final = ("operator", "worker", "api")
_JOBS: Final = ("migrations", "tests")
_NOT_IN_JOBS: Final = {
    "revisionHistoryLimit",
    "updateStrategy",
    "topologySpreadConstraints",
    "probes",
    "extraContainers",
}
"""Keys of `defaults` that have no meaning for a pod that ends."""


def render(keys: Iterable[Key], renamed: Mapping[str, str]) -> str:
    """Return the text of values.schema.json; ``renamed`` are keys that templates answer with what to write instead."""
    root: Schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the Ordinaut chart",
        "description": "Made by `make chart` of values.yaml. Do not edit.",
        "type": "object",
        "additionalProperties": False,
        "properties": {},
    }
    unused, unclear = set(RULES), []
    for key in keys:
        rule = _rule(key, unused)
        properties = _parent(root, key.path)["properties"]
        properties[key.path[-1]] = {"description": _sentence(key.comment)} | _typed(key, rule)
        if not (rule or key.section or _telling(key)):
            unclear.append(key.name)
    if unclear:
        raise ValueError(f"add rules for what values.yaml leaves open: {', '.join(unclear)}")
    if unused:
        raise ValueError(f"rules for keys that values.yaml does not have: {', '.join(sorted(unused))}")
    _inherit(root)
    for name, instead in renamed.items():
        root["properties"][name] = {"description": f"No value of this chart. Write {instead}."}
    return json.dumps(root, indent=2, ensure_ascii=False) + "\n"


def _rule(key: Key, unused: set[str]) -> Schema:
    """Return the rule of a key: that of its path, else that of the longest ending."""
    names = [key.name, *(f"*.{'.'.join(key.path[start:])}" for start in range(1, len(key.path)))]
    for name in names:
        if name in RULES:
            unused.discard(name)
            return RULES[name]
    return {}


def _typed(key: Key, rule: Schema) -> Schema:
    """Return the schema of a key without its description."""
    if key.section and not rule.get("additionalProperties"):
        return {"type": "object", "additionalProperties": False, "properties": {}}
    if key.section:
        return {"type": "object", "properties": {}} | rule
    return _guessed(key.default) | rule


def _telling(key: Key) -> bool:
    """Whether the default tells what the value holds: an empty list or map does not, but for the usual maps."""
    return bool(key.default) or not isinstance(key.default, dict | list) or key.path[-1].endswith(_TEXTUAL)


def _guessed(default: Any) -> Schema:
    match default:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer"}
        case float():
            return {"type": "number"}
        case list():
            return {"type": "array", "items": _guessed(default[0]) if default else {}}
        case dict():
            return dict(TEXTS)
        case _:
            return {"type": "string"}


def _parent(root: Schema, path: Path) -> Schema:
    for part in path[:-1]:
        root = root["properties"][part]
    return root


def _inherit(root: Schema) -> None:
    """Let components have each key of `defaults` too, Jobs those that make sense, and pools all those of workers."""
    sections = root["properties"]
    inherited = sections["defaults"]["properties"]
    for name in (*_COMPONENTS, *_JOBS):
        own = sections[name]["properties"]
        for key in inherited:
            if key not in own and not (name in _JOBS and key in _NOT_IN_JOBS):
                own[key] = {"$ref": f"#/properties/defaults/properties/{key}"}
    pool = sections["workerPools"]["items"]["properties"]
    for key in sections["worker"]["properties"]:
        pool.setdefault(key, {"$ref": f"#/properties/worker/properties/{key}"})


def _sentence(comment: str) -> str:
    return comment[0].upper() + comment[1:] + ("" if comment.endswith(".") else ".")

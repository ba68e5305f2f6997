"""Which fields an API server would drop, by the schema that it serves."""

import copy
from typing import Any

import pytest

from ordinaut.resources import served
from ordinaut.resources.crd import definition
from ordinaut.resources.manifest import KINDS

ANYTHING = {"x-kubernetes-preserve-unknown-fields": True}
TEXT = {"type": "string"}


def openapi() -> dict[str, Any]:
    """What an API server with our definitions publishes, as far as it matters here."""
    schemas = {}
    for kind in KINDS:
        schema = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for name in (kind, f"{kind}List"):
            names = [{"group": "ordinaut.io", "version": "v1alpha1", "kind": name}]
            schemas[f"io.ordinaut.v1alpha1.{name}"] = copy.deepcopy(schema) | {"x-kubernetes-group-version-kind": names}
    return {"components": {"schemas": schemas | {"io.k8s.ListMeta": {"type": "object"}}}}


def fields(document: dict[str, Any], kind: str, part: str = "spec") -> dict[str, Any]:
    schema: dict[str, Any] = document["components"]["schemas"][f"io.ordinaut.v1alpha1.{kind}"]["properties"][part]
    return schema["properties"]


def test_our_own_definitions_lack_nothing() -> None:
    assert served.missing(served.published(openapi())) == {}


def test_more_than_ours_is_fine() -> None:
    document = openapi()
    fields(document, "Task")["flavour"] = TEXT

    assert served.missing(served.published(document)) == {}


def test_what_is_lacking_is_told_by_definition_wherever_it_is() -> None:
    document = openapi()
    del fields(document, "Task")["priority"]
    del fields(document, "Task")["schedules"]["items"]["properties"]["cron"]
    del fields(document, "Tool", "status")["conditions"]

    lacks = served.missing(served.published(document))

    assert lacks == {
        "tasks.ordinaut.io": ["spec.schedules[].cron", "spec.priority"],
        "tools.ordinaut.io": ["status.conditions"],
    }
    assert served.in_words(lacks) == (
        "tasks.ordinaut.io lacks spec.schedules[].cron, spec.priority; tools.ordinaut.io lacks status.conditions"
    )


def test_only_the_first_fields_are_named() -> None:
    assert served.in_words({"tasks.ordinaut.io": list("abcde")}) == "tasks.ordinaut.io lacks a, b, c and 2 more"


def test_a_definition_without_a_status_lacks_all_of_it() -> None:
    document = openapi()
    del document["components"]["schemas"]["io.ordinaut.v1alpha1.Pipeline"]["properties"]["status"]

    assert served.missing(served.published(document)) == {"pipelines.ordinaut.io": ["status"]}


def test_kinds_that_are_not_published_are_not_found() -> None:
    document = openapi()
    del document["components"]["schemas"]["io.ordinaut.v1alpha1.Tool"]

    assert set(served.published(document)) == {"Task", "Pipeline", "Hook"}
    assert served.published({}) == {}


@pytest.mark.parametrize(
    ("ours", "theirs", "lost"),
    [
        ({"properties": {"a": TEXT}}, {"type": "object", **ANYTHING}, []),
        (
            {"properties": {"a": {"properties": {"b": TEXT}}}},
            {"properties": {"a": {"type": "object"}}, **ANYTHING},
            ["x.a.b"],
        ),
        ({"type": "object", **ANYTHING}, {"type": "object"}, ["x.*"]),
        ({"type": "object", **ANYTHING}, {"type": "object", "additionalProperties": True}, []),
        ({"additionalProperties": TEXT}, {"type": "object"}, ["x.*"]),
        ({"additionalProperties": TEXT}, {"type": "object", **ANYTHING}, []),
        (
            {"additionalProperties": {"properties": {"a": TEXT}}},
            {"additionalProperties": {"type": "object"}},
            ["x.*.a"],
        ),
        ({"items": {"properties": {"a": TEXT}}}, {"items": {"type": "object"}}, ["x[].a"]),
        ({"items": TEXT}, {"type": "string"}, ["x[]"]),
    ],
)
def test_what_keeps_unknown_fields_drops_none(ours: dict[str, Any], theirs: dict[str, Any], lost: list[str]) -> None:
    assert list(served.lacking(ours, theirs, at="x")) == lost


def test_a_structure_has_what_decides_about_fields_and_nothing_else() -> None:
    field = {"type": "string", "description": "d", "default": "x", "maxLength": 3}
    schema = {
        "type": "object",
        "required": ["a"],
        "properties": {"a": field, "b": {"type": "array", "items": {"type": "object", **ANYTHING}}},
        "additionalProperties": {"type": "object", "properties": {"c": {"additionalProperties": True}}},
    }

    assert served.structure(schema) == {
        "properties": {"a": {"default": "x"}, "b": {"items": ANYTHING}},
        "additionalProperties": {"properties": {"c": {"additionalProperties": True}}},
    }

import math
from typing import Any

import pytest

from ordinaut.errors import Mistake
from ordinaut.resources.manifest import Hook, Pipeline, Task, Tool, is_ordinaut, parse
from tests.unit.resources.documents import hook, mistake, mistakes, parsed_task, pipeline, schedule, step, task, tool


def test_each_kind_becomes_its_model() -> None:
    kinds = [type(parse(document)) for document in (task(), pipeline(step()), tool(), hook())]
    assert kinds == [Task, Pipeline, Tool, Hook]


def test_what_the_api_server_sends_is_read() -> None:
    document = schedule(cron="@daily")
    document["metadata"] |= {
        "namespace": "team",
        "uid": "0b5e",
        "generation": 3,
        "resourceVersion": "17",
        "creationTimestamp": "2026-11-23T02:41:36Z",
        "managedFields": [{"manager": "kubectl"}],
        "ownerReferences": [{"kind": "Bundle"}],
        "labels": {"app": "briefing"},
        "annotations": {"note": "x" * 1000},
        "finalizers": ["a/b"],
    }
    document["status"] = {"anything": ["an", {"older": "release wrote"}]}
    metadata = parsed_task(document).metadata
    assert (metadata.namespace, metadata.uid, metadata.generation) == ("team", "0b5e", 3)


def test_the_namespace_is_default_unless_it_is_given() -> None:
    assert parse(task()).metadata.namespace == "default"


@pytest.mark.parametrize("field", ["uid", "generation", "managedFields", "deletionTimestamp"])
def test_a_caller_who_is_not_kubernetes_cannot_set_what_the_server_sets(field: str) -> None:
    document = task()
    document["metadata"][field] = {"generation": 1, "managedFields": []}.get(field, "x")
    assert [error.field for error in mistakes(document, server_fields=False)] == [f"metadata.{field}"]


def test_a_caller_who_is_not_kubernetes_cannot_set_the_status() -> None:
    assert [error.field for error in mistakes(task() | {"status": {}}, server_fields=False)] == ["status"]


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (None, "Invalid value: null: not an object; write apiVersion, kind, metadata and spec"),
        ({}, "apiVersion: Required value\nkind: Required value"),
        (
            {"apiVersion": "ordinaut.io/v1alpha1", "kind": "Taks"},
            'kind: Invalid value: "Taks": no matches for kind "Taks" in version "ordinaut.io/v1alpha1"; '
            "write ordinaut.io/v1alpha1 and one of Task, Pipeline, Tool, Hook",
        ),
        (
            {"apiVersion": "ordinaut.io/v2", "kind": "Task"},
            'apiVersion: Invalid value: "ordinaut.io/v2": no matches for kind "Task" in version "ordinaut.io/v2"; '
            "write ordinaut.io/v1alpha1 and one of Task, Pipeline, Tool, Hook",
        ),
    ],
)
def test_what_is_none_of_ours_is_refused(document: object, text: str) -> None:
    assert "\n".join(map(str, mistakes(document))) == text


@pytest.mark.parametrize(
    ("document", "ours"),
    [
        ({"apiVersion": "ordinaut.io/v1alpha1"}, True),
        ({"apiVersion": "ordinaut.io/v9"}, True),
        ({"apiVersion": "v1"}, False),
        ({"apiVersion": "ordinaut.io.evil/v1"}, False),
        ({"apiVersion": 1}, False),
        ([], False),
    ],
)
def test_ours_are_told_from_others_by_group(document: object, ours: bool) -> None:
    assert is_ordinaut(document) is ours


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"time_out": "5m"}, 'did you mean "timeout"?'),
        ({"concurency": []}, 'did you mean "concurrency"?'),
        ({"schedules": [{"timezone": "UTC", "cron": "@daily"}]}, 'did you mean "timeZone"?'),
        ({"retryStrategy": {"backoff": {"factr": 1}}}, 'did you mean "factor"?'),
        ({"pipelineRef": {"name": "a", "namespace": "b"}}, "leave it out; the fields here are name"),
    ],
)
def test_an_unknown_field_names_the_nearest_known_one(fields: dict[str, Any], remedy: str) -> None:
    error = mistake(task(**fields))
    assert (error.mistake, error.remedy) == (Mistake.UNKNOWN, remedy)
    assert str(error) == f'unknown field "{error.field}"; {remedy}'


def test_fields_are_not_found_by_the_names_that_python_code_uses() -> None:
    assert mistake(task(starting_deadline_seconds=5)).remedy == 'did you mean "startingDeadlineSeconds"?'


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"priority": True},
            'spec.priority in body must be of type integer: "boolean"; write a value of type integer instead of true',
        ),
        (
            {"priority": "5"},
            'spec.priority in body must be of type integer: "string"; write a value of type integer instead of "5"',
        ),
        (
            {"suspend": 1},
            'spec.suspend in body must be of type boolean: "integer"; write a value of type boolean instead of 1',
        ),
        ({"schedules": {}}, 'spec.schedules in body must be of type array: "object"; write a value of type array'),
        (
            {"schedules": [None]},
            'spec.schedules[0] in body must be of type object: "null"; write a value of type object',
        ),
        (
            {"timeout": 3},
            'spec.timeout in body must be of type string: "integer"; write a value of type string instead of 3',
        ),
    ],
)
def test_types_are_strict_and_refused_in_the_api_servers_words(fields: dict[str, Any], text: str) -> None:
    error = mistake(task(**fields))
    assert str(error) == f'{error.field}: Invalid value: "{error.value}": {text}'


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "not a number of JSON"),
        (math.inf, "not a number of JSON"),
        (10**400, "does not fit 64 bits"),
        ("a\0b", "holds a NUL character"),
        ("\ud800", "holds half of a surrogate pair"),
        ({1: "a"}, "a name must be a text"),
        ({"a\0": 1}, "holds a NUL character"),
        (b"bytes", "not a value of JSON (bytes)"),
    ],
)
def test_what_json_or_postgresql_cannot_hold_is_refused(value: object, message: str) -> None:
    error = mistake(task(params={"value": value}))
    assert (error.message, "value" in error.field) == (message, True)
    assert str(error).isprintable()


def test_nesting_without_end_is_refused() -> None:
    nested: Any = 1
    for _ in range(100_000):
        nested = [nested]
    assert mistake(task(params={"nested": nested})).message == "nested too deeply"


def test_hostile_names_cannot_break_out_of_a_log_line() -> None:
    error = mistake(task(**{"x\n\x1b[31mERROR": 1}))
    assert str(error).startswith('unknown field "spec.x\\n\\x1b[31mERROR"')
    assert str(error).isprintable()


def test_a_long_value_is_cut_in_the_message() -> None:
    assert len(str(mistake(schedule(timeZone="x" * 64, cron="@daily")))) < 300
    assert (
        str(mistake(schedule(cron="x" * 10_000))) == "spec.schedules[0].cron: Too long: may not be more than 255 bytes"
    )


def test_annotations_have_the_bound_that_kubernetes_has() -> None:
    document = task()
    document["metadata"]["annotations"] = {"a": "x" * 256 * 1024}
    assert mistake(document).field == "metadata.annotations"


@pytest.mark.parametrize("name", ["Morning", "a_b", "-a", "a-", "a..b", "a/b", "..", "а", "a\n"])
def test_names_are_those_of_kubernetes(name: str) -> None:
    document = task()
    document["metadata"]["name"] = name
    assert mistake(document).message.startswith("a lowercase RFC 1123 subdomain")

from typing import Any

import pytest

from ordinaut.resources.manifest import parse
from ordinaut.resources.original import from_original
from tests.unit.resources.documents import mistake, pipeline, task, tool

_OLD = [
    {
        "id": "calendar",
        "uses": "google-calendar-mcp.list_events",
        "with": {"day": "${params.day}"},
        "save_as": "events",
    },
    {"uses": "llm.plan", "timeout_seconds": 30, "max_retries": 2, "if": "steps.events"},
    {"id": "send", "uses": "telegram-mcp.send_message", "timeoutSeconds": 1.5, "maxRetries": 0},
]
_NEW = [
    {"id": "calendar", "uses": "google-calendar-mcp.list_events", "with": {"day": "${params.day}"}, "saveAs": "events"},
    {"id": "step_1", "uses": "llm.plan", "timeout": "30s", "retryStrategy": {"limit": 2}, "if": "steps.events"},
    {"id": "send", "uses": "telegram-mcp.send_message", "timeout": "1500ms", "retryStrategy": {"limit": 0}},
]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (pipeline(*_OLD), pipeline(*_NEW)),
        (task(pipeline={"steps": _OLD}), task(pipeline={"steps": _NEW})),
        (task(pipeline=_OLD), task(pipeline={"steps": _NEW})),
        (pipeline(*_NEW), pipeline(*_NEW)),
        (task(), task()),
        (tool(), tool()),
    ],
    ids=["pipeline", "inline", "bare list", "present form", "reference", "tool"],
)
def test_steps_of_the_first_releases_become_present_ones(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert from_original(old) == new
    assert parse(from_original(old)) == parse(new)


def test_the_document_itself_is_left_as_it_was() -> None:
    document = pipeline({"id": "a", "uses": "b", "save_as": "c"})
    from_original(document)
    assert document == pipeline({"id": "a", "uses": "b", "save_as": "c"})


@pytest.mark.parametrize(
    "document", [None, [], {}, {"spec": 5}, {"spec": {"steps": 5}}, {"spec": {"steps": [5]}}], ids=str
)
def test_what_is_no_manifest_passes_for_the_model_to_refuse(document: object) -> None:
    assert from_original(document) == document


def test_a_field_in_both_forms_is_refused_not_lost() -> None:
    document = pipeline({"id": "a", "uses": "b", "save_as": "c", "saveAs": "d"})
    assert mistake(from_original(document)).field == "spec.steps[0].save_as"


@pytest.mark.parametrize("timeout", ["soon", 1e308, -1e308, -5, 10**18], ids=str)
def test_a_timeout_that_is_no_number_of_seconds_is_refused(timeout: object) -> None:
    document = pipeline({"id": "a", "uses": "b", "timeout_seconds": timeout})
    assert mistake(from_original(document)).field == "spec.steps[0].timeout"

"""Fields that a later release makes work are refused, never ignored."""

from typing import Any

import pytest

from tests.unit.resources.documents import mistakes, pipeline, step, task, tool


def _waiting(**wait: Any) -> dict[str, Any]:
    return pipeline({"id": "wait", **wait})


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (pipeline(step(forEach="${params.all}")), "spec.steps[0].forEach"),
        (pipeline(step(maxParallel=3)), "spec.steps[0].maxParallel"),
        (_waiting(approval={"message": "Send it?"}), "spec.steps[0].approval"),
        (_waiting(sleep="5m"), "spec.steps[0].sleep"),
        (_waiting(waitFor={"topic": "mail.received"}), "spec.steps[0].waitFor"),
        (pipeline(step("a"), step("b", needs=[])), "spec.steps"),
        (pipeline(step("a"), step("b"), step("c", needs=["a"])), "spec.steps"),
        (pipeline(step(**{"with": {"token": "${secrets.weather.token}"}})), "spec.steps[0].with.token"),
        (tool(auth={"bearer": "${secrets.weather.token}"}), "spec.http.auth"),
        (tool() | {"spec": {"mcp": {"url": "http://mail.tools/mcp"}}}, "spec.mcp"),
    ],
)
def test_refused_as_not_supported_yet_with_a_remedy(document: dict[str, Any], field: str) -> None:
    errors = [error for error in mistakes(document) if "not supported yet" in error.message]
    assert [error.field for error in errors] == [field]
    assert errors[0].remedy


def test_a_field_set_to_null_is_a_field_left_out() -> None:
    assert [error.field for error in mistakes(task(concurrency=None, triggers=None, timeout="x"))] == ["spec.timeout"]

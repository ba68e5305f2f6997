"""The description of the API: committed, complete, and true to the models."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from ordinaut import shapes
from ordinaut.access.rights import ROLES, Role
from ordinaut_api import body
from ordinaut_api.app import create_app
from ordinaut_api.manifests import check, patched
from ordinaut_api.openapi import document, examples
from ordinaut_api.settings import ApiSettings
from tests.declaring import pipeline, task, tool

APP = create_app(ApiSettings.model_validate({"database_url": "postgresql://nobody@127.0.0.1/none"}))
DOCUMENT: dict[str, Any] = orjson.loads(document.text(APP))
COMMITTED = Path(__file__).parents[3] / "docs" / "openapi.json"
LOG = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}

Operation = dict[str, Any]


def operations() -> Iterator[tuple[str, str, Operation]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


OPERATIONS = {operation["operationId"]: operation for _, _, operation in operations()}


def schema_of(operation: str) -> Any:
    content, *_ = OPERATIONS[operation]["requestBody"]["content"].values()
    return content["schema"]


def takes(operation: str, document: object) -> bool:
    """Whether the schema of an operation's body admits a document."""
    schema = {**schema_of(operation), "components": DOCUMENT["components"]}
    return Draft202012Validator(schema).is_valid(document)


def test_the_committed_document_is_that_of_the_routes() -> None:
    assert COMMITTED.read_bytes() == document.text(APP), "run `make openapi`"


def test_the_document_is_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere() -> None:
    for pointer in set(re.findall(r'"\$ref":\s*"#/([^"]+)"', COMMITTED.read_text(encoding="utf-8"))):
        found: Any = DOCUMENT
        for part in pointer.split("/"):
            found = found[part]


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_says_what_it_is(name: str) -> None:
    operation = OPERATIONS[name]
    assert re.fullmatch(r"[a-z]+([A-Z][a-z]*)+", name)
    assert operation["summary"]
    assert operation["tags"]
    for parameter in operation["parameters"]:
        whole = parameter
        if "$ref" in parameter:
            whole = DOCUMENT["components"]["parameters"][parameter["$ref"].rpartition("/")[2]]
        assert whole["description"], whole["name"]


def test_operations_have_names_of_their_own() -> None:
    assert len(OPERATIONS) == len(list(operations()))


@pytest.mark.parametrize(("path", "method", "operation"), list(operations()), ids=lambda value: str(value)[:60])
def test_every_operation_names_its_right_and_its_refusals(path: str, method: str, operation: Operation) -> None:
    if not path.startswith("/v1/"):
        assert "security" not in operation
        return
    signed = operation["operationId"] == "deliverWebhook"
    assert operation["security"] == [{"signature": []} if signed else {"bearer": []}]
    refused = {status for status in operation["responses"] if not status.startswith("2")}
    assert {"401", "429", "503"} <= refused
    if signed:
        assert "x-ordinaut-right" not in operation
        assert not {"403", "404"} & refused
    elif "{namespace}" in path:
        assert operation["x-ordinaut-right"] in {str(right) for right in ROLES[Role.ADMIN]}
        assert {"403", "422"} <= refused
    if ("{name}" in path and not signed) or "{run_id}" in path:
        assert "404" in refused
    if "requestBody" in operation:
        assert {"400", "413", "415"} <= refused
    if method == "POST":
        assert {"$ref": "#/components/parameters/idempotencyKey"} in operation["parameters"]


@pytest.mark.parametrize("name", [name for name, one in OPERATIONS.items() if "requestBody" in one])
def test_examples_of_requests_are_what_the_schema_and_the_models_take(name: str) -> None:
    for content in OPERATIONS[name]["requestBody"]["content"].values():
        if "example" not in content:
            assert not OPERATIONS[name]["requestBody"]["required"]
            return
        schema = {**content["schema"], "components": DOCUMENT["components"]}
        jsonschema.validate(content["example"], schema, cls=Draft202012Validator)


@pytest.mark.parametrize(
    ("kind", "manifest", "patch"),
    [
        ("Task", examples.TASK_MANIFEST, examples.TASK_PATCH),
        ("Pipeline", examples.PIPELINE_MANIFEST, examples.PIPELINE_PATCH),
        ("Tool", examples.TOOL_MANIFEST, examples.TOOL_PATCH),
        ("Hook", examples.HOOK_MANIFEST, examples.HOOK_PATCH),
    ],
)
def test_examples_of_manifests_are_accepted(kind: Any, manifest: dict[str, Any], patch: dict[str, Any]) -> None:
    check(manifest, kind=kind, namespace="team-a")
    check(patched(manifest, patch), kind=kind, namespace="team-a")


def test_examples_of_other_requests_are_accepted() -> None:
    body.parse(examples.RUN_REQUEST, shapes.RunRequest)
    body.parse(examples.SNOOZE_REQUEST, shapes.SnoozeRequest)
    body.parse(examples.BACKFILL_REQUEST, shapes.BackfillRequest)
    body.parse(examples.EVENT_REQUEST, shapes.EventRequest)


ANSWERS: list[tuple[dict[str, Any], type[BaseModel]]] = [
    (examples.TASK, shapes.Task),
    (examples.PIPELINE, shapes.Pipeline),
    (examples.TOOL, shapes.Tool),
    (examples.HOOK, shapes.Hook),
    (examples.DELIVERY_ACCEPTED, shapes.DeliveryAccepted),
    (examples.RUN, shapes.Run),
    (examples.RETRY, shapes.Run),
    (examples.LISTED_RUN, shapes.Run),
    (examples.BATCH_RESULT, shapes.BatchResult),
    (examples.FIRE, shapes.Fire),
    (examples.VERIFICATION, shapes.Verification),
    (examples.PREVIEW, shapes.Preview),
    (examples.BACKFILL, shapes.Backfill),
    (examples.BACKFILL_PLAN, shapes.BackfillPlan),
    (examples.EVENT, shapes.CloudEvent),
    (examples.EVENTS_ACCEPTED, shapes.EventsAccepted),
    (examples.QUOTA, shapes.Quota),
    (examples.AUDIT_ENTRY, shapes.AuditEntry),
    (examples.WHO_AM_I, shapes.WhoAmI),
    (examples.WHY_TASK, shapes.Why),
    (examples.WHY_RUN, shapes.Why),
]


@pytest.mark.parametrize(("example", "shape"), ANSWERS)
def test_examples_of_answers_are_what_the_shapes_write(example: dict[str, Any], shape: type[BaseModel]) -> None:
    assert shape.model_validate(example).model_dump(mode="json", by_alias=True, exclude_none=True) == example


def test_every_operation_with_an_answer_shows_one() -> None:
    lacking = [
        name
        for name, operation in OPERATIONS.items()
        for status, answer in operation["responses"].items()
        if status.startswith("2") and status != "204" and "example" not in next(iter(answer["content"].values()))
    ]
    assert lacking == []


STEP_OF_OLD = {"uses": "std.log", "with": {"message": "x"}, "save_as": "said", "timeout_seconds": 5, "max_retries": 2}


@pytest.mark.parametrize(
    ("manifest", "taken"),
    [
        (task("a", LOG), True),
        (task("a", LOG, schedules=[{"cron": "0 8 * * *"}, {"at": "2099-01-01T00:00:00Z"}]), True),
        (task("a", LOG, schedules=[{"cron": "0 8 * * *", "at": "2099-01-01T00:00:00Z"}]), False),
        (task("a", LOG, schedules=[{}]), False),
        (task("a", LOG, schedules=[{"cron": "0 8 * * *", "rdates": ["2099-01-01T00:00:00Z"]}]), False),
        (task("a", LOG, schedules=[{"cron": "@reboot"}]), False),
        (task("a", LOG, schedules=[{"cron": "0 8 * * *", "timeZone": "Mars/Base"}]), False),
        (task("a", LOG, schedules=None, timeout=None), True),
        (task("a", LOG, jitter=None), True),
        (task("a", LOG, jitter="5s"), True),
        (task("a", LOG, concurrencyPolicy="Forbid"), True),
        (task("a", LOG, concurrencyPolicy="Queue"), True),
        (task("a", LOG, pipelineRef={"name": "p"}), False),
        (task("a"), False),
        (task("a", pipeline=[STEP_OF_OLD]), True),
        (task("a", {"id": "x", "uses": "std.log", "saveAs": "y"}), True),
        (task("a", {"id": "x"}), False),
        (task("a", {"id": "x", "uses": "std.log", "with": {"a": "${open"}}), False),
        (task("a", LOG, prioritty=1), False),
        (task("a", LOG, priority=10), False),
        (task("UPPER", LOG), False),
        (pipeline("a", LOG), True),
        (pipeline("a"), False),
        (tool("a", "http://127.0.0.1:1"), True),
        (tool("a", "ftp://127.0.0.1"), False),
        (tool("a", "http://127.0.0.1:1", mcp={"url": "http://127.0.0.1"}), False),
    ],
)
def test_the_schema_of_a_manifest_takes_what_the_models_take(manifest: dict[str, Any], taken: bool) -> None:
    kind = manifest["kind"]
    assert takes(f"create{kind}", manifest) == taken
    try:
        check(manifest, kind=kind, namespace="default")
    except Exception:
        assert not taken
    else:
        assert taken

"""What requests hold, by operation: schemas and media types."""

from typing import Any, Final

from ordinaut import shapes
from ordinaut.store.declared import Kind
from ordinaut_api import batches, body
from ordinaut_api.openapi import cloudevents, schemas
from ordinaut_api.openapi.examples import REQUESTS
from ordinaut_api.openapi.schemas import Schema, reference

_KINDS: Final[tuple[Kind, ...]] = ("Task", "Pipeline", "Tool", "Hook")

_NOTHING: Final[Schema] = {"type": "object", "additionalProperties": False}


def definitions() -> dict[str, Schema]:
    """Return all schemas that requests need, by name."""
    found = schemas.definitions()
    for model in (shapes.RunRequest, shapes.SnoozeRequest, shapes.BackfillRequest, shapes.EventsRequest):
        found |= schemas.of_model(model)
    for kind in _KINDS:
        found[f"{kind}Patch"] = _patch(kind)
    found[cloudevents.NAME] = cloudevents.SCHEMA
    found["TaskBatch"] = {
        "type": "object",
        "description": "Manifests of tasks, all of which are declared, or none.",
        "required": ["items"],
        "additionalProperties": False,
        "properties": {
            "items": {
                "type": "array",
                "items": reference("TaskManifest"),
                "minItems": 1,
                "maxItems": batches.MAX_ITEMS,
            }
        },
    }
    return found


def of_operation(operation: str) -> dict[str, Any] | None:
    """Return the request body of an operation, None if it takes none."""
    schema, media, required = _BODIES.get(operation, (None, body.JSON, True))
    if schema is None:
        return None
    content: dict[str, Any] = {"schema": schema}
    if operation in REQUESTS:
        content["example"] = REQUESTS[operation]
    return {"required": required, "content": {media: content, **_BESIDES.get(operation, {})}}


def _patch(kind: Kind) -> Schema:
    texts = {"type": ["object", "null"], "additionalProperties": {"type": ["string", "null"]}}
    metadata = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string"},
            "namespace": {"type": "string"},
            "labels": texts,
            "annotations": texts,
        },
    }
    return {
        "type": "object",
        "description": f"Parts of a {kind.lower()} as a merge patch: objects merge, null removes, all else replaces.",
        "additionalProperties": False,
        "properties": {
            "apiVersion": {"const": "ordinaut.io/v1alpha1"},
            "kind": {"const": kind},
            "metadata": metadata,
            "spec": {"type": "object"},
        },
    }


_BODIES: Final[dict[str, tuple[Schema, str, bool]]] = {
    **{f"create{kind}": (reference(f"{kind}Manifest"), body.JSON, True) for kind in _KINDS},
    **{f"replace{kind}": (reference(f"{kind}Manifest"), body.JSON, True) for kind in _KINDS},
    **{f"patch{kind}": (reference(f"{kind}Patch"), body.MERGE_PATCH, True) for kind in _KINDS},
    "declareTasks": (reference("TaskBatch"), body.JSON, True),
    "runTask": (reference("RunRequest"), body.JSON, False),
    "snoozeTask": (reference("SnoozeRequest"), body.JSON, True),
    "backfillTask": (reference("BackfillRequest"), body.JSON, True),
    **dict.fromkeys(
        ("pauseTask", "resumeTask", "cancelRun", "retryRun", "unparkRun", "cancelBackfill"),
        (_NOTHING, body.JSON, False),
    ),
    "deliverWebhook": ({"type": "object"}, body.JSON, True),
    "publishEvents": ({"anyOf": [reference("EventRequest"), reference("EventsRequest")]}, body.JSON, True),
}

_BESIDES: Final[dict[str, Schema]] = {"publishEvents": cloudevents.CONTENT}
"""What else an operation takes, by media type."""

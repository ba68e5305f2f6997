"""
Examining a manifest as far as it can be judged by itself.

``validate``, REST and ``apply`` call :func:`check` and refuse what it refuses. A source that can't refuse (the API
server has accepted the object already) calls :func:`examine` and stores the reason instead, for the object's status.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ordinaut.declaration.nominal import ANY_ANCHOR, parse_schedules
from ordinaut.engine.concurrency import check_keys
from ordinaut.engine.plan import compile_pipeline, first_mistakes, tool_names
from ordinaut.engine.schema import compile_schema
from ordinaut.errors import FieldError, Invalid, Mistakes
from ordinaut.resources import manifest
from ordinaut.resources.manifest import AnyResource, Hook, Pipeline, Task, Tool
from ordinaut.store.declared import Declared, Key
from ordinaut.triggers import check_triggers


def check(document: object, *, server_fields: bool = False) -> AnyResource:
    """
    Return a manifest as a model.

    ``server_fields`` allows what only the API server may set.

    Raises:
        Invalid: with every mistake that can be found without looking at other objects.
    """
    resource = manifest.parse(document, server_fields=server_fields)
    mistakes = Mistakes()
    for examination in _examinations(resource):
        with mistakes.caught():
            examination()
    mistakes.raise_any()
    return resource


def examine(document: Mapping[str, Any]) -> Declared:
    """
    Return what a source has, for the store; a spec that can't be used is kept out and its mistakes are kept.

    Raises:
        Invalid: the object can't even be named.
    """
    try:
        return declared(check(document, server_fields=True))
    except Invalid as invalid:
        key, metadata = _identity(document)
        return Declared(
            key=key,
            uid=str(metadata.get("uid", "")),
            generation=metadata.get("generation"),
            created_at=_moment(metadata.get("creationTimestamp")),
            spec={},
            invalid=first_mistakes(invalid.errors),
        )


def declared(resource: AnyResource) -> Declared:
    """Return a checked resource as the store takes it."""
    metadata = resource.metadata
    reference, tools = _references(resource)
    return Declared(
        key=Key(resource.kind, metadata.namespace, metadata.name),
        uid=metadata.uid or "",
        generation=metadata.generation,
        created_at=_moment(metadata.creation_timestamp),
        spec=resource.spec.canonical(),
        pipeline_ref=reference,
        tool_refs=tools,
        labels=metadata.labels,
        annotations=metadata.annotations,
    )


def _examinations(resource: AnyResource) -> list[Any]:
    match resource:
        case Task():
            checks: list[Any] = [
                lambda: parse_schedules(resource.spec, anchor=_created(resource), field="spec"),
                lambda: check_keys(resource.spec.concurrency, field="spec.concurrency"),
                lambda: check_triggers(resource.spec.triggers, field="spec.triggers"),
            ]
            if (pipeline := resource.spec.pipeline) is not None:
                checks.append(lambda: compile_pipeline(pipeline, field="spec.pipeline"))
            return checks
        case Pipeline():
            return [lambda: compile_pipeline(resource.spec, field="spec")]
        case Tool():
            return [
                lambda: compile_schema(resource.spec.input_schema, field="spec.inputSchema"),
                lambda: compile_schema(resource.spec.output_schema, field="spec.outputSchema"),
            ]
        case Hook():
            return []


def _references(resource: AnyResource) -> tuple[str | None, tuple[str, ...]]:
    """Return the pipeline and the tools that a resource names."""
    match resource:
        case Task(spec=spec):
            reference = spec.pipeline_ref.name if spec.pipeline_ref else None
            return reference, tool_names(spec.pipeline) if spec.pipeline else ()
        case Pipeline(spec=spec):
            return None, tool_names(spec)
        case _:
            return None, ()


def _identity(document: Mapping[str, Any]) -> tuple[Key, Mapping[str, Any]]:
    metadata = document.get("metadata")
    if (
        document.get("kind") in manifest.KINDS
        and isinstance(metadata, Mapping)
        and isinstance(metadata.get("name"), str)
    ):
        return Key(document["kind"], str(metadata.get("namespace", "default")), metadata["name"]), metadata
    raise Invalid([FieldError("metadata.name", None, "the object can't be named", "give it a kind and a name")])


def _created(resource: AnyResource) -> datetime:
    return _moment(resource.metadata.creation_timestamp) or ANY_ANCHOR


def _moment(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None

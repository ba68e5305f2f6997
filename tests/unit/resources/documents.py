"""Manifests as plain data, for the tests of the models."""

from typing import Any

import pytest

from ordinaut.errors import FieldError, Invalid
from ordinaut.resources.manifest import API_VERSION, Pipeline, Task, Tool, parse


def task(**spec: Any) -> dict[str, Any]:
    """A Task that is right if the given fields are."""
    if "pipeline" not in spec:
        spec.setdefault("pipelineRef", {"name": "briefing"})
    return {"apiVersion": API_VERSION, "kind": "Task", "metadata": {"name": "morning"}, "spec": spec}


def schedule(**fields: Any) -> dict[str, Any]:
    """A Task with one schedule."""
    return task(schedules=[fields])


def pipeline(*steps: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A Pipeline of these steps."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Pipeline",
        "metadata": {"name": "briefing"},
        "spec": {"steps": list(steps), **spec},
    }


def step(id_: str = "weather", **fields: Any) -> dict[str, Any]:
    """A step that is right if the given fields are."""
    return {"id": id_, "uses": "weather.forecast", **fields}


def tool(**http: Any) -> dict[str, Any]:
    """A Tool of HTTP."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Tool",
        "metadata": {"name": "weather.forecast"},
        "spec": {"http": {"url": "http://weather.tools/forecast", **http}},
    }


def hook(topic: str = "github.>", *, style: str = "GitHub", **key: str) -> dict[str, Any]:
    """A Hook with one key."""
    signature = {"style": style, "secretRefs": [{"name": "github-webhook", "key": "secret", **key}]}
    return {
        "apiVersion": API_VERSION,
        "kind": "Hook",
        "metadata": {"name": "github"},
        "spec": {"topic": topic, "signature": signature},
    }


def parsed_task(document: dict[str, Any]) -> Task:
    """The document as a Task."""
    resource = parse(document)
    assert isinstance(resource, Task)
    return resource


def parsed_pipeline(document: dict[str, Any]) -> Pipeline:
    """The document as a Pipeline."""
    resource = parse(document)
    assert isinstance(resource, Pipeline)
    return resource


def parsed_tool(document: dict[str, Any]) -> Tool:
    """The document as a Tool."""
    resource = parse(document)
    assert isinstance(resource, Tool)
    return resource


def mistakes(document: object, *, server_fields: bool = True) -> list[FieldError]:
    """What is wrong with the document; the test fails if nothing is."""
    with pytest.raises(Invalid) as refused:
        parse(document, server_fields=server_fields)
    return list(refused.value.errors)


def mistake(document: object) -> FieldError:
    """The only thing that is wrong with the document."""
    (only,) = mistakes(document)
    return only

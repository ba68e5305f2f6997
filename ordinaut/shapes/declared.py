"""Pipelines, tools and hooks, and what became of a batch of manifests."""

from typing import Any, Literal

from ordinaut.shapes.base import Condition, Object, Shape


class DeclaredStatus(Shape):
    """What is known of a pipeline, a tool or a hook."""

    observed_generation: int
    conditions: list[Condition]


class Pipeline(Object):
    """A pipeline and what is known of it."""

    kind: Literal["Pipeline"] = "Pipeline"
    spec: dict[str, Any]
    status: DeclaredStatus


class Tool(Object):
    """A tool and what is known of it."""

    kind: Literal["Tool"] = "Tool"
    spec: dict[str, Any]
    status: DeclaredStatus


class Hook(Object):
    """A hook and what is known of it."""

    kind: Literal["Hook"] = "Hook"
    spec: dict[str, Any]
    status: DeclaredStatus


class BatchItem(Shape):
    """What became of one manifest of a batch."""

    name: str
    uid: str
    result: Literal["created", "replaced", "unchanged"]


class BatchResult(Shape):
    """What became of the manifests of a batch, in their order."""

    items: list[BatchItem]

"""
Answers with an object or a page: JSON written by the shapes themselves, once.

Routes return these responses instead of models: FastAPI would check each answer against its own schema again, which
takes longer than everything else about reading a task.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from fastapi import Response
from pydantic import BaseModel

from ordinaut import shapes
from ordinaut.computing import compute
from ordinaut_api.preconditions import etag

FRESH: Final[Mapping[str, str]] = {"Cache-Control": "no-store"}
"""Answers are for this caller and this moment: the ETag leaves the status out, so no cache could tell a stale one."""


def content(model: BaseModel) -> bytes:
    """Return a shape as JSON, without fields that have no value."""
    return model.model_dump_json(by_alias=True, exclude_none=True).encode()


def answer(model: BaseModel, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with a shape."""
    return written(content(model), status=status, headers=headers)


def written(content: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a response with JSON that is there already."""
    return Response(content, status, {**FRESH, **(headers or {})}, media_type="application/json")


async def run(view: shapes.Run) -> Response:
    """Return a response with a run, written beside the event loop where it may be large."""
    return Response(await run_content(view), headers=dict(FRESH), media_type="application/json")


async def run_content(view: shapes.Run) -> bytes:
    """Return a run as JSON; a run may have a hundred steps with an output of a megabyte each."""
    steps = view.status.steps or []
    if view.status.output is None and all(step.output is None for step in steps):
        return content(view)
    return await compute(_by_steps, view, steps)


def _by_steps(view: shapes.Run, steps: Sequence[shapes.StepView]) -> bytes:
    # Step by step: while it writes one of them, Python does nothing else.
    bare = content(view.model_copy(update={"status": view.status.model_copy(update={"steps": None})}))
    return bare[: -len(b"}}")] + b',"steps":[' + b",".join(map(content, steps)) + b"]}}"


def tagged(model: shapes.Object) -> dict[str, str]:
    """Return the headers of an answer with a declared object: its ETag."""
    version = model.metadata.resource_version
    return {"ETag": etag(model.metadata.uid, version)} if version is not None else {}

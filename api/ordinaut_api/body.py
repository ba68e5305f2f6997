"""
Reading JSON from a request: bounded in size and depth, and nothing in it that could mean two things.

Routes that take a body call :func:`read_object`; everything it refuses ends the request with a problem. What the JSON
says is then for ``ordinaut.declaration`` to check.
"""

import asyncio
import json
from collections import Counter
from typing import Any, Final

import orjson
from starlette.requests import Request

from ordinaut.errors import Invalid
from ordinaut.resources.jsonvalue import not_json
from ordinaut_api.problems import Problem, ProblemError

MAX_BODY: Final = 256 * 1024
"""Bytes; the size that etcd and so every Kubernetes object is bound to, with room to spare."""

_CHEAP: Final = 16 * 1024
"""Bytes that are read in well under a millisecond; more is read beside the event loop."""


async def read_object(request: Request, *, required: bool = True) -> dict[str, Any]:
    """
    Return the JSON object in the body; ``required=False`` takes no body for an empty object.

    The request keeps the bytes: ``await request.body()`` returns them.
    """
    raw = request._body = await _read(request)
    if not raw and not required:
        return {}
    media = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media != "application/json" and not media.endswith("+json"):
        raise ProblemError(Problem(415, "Send JSON, with the header Content-Type: application/json."))
    return decode(raw) if len(raw) <= _CHEAP else await asyncio.to_thread(decode, raw)


async def _read(request: Request) -> bytes:
    too_large = ProblemError(Problem(413, f"The body is larger than {MAX_BODY} bytes."))
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > MAX_BODY:
        raise too_large
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MAX_BODY:
            raise too_large
    return bytes(raw)


def decode(raw: bytes) -> dict[str, Any]:
    """Return the object that ``raw`` holds, or raise a :class:`ProblemError` (400) or `Invalid`."""
    try:
        # orjson is strict (no NaN, no halves of surrogate pairs, no endless nesting); json shows names that occur
        # twice.
        orjson.loads(raw)
        value = json.loads(raw, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ProblemError(Problem(400, f"The body is not JSON: {error}.")) from None
    if mistakes := list(not_json(value)):
        raise Invalid(mistakes)
    if not isinstance(value, dict):
        raise ProblemError(Problem(400, "The body must be a JSON object."))
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the name {json.dumps(name)} occurs twice in an object")
    return found

"""
Reading JSON from a request: bounded in size, depth and number of values, and nothing in it that could mean two things.

Routes that take a body call :func:`read`; everything it refuses ends the request with a problem. What the JSON says is
then for ``ordinaut.declaration`` to check, or for :func:`parse` where it is a request of the API's own.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson
from pydantic import ValidationError
from starlette.requests import Request

from ordinaut.computing import compute
from ordinaut.errors import FieldError, Invalid, Mistake
from ordinaut.resources.jsonvalue import not_json
from ordinaut.resources.part import Part, broken_rules
from ordinaut.resources.wording import field_errors
from ordinaut_api.problems import Problem, ProblemError

MAX_BODY: Final = 256 * 1024
"""Bytes; the size that etcd and so every Kubernetes object is bound to, with room to spare."""

MAX_BATCH: Final = 2 * 1024 * 1024
"""Bytes of a batch of manifests."""

MAX_VALUES: Final = 100_000
"""Values in a body. Reading them takes some ten milliseconds, in which Python does nothing else."""

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"

MAX_COMPOSED: Final = 25_000
"""Objects and lists among them, which Python also looks through to find garbage."""

_CHEAP: Final = 4 * 1024
"""Bytes that are read in some hundred microseconds; more is read beside the event loop."""

Wanted = TypeVar("Wanted", bound=Part)


@dataclass(frozen=True, slots=True)
class Body:
    """What a request holds: the bytes, and the JSON object in them."""

    raw: bytes
    document: dict[str, Any]


async def read(request: Request, *, required: bool = True, limit: int = MAX_BODY, media: str = JSON) -> Body:
    """
    Return the JSON object in the body.

    Args:
        request: whose body it is.
        required: without, an empty body counts as an empty object.
        limit: bytes at most.
        media: the type that the body must have.
    """
    raw = await read_raw(request, limit=limit)
    if not raw and not required:
        return Body(raw, {})
    given = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if given != media:
        headers = {"Accept-Patch": MERGE_PATCH} if media == MERGE_PATCH else {}
        raise ProblemError(Problem(415, f"Send JSON, with the header Content-Type: {media}.", headers=headers))
    return Body(raw, await decoded(raw))


async def decoded(raw: bytes) -> dict[str, Any]:
    """Return the object that ``raw`` holds, as :func:`decode`, beside the event loop where that takes long."""
    return decode(raw) if len(raw) <= _CHEAP else await compute(decode, raw)


async def read_nothing(request: Request) -> bytes:
    """Return the bytes of a body that says nothing: there is none, or an empty object."""
    sent = await read(request, required=False)
    if sent.document:
        raise Invalid([FieldError(name, None, "", "leave it out", Mistake.UNKNOWN) for name in sent.document])
    return sent.raw


async def read_raw(request: Request, *, limit: int = MAX_BODY) -> bytes:
    """Return the bytes of the body, or raise a :class:`ProblemError` (413) when more than ``limit`` have come."""
    too_large = ProblemError(Problem(413, f"The body is larger than {limit} bytes."))
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > limit:
        raise too_large
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > limit:
            raise too_large
    return bytes(raw)


def decode(raw: bytes) -> dict[str, Any]:
    """Return the object that ``raw`` holds, or raise a :class:`ProblemError` (400, 413) or `Invalid`."""
    value = decode_any(raw)
    if not isinstance(value, dict):
        raise ProblemError(Problem(400, "The body must be a JSON object."))
    return value


def decode_any(raw: bytes) -> Any:
    """As :func:`decode`, for whatever is JSON."""
    # Each value but the first has one of these before it. Those inside of texts count too, which does no harm.
    composed = raw.count(b"[") + raw.count(b"{")
    if composed > MAX_COMPOSED or composed + raw.count(b",") > MAX_VALUES:
        detail = f"The body has more than {MAX_VALUES} values, or {MAX_COMPOSED} objects and lists."
        raise ProblemError(Problem(413, detail))
    try:
        # orjson is strict (no NaN, no halves of surrogate pairs, no endless nesting); json shows names that occur
        # twice.
        orjson.loads(raw)
        value = json.loads(raw, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ProblemError(Problem(400, f"The body is not JSON: {error}.")) from None
    if mistakes := list(not_json(value)):
        raise Invalid(mistakes)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the name {json.dumps(name)} occurs twice in an object")
    return found


def parse(document: Mapping[str, Any], model: type[Wanted]) -> Wanted:
    """Return a request of the API's own as its model, or raise `Invalid` with every mistake."""
    try:
        wanted = model.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        raise Invalid(list(field_errors(error, model=model))) from None
    _refuse_if_any(broken_rules(wanted))
    return wanted


def _refuse_if_any(mistakes: Iterator[FieldError]) -> None:
    if found := list(mistakes):
        raise Invalid(found)

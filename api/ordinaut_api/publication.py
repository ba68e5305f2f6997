"""
Reading events from a request to publish them: CloudEvents in each mode of its HTTP binding, and plain JSON.

What a request is, its headers say, as the specification wants it: ``application/cloudevents+json`` is one event
(structured mode), ``application/cloudevents-batch+json`` a list (batched mode), any other type with ``ce-`` headers is
the data of one (binary mode), and ``application/json`` without them is our own, shorter form. The route publishes what
:func:`read` found, in :func:`placed`, so that every mistake is told with the place where it was made.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.requests import Request

from ordinaut import shapes
from ordinaut.computing import compute
from ordinaut.errors import FieldError, Invalid, Mistake, Mistakes
from ordinaut.events.attributes import RUN
from ordinaut.events.cloudevents import HEADER, REQUIRED, header_of, of_document, of_headers
from ordinaut.events.envelope import NewEvent
from ordinaut_api import body
from ordinaut_api.problems import Problem, ProblemError

STRUCTURED: Final = "application/cloudevents+json"
BATCHED: Final = "application/cloudevents-batch+json"
MEDIA: Final = (body.JSON, STRUCTURED, BATCHED)

MAX_EVENTS: Final = 100
"""Events in a request."""

_FAMILY: Final = "application/cloudevents"


@dataclass(frozen=True, slots=True)
class Sent:
    """
    The events of a request.

    ``content`` is all of the request that they depend on, for its Idempotency-Key. ``name`` says of a mistake in one of
    the events where in the request it is.
    """

    events: list[NewEvent]
    content: bytes
    name: Callable[[FieldError], FieldError] = lambda mistake: mistake


async def read(request: Request) -> Sent:
    """Return the events of a request; what it refuses ends the request with a problem."""
    given = request.headers.get("content-type", "")
    media = given.partition(";")[0].strip().lower()
    if media.startswith(_FAMILY):
        return await _formatted(request, media)
    if any(HEADER + name in request.headers for name in REQUIRED):
        if request.headers.get("content-encoding", "identity").lower() != "identity":
            raise ProblemError(Problem(415, "Send the data without Content-Encoding: nobody would undo it."))
        raw = await body.read_raw(request)
        return await compute(_binary, request.headers.items(), given or None, raw)
    if media != body.JSON:
        raise _unsupported()
    return await compute(_plain, await body.read_raw(request))


@contextmanager
def placed(sent: Sent) -> Iterator[None]:
    """Say of each mistake in the events where in the request it is."""
    try:
        yield
    except Invalid as invalid:
        raise Invalid([sent.name(mistake) for mistake in invalid.errors]) from None


async def _formatted(request: Request, media: str) -> Sent:
    if media not in MEDIA:
        raise _unsupported()
    raw = await body.read_raw(request, limit=body.MAX_BATCH if media == BATCHED else body.MAX_BODY)
    return await compute(_batched if media == BATCHED else _structured, raw)


def _unsupported() -> ProblemError:
    headers = ", ".join(HEADER + name for name in REQUIRED)
    detail = (
        f"Send JSON, with the header Content-Type: {body.JSON}, or a CloudEvent: in structured mode, as {STRUCTURED}"
        f" or {BATCHED}, or in binary mode, with the headers {headers}."
    )
    return ProblemError(Problem(415, detail, headers={"Accept-Post": ", ".join(MEDIA)}))


def _structured(raw: bytes) -> Sent:
    return Sent([of_document(body.decode(raw))], raw)


def _batched(raw: bytes) -> Sent:
    documents = body.decode_any(raw)
    if not isinstance(documents, list):
        raise ProblemError(Problem(400, f"The body must be a JSON list: {BATCHED} is a list of events."))
    if len(documents) > MAX_EVENTS:
        said = f"{len(documents)} events, allowed are {MAX_EVENTS}"
        raise Invalid([FieldError("", [], said, "send several requests", Mistake.TOO_MANY)])
    mistakes = Mistakes()
    events = []
    for place, document in enumerate(documents):
        with mistakes.caught(under=f"[{place}]"):
            events.append(_of_list(document))
    mistakes.raise_any()
    return Sent(events, raw, _in_list("", len(events)))


def _of_list(document: Any) -> NewEvent:
    if not isinstance(document, dict):
        raise Invalid([FieldError("", document, "not a CloudEvent", "write an object")])
    return of_document(document)


def _in_list(field: str, count: int) -> Callable[[FieldError], FieldError]:
    """Return how mistakes are named in a list at ``field``; of several events, the place in it is named already."""

    def name(mistake: FieldError) -> FieldError:
        place = mistake.under("[0]") if count == 1 else mistake
        return place.under(field) if field else place

    return name


def _binary(headers: list[tuple[str, str]], contenttype: str | None, raw: bytes) -> Sent:
    attributes = [(name.lower(), value) for name, value in headers if name.lower().startswith(HEADER)]
    content = "\n".join(
        f"{name}: {value}" for name, value in sorted([*attributes, ("content-type", contenttype or "")])
    )
    sent = Sent([], content.encode() + b"\n\n" + raw, _in_header)
    with placed(sent):
        return replace(sent, events=[of_headers(attributes, contenttype=contenttype, raw=raw)])


def _in_header(mistake: FieldError) -> FieldError:
    return replace(mistake, field=header_of(mistake.field))


def _plain(raw: bytes) -> Sent:
    document = body.decode(raw)
    if "items" not in document:
        return Sent([_new(body.parse(document, shapes.EventRequest))], raw)
    requests = body.parse(document, shapes.EventsRequest).items
    return Sent([_new(one) for one in requests], raw, _in_list("items", len(requests)))


def _new(one: shapes.EventRequest) -> NewEvent:
    more = {} if one.ordinautrun is None else {RUN: one.ordinautrun}
    return NewEvent(
        type=one.type, data=one.data, subject=one.subject, source=one.source, id=one.id, time=one.time, more=more
    )

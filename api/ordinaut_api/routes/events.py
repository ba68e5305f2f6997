"""Events: telling the others what happened, and reading what did."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field

from ordinaut import shapes
from ordinaut.computing import compute
from ordinaut.declaration import publishing
from ordinaut.errors import Invalid
from ordinaut.events.envelope import place_of
from ordinaut.store import events
from ordinaut.store.pool import Connection
from ordinaut_api import body, pages
from ordinaut_api.change import Answer, perform
from ordinaut_api.identity.guard import Call, guard
from ordinaut_api.routes.parameters import ListQuery, Text

router = APIRouter(prefix="/v1/namespaces/{namespace}/events", tags=["events"])


class EventQuery(ListQuery):
    """Which events are wanted."""

    type: Text | None = Field(default=None, min_length=1, max_length=publishing.MAX_TYPE)
    """Events of this type."""


@router.get("", operation_id="listEvents", summary="List events", response_model=shapes.Page[shapes.CloudEvent])
async def list_(query: Annotated[EventQuery, Query()], call: Annotated[Call, guard("list", "events")]) -> Response:
    """Newest first, of the last days: what callers published, and what happened to tasks, runs and steps."""
    list_name = f"{call.namespace}/events"
    before = pages.decode(query.cursor, list_name=list_name, read=_event_id)
    async with call.backend.connection() as connection:

        async def read(count: int, last: dict[str, Any] | None) -> list[dict[str, Any]]:
            return await events.list_(
                connection,
                namespace=call.namespace,
                limit=count,
                before=str(last["id"]) if last else before,
                type_=query.type,
            )

        rows, more = await pages.collect(read, limit=query.limit, weight=lambda event: event.get("data"))
    part = pages.part(rows, more=more, list_name=list_name, position=lambda event: str(event["id"]))
    return await pages.answer(part, shapes.CloudEvent.model_validate)


@router.post(
    "",
    operation_id="publishEvents",
    summary="Publish one event or several",
    status_code=202,
    response_model=shapes.EventsAccepted,
)
async def publish(call: Annotated[Call, guard("create", "events")]) -> Response:
    """Accepted means on disk: the events reach every reader, also if everything is restarted now."""
    sent = await body.read(call.request)
    wanted = await compute(_wanted, sent)

    async def work(connection: Connection) -> Answer:
        with _placed(sent.document):
            ids = await publishing.publish(connection, namespace=call.namespace, events=wanted, by=call.caller)
        return Answer(202, shapes.EventsAccepted(ids=ids))

    return await perform(call, work, object_="events", body=sent.raw)


def _wanted(sent: body.Body) -> list[publishing.NewEvent]:
    if "items" in sent.document:
        requests = body.parse(sent.document, shapes.EventsRequest).items
    else:
        requests = [body.parse(sent.document, shapes.EventRequest)]
    return [
        publishing.NewEvent(type=one.type, data=one.data, subject=one.subject, source=one.source) for one in requests
    ]


@contextmanager
def _placed(document: Mapping[str, Any]) -> Iterator[None]:
    """Say of each mistake where in the body it is."""
    items = document.get("items", [])
    try:
        yield
    except Invalid as invalid:
        if not items:
            raise
        prefix = "items[0]" if len(items) == 1 else "items"
        raise Invalid([mistake.under(prefix) for mistake in invalid.errors]) from None


def _event_id(text: str) -> str:
    place_of(text)  # raises ValueError for anything else
    return text

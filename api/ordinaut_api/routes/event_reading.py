"""Events: reading what happened, as a list and as it happens."""

from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from ordinaut import shapes
from ordinaut.events.envelope import compact_type, place_of
from ordinaut.resources.eventtype import MAX_TYPE
from ordinaut.resources.rules import Check
from ordinaut.resources.scalars import Topic
from ordinaut.store import event_lists, following
from ordinaut.store.event_lists import Wanted
from ordinaut.store.log import LogPlace
from ordinaut.store.pool import Connection
from ordinaut_api import pages
from ordinaut_api.identity.guard import Call, guard
from ordinaut_api.routes.parameters import Instant, ListQuery, Name, RunId, Text
from ordinaut_api.routes.parameters import Query as Parameters
from ordinaut_api.routes.resuming import last_place
from ordinaut_api.streams import EventStream, slot
from ordinaut_api.tailing import reader
from ordinaut_api.tailing.reader import Start
from ordinaut_api.tailing.wish import Wish

MAX_TOPICS: Final = 16
MAX_SUBJECT: Final = 256

router = APIRouter(prefix="/v1/namespaces/{namespace}/events", tags=["events"])

_CHECKS: Final = [one for one in getattr(Topic, "__metadata__") if isinstance(one, Check)]  # noqa: B009 - typing's


def _topic(value: str) -> str:
    """Check a topic as that of a trigger, but for the prefix of Ordinaut's own types, which may stay."""
    topic = compact_type(value)
    for check in _CHECKS:
        for mistake in check.failures(topic, field="topic"):
            raise PydanticCustomError("topic", "{message}", {"message": mistake.message, "remedy": mistake.remedy})
    return topic


def _type(value: str) -> str:
    if event_lists.is_wild(value):
        raise PydanticCustomError("type", "a pattern, and no type", {"remedy": "give it as topic"})
    return value


def _place(value: str) -> str:
    try:
        reader.place(value)
    except ValueError:
        remedy = "write the id of a message as it was received, or 0 for all that is kept"
        raise PydanticCustomError("place", "not the id of a message", {"remedy": remedy}) from None
    return value


TopicPattern = Annotated[str, AfterValidator(_topic), Field(max_length=MAX_TYPE)]


class Choice(Parameters):
    """Which events are wanted."""

    type: Annotated[Text, Field(min_length=1, max_length=MAX_TYPE), AfterValidator(_type)] | None = None
    """Events of this type."""
    topic: list[TopicPattern] = Field(default_factory=list, max_length=MAX_TOPICS)
    """Events of types that this pattern covers: `mail.*` one more word, `mail.>` the rest. One that fits is enough."""
    subject: Text | None = Field(default=None, min_length=1, max_length=MAX_SUBJECT)
    """Events about this, or about what is below it: `tasks/briefing` stands for the task's runs, too."""
    task: Name | None = None
    """Events of the task of this name, its runs and their steps."""
    run: RunId | None = None
    """Events of this run and its steps."""

    @property
    def topics(self) -> frozenset[str]:
        """All types and patterns of such that are wanted, as the store keeps them."""
        return frozenset([*self.topic, *([compact_type(self.type)] if self.type else [])])


class EventQuery(Choice, ListQuery):
    """Which events are wanted, and which part of their list."""

    created_after: Instant | None = None
    """Events of this time or later."""
    created_before: Instant | None = None
    """Events from before this time."""


class StreamQuery(Choice):
    """Which events are wanted, and from where on."""

    after: Annotated[str, AfterValidator(_place), Field(max_length=64)] | None = None
    """The id of a message: begins with what came after it. 0: with the oldest there is. `Last-Event-ID` counts more."""
    since: Instant | None = None
    """Begins with what was written from about this time on."""


@router.get("", operation_id="listEvents", summary="List events", response_model=shapes.Page[shapes.CloudEvent])
async def list_(query: Annotated[EventQuery, Query()], call: Annotated[Call, guard("list", "events")]) -> Response:
    """
    Newest first, of the last days: what callers published, and what happened to tasks, runs and steps.

    A page may hold fewer events than `limit`, or none, though more follow: `nextCursor` tells.
    """
    list_name = f"{call.namespace}/events"
    before = pages.decode(query.cursor, list_name=list_name, read=_listed_place)
    wanted = Wanted(
        namespace=call.namespace,
        topics=query.topics,
        subject=query.subject,
        task=query.task,
        run=str(query.run) if query.run else None,
        created_after=query.created_after,
        created_before=query.created_before,
    )
    async with call.backend.connection() as connection:
        found = await event_lists.list_(connection, wanted, limit=query.limit, before=before)
    cursor = pages.encode(list_name, found.before) if found.before is not None else None
    part = pages.Part(items=[one.event for one in found.events], next_cursor=cursor)
    return await pages.answer(part, shapes.CloudEvent.model_validate)


_GUARD: Final = guard("list", "events")


async def _slot(call: Annotated[Call, _GUARD]) -> AsyncIterator[None]:
    with slot(call):
        yield


@router.get(
    "/stream",
    operation_id="followEvents",
    summary="Follow events live",
    response_class=EventStream,
    dependencies=[Depends(_slot)],
)
async def follow(query: Annotated[StreamQuery, Query()], call: Annotated[Call, _GUARD]) -> EventStream:
    """
    Server-Sent Events: a message for each event, named by its type; its data is the CloudEvent, its id a place.

    With `Last-Event-ID` nothing is missed and nothing told twice. `gap` tells that events behind that id are not kept
    any more. `end` comes last, with a reason: `reconnect` when the caller should come back, or `forbidden`.
    """
    wish = Wish(
        namespace=call.namespace,
        topics=query.topics,
        subject=query.subject,
        task=query.task,
        run=str(query.run) if query.run else None,
    )
    last = last_place(call) or (reader.place(query.after) if query.after else None)
    async with call.backend.connection() as connection:
        begin = await _begin(connection, query, last)
    return EventStream(reader.Stream(call, wish, begin).messages())


async def _begin(connection: Connection, query: StreamQuery, last: LogPlace | None) -> Start:
    bounds = await following.bounds(connection)
    if last is None and query.since is not None:
        first = await following.since(connection, query.since)
        last = None if first is None else reader.before(first)
    return reader.start(bounds, last)


def _listed_place(text: str) -> str:
    place_of(text)  # raises ValueError for anything else
    return text

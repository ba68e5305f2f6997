"""Events: as callers publish them, and as they are read."""

from typing import Any

from pydantic import ConfigDict, Field

from ordinaut.resources.eventtype import MAX_ID, MAX_TEXT, MAX_TYPE
from ordinaut.resources.part import Part
from ordinaut.shapes.base import Shape


class EventRequest(Part):
    """An event to publish. What else CloudEvents has can be said by sending a CloudEvent."""

    type: str = Field(min_length=1, max_length=MAX_TYPE)
    """What happened, in words with dots between, such as mail.received."""
    data: Any = None
    """More about it, as JSON of at most 64 KiB."""
    subject: str | None = Field(default=None, min_length=1, max_length=MAX_TEXT)
    """What it happened to."""
    source: str | None = Field(default=None, min_length=1, max_length=MAX_TEXT)
    """Where it happened, as a URI or a path; by default the caller."""
    id: str | None = Field(default=None, min_length=1, max_length=MAX_ID)
    """Tells it from all others of its source: one that is sent again with it triggers no task again."""
    time: str | None = Field(default=None, min_length=1, max_length=64, json_schema_extra={"format": "date-time"})
    """When it happened, as RFC 3339 writes it; by default now."""
    ordinautrun: str | None = Field(default=None, min_length=1, max_length=64, json_schema_extra={"format": "uuid"})
    """The run that caused it, of the same namespace: what stands before the / of the Idempotency-Key of its calls."""


class EventsRequest(Part):
    """Several events to publish: all of them or none."""

    items: list[EventRequest] = Field(min_length=1, max_length=100)


class EventsAccepted(Shape):
    """Events that were accepted; they are on disk and will be delivered."""

    ids: list[str]
    """The ids that Ordinaut gives them, in their order; those of the CloudEvents too, unless they came with one."""


class DeliveryAccepted(Shape):
    """The event that a delivery of a webhook became; it is on disk and will be read."""

    id: str
    type: str
    repeated: bool
    """Whether the delivery had been accepted before, so that this one made no event."""


class CloudEvent(Shape):
    """An event as CloudEvents 1.0 (JSON format) has it; a published one may have extension attributes besides."""

    model_config = ConfigDict(extra="allow")

    specversion: str
    id: str
    source: str
    type: str
    time: str
    subject: str | None = None
    namespace: str | None = None
    """Of a published event: where it was published, whatever its source says."""
    publisher: str | None = None
    """Of a published event: the name of whoever published it, whatever its source says."""
    datacontenttype: str | None = None
    dataschema: str | None = None
    data: Any = None
    """JSON, or a text where the content type says so."""
    data_base64: str | None = Field(default=None, alias="data_base64")
    """The data of an event where they are neither."""

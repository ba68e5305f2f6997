"""From where a stream goes on: what the header ``Last-Event-ID`` says, which browsers send by themselves."""

from typing import Final

from ordinaut.errors import FieldError, Invalid
from ordinaut.store.log import LogPlace
from ordinaut_api.identity.guard import Call
from ordinaut_api.tailing import reader

LAST_EVENT_ID: Final = "Last-Event-ID"


def last_event_id(call: Call) -> str | None:
    """Return the id of the last message that a caller has; None if that is not said."""
    return call.request.headers.get(LAST_EVENT_ID) or None


def last_place(call: Call) -> LogPlace | None:
    """Return the place in the log that this id names, or raise `Invalid`."""
    value = last_event_id(call)
    try:
        return None if value is None else reader.place(value)
    except ValueError:
        remedy = "leave it out, or send the id of the last message as it was received"
        raise Invalid([FieldError(LAST_EVENT_ID, value, "not the id of a message", remedy)]) from None

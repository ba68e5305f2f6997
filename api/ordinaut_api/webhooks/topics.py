"""
The type of the event that a delivery becomes. Pure.

A topic is the type itself, or ends with ``.>``: then what the sender calls it stands there, so that a trigger with the
very topic of the hook gets all that is delivered to it.
"""

from typing import Final

from ordinaut.resources.eventtype import MAX_TYPE, is_type
from ordinaut.resources.hook import REST

OTHER: Final = "other"
"""Stands for a sender's name that can be no part of a type, or is missing."""


def event_type(topic: str, *, kind: str | None) -> str:
    """Return the type of an event whose sender calls it ``kind``."""
    if not topic.endswith(REST):
        return topic
    base = topic.removesuffix(REST)
    type_ = f"{base}.{kind}"
    return type_ if kind is not None and is_type(kind) and len(type_) <= MAX_TYPE else f"{base}.{OTHER}"

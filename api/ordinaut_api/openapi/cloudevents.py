"""What a request to publish CloudEvents holds: the JSON format of the specification, as far as it is taken here."""

from typing import Any, Final

from ordinaut.events.attributes import MAX_CONTENT_TYPE, MAX_EXTENSIONS
from ordinaut.events.cloudevents import REQUIRED, VERSION
from ordinaut.resources.eventtype import MAX_ID, MAX_TEXT, MAX_TYPE, TYPE_PATTERN
from ordinaut_api.openapi.schemas import Schema, reference
from ordinaut_api.publication import BATCHED, MAX_EVENTS, STRUCTURED

NAME: Final = "NewCloudEvent"

_ATTRIBUTES: Final[Schema] = {
    "specversion": {"const": VERSION},
    "id": {"type": "string", "minLength": 1, "maxLength": MAX_ID},
    "source": {"type": "string", "minLength": 1, "maxLength": MAX_TEXT, "format": "uri-reference"},
    "type": {"type": "string", "pattern": TYPE_PATTERN, "maxLength": MAX_TYPE},
    "subject": {"type": ["string", "null"], "minLength": 1, "maxLength": MAX_TEXT},
    "time": {"type": ["string", "null"], "format": "date-time"},
    "datacontenttype": {"type": ["string", "null"], "minLength": 1, "maxLength": MAX_CONTENT_TYPE},
    "dataschema": {"type": ["string", "null"], "minLength": 1, "maxLength": MAX_TEXT, "format": "uri"},
    "data": {"description": "JSON; a text where the content type is none of JSON. At most 64 KiB."},
    "data_base64": {"type": ["string", "null"], "contentEncoding": "base64"},
}

SCHEMA: Final[Schema] = {
    "type": "object",
    "description": "An event as CloudEvents 1.0 (JSON format) has it. What else it holds are extension attributes.",
    "required": list(REQUIRED),
    "properties": _ATTRIBUTES,
    "additionalProperties": {"type": ["string", "boolean", "integer", "null"], "maxLength": MAX_TEXT},
    "propertyNames": {"pattern": "^([a-z0-9]{1,20}|data_base64)$"},
    "maxProperties": len(_ATTRIBUTES) + MAX_EXTENSIONS,
}

EXAMPLE: Final[dict[str, Any]] = {
    "specversion": VERSION,
    "id": "7f1c",
    "source": "https://mail.example/inbox",
    "type": "mail.received",
    "data": {"from": "ann"},
}

CONTENT: Final[Schema] = {
    STRUCTURED: {"schema": reference(NAME), "example": EXAMPLE},
    BATCHED: {"schema": {"type": "array", "items": reference(NAME), "maxItems": MAX_EVENTS}, "example": [EXAMPLE]},
}
"""Bodies of ``publishEvents`` besides plain JSON, by media type."""

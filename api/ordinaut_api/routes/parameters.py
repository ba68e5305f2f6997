"""
Parameters that several routes take from the path and the query.

Names are checked by the rule of the resources, so that nothing reaches a statement or a log that could not be a name.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import Path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from ordinaut.errors import FieldError, Invalid
from ordinaut.resources.scalars import MAX_NAME, NAME_MESSAGE, NAME_PATTERN, is_name
from ordinaut_api.pages import DEFAULT_LIMIT, MAX_LIMIT

_REMEDY: Final = "write it like morning-briefing"


def _name(value: str) -> str:
    if is_name(value):
        return value
    raise PydanticCustomError("name", "not a name: {message}, at most 63", {"message": NAME_MESSAGE, "remedy": _REMEDY})


def _text(value: str) -> str:
    if value.isprintable():
        return value
    remedy = "leave out line breaks, NUL and the like"
    raise PydanticCustomError("text", "has characters that can't be printed", {"remedy": remedy})


def _run_id(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        remedy = "write it as the list of runs shows it"
        raise PydanticCustomError("run_id", "not the id of a run", {"remedy": remedy}) from None


def _backfill_id(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        remedy = "write it as the list of backfills shows it"
        raise PydanticCustomError("backfill_id", "not the id of a backfill", {"remedy": remedy}) from None


_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_NOT_AN_INSTANT: Final = "not a date and time with its offset from UTC"
_INSTANT_REMEDY: Final = "write it as RFC 3339 has it, such as 2026-03-01T09:00:00Z"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _read_instant(text: object) -> datetime:
    """Return the instant that ``text`` names, in UTC; ``ValueError`` if it is none that can be worked with."""
    if not isinstance(text, str) or not _INSTANT.fullmatch(text):
        raise ValueError(_NOT_AN_INSTANT)
    try:
        found = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError(_NOT_AN_INSTANT) from None
    if found < _EPOCH:
        raise ValueError(_NOT_AN_INSTANT)
    return found


def instant(text: str, *, field: str) -> datetime:
    """Return the instant that ``text`` names, or raise `Invalid`."""
    try:
        return _read_instant(text)
    except ValueError:
        raise Invalid([FieldError(field, text, _NOT_AN_INSTANT, _INSTANT_REMEDY)]) from None


def _instant(value: object) -> datetime:
    try:
        return _read_instant(value)
    except ValueError:
        context = {"remedy": _INSTANT_REMEDY}
        raise PydanticCustomError("instant", _NOT_AN_INSTANT, context) from None


Text = Annotated[str, AfterValidator(_text)]
"""What is compared with texts in the database, which knows no NUL."""

Name = Annotated[str, AfterValidator(_name), Field(json_schema_extra={"pattern": NAME_PATTERN, "maxLength": MAX_NAME})]
Instant = Annotated[datetime, BeforeValidator(_instant)]

NameInPath = Annotated[Name, Path(description="The object's name.")]
RunId = Annotated[UUID, BeforeValidator(_run_id)]
RunInPath = Annotated[RunId, Path(description="The run's id.")]
BackfillInPath = Annotated[UUID, BeforeValidator(_backfill_id), Path(description="The backfill's id.")]


class Query(BaseModel):
    """The base of what a query may say; what it does not know is refused, so that no typo is silently ignored."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, use_attribute_docstrings=True)


class ListQuery(Query):
    """Which part of a list is wanted."""

    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)
    """Items in a page."""
    cursor: str | None = Field(default=None, max_length=512)
    """``nextCursor`` of the page before."""

"""
What publishers may say of an event, and what each of its attributes may be. Pure.

:mod:`~ordinaut.events.cloudevents` makes a :class:`NewEvent` of what somebody sends, and ``declaration.publishing``
accepts those without :func:`mistakes`. Mistakes name the attributes as CloudEvents does.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from datetime import datetime
from posixpath import normpath
from typing import Any, Final
from urllib.parse import unquote

import orjson

from ordinaut.errors import FieldError, Mistake
from ordinaut.events.envelope import SOURCE_PREFIX, NewEvent
from ordinaut.resources.eventtype import (
    MAX_ID,
    MAX_TEXT,
    MAX_TYPE,
    RESERVED_MESSAGE,
    RESERVED_REMEDY,
    TYPE_MESSAGE,
    is_reserved,
    is_type,
)
from ordinaut.resources.jsonvalue import not_json

MAX_CONTENT_TYPE: Final = 256
MAX_DATA: Final = 64 * 1024
"""Bytes of an event's data: it tells that something happened, and where the rest of it is."""
MAX_EXTENSIONS: Final = 32

RUN: Final = "ordinautrun"
"""The extension attribute that names the run of the same namespace that caused an event."""

CORE: Final = ("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema")
"""The attributes of the specification."""
SERVER: Final = ("namespace", "publisher")
"""What only Ordinaut says of a published event, so that readers can rely on it."""

_CHARACTERS: Final = re.compile("[^\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]+")
"""What CloudEvents allows in a text."""
_ASCII: Final = "in printable ASCII without spaces"
_URI: Final = re.compile("[!-~]+")
_ABSOLUTE_URI: Final = re.compile("[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = rf'[ \t]*;[ \t]*{_WORD}=({_WORD}|"([ !#-\[\]-~]|\\[ -~])*")'
_MEDIA_TYPE: Final = re.compile(f"{_WORD}/{_WORD}({_PARAMETER})*")
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_EXTENSION: Final = re.compile("[a-z0-9]{1,20}")
_RUN_ID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MAX_INTEGER: Final = 2**31


def mistakes(event: NewEvent) -> Iterator[FieldError]:
    """Yield everything for which an event can't be accepted."""
    yield from _type_mistakes(event.type)
    yield from _text_mistakes("id", event.id, most=MAX_ID)
    yield from _text_mistakes("subject", event.subject, most=MAX_TEXT)
    yield from _source_mistakes(event.source)
    if event.time is not None and not _is_time(event.time):
        remedy = "write it as RFC 3339 does, such as 2026-03-01T09:00:00Z"
        yield FieldError("time", event.time, "not a date and time with Z or an offset", remedy)
    yield from _shaped("datacontenttype", event.contenttype, _MEDIA_TYPE, "a media type", "application/json")
    yield from _shaped(
        "dataschema", event.schema, _ABSOLUTE_URI, f"an absolute URI, {_ASCII}", "https://schemas.example/mail.json"
    )
    yield from _extension_mistakes(event.more)
    yield from _data_mistakes(event)


def _type_mistakes(type_: str) -> Iterator[FieldError]:
    if len(type_) > MAX_TYPE:
        yield _too_long("type", MAX_TYPE)
    elif not is_type(type_):
        yield FieldError("type", type_, TYPE_MESSAGE, "write one such as mail.received")
    elif is_reserved(type_):
        yield FieldError("type", type_, RESERVED_MESSAGE, RESERVED_REMEDY)


def _text_mistakes(name: str, text: str | None, *, most: int) -> Iterator[FieldError]:
    if text is None:
        return
    if len(text) > most:
        yield _too_long(name, most)
    elif not text:
        yield FieldError(name, text, "empty", "leave it out, or say something")
    elif not _CHARACTERS.fullmatch(text):
        shown = text.encode(errors="replace").decode()
        yield FieldError(name, shown, "holds control characters, or what is no character", "take them out")


def _source_mistakes(source: str | None) -> Iterator[FieldError]:
    yield from _shaped(
        "source", source, _URI, f"a URI or a path, {_ASCII}", "https://mail.example/inbox or /agents/ada"
    )
    if source is not None and _is_own(source):
        remedy = "leave it out where you may: it names you then; or write a URI of your own"
        yield FieldError("source", source, f"{SOURCE_PREFIX} is Ordinaut's own", remedy)


def _is_own(source: str) -> bool:
    """Whether a source is below Ordinaut's, however it is spelled."""
    return f"{normpath(unquote(source[:MAX_TEXT]))}/".lower().startswith(SOURCE_PREFIX)


def _shaped(name: str, text: str | None, shape: re.Pattern[str], what: str, example: str) -> Iterator[FieldError]:
    most = MAX_CONTENT_TYPE if shape is _MEDIA_TYPE else MAX_TEXT
    if text is None:
        return
    if len(text) > most:
        yield _too_long(name, most)
    elif not shape.fullmatch(text):
        yield FieldError(name, text, f"not {what}", f"write one such as {example}")


def _is_time(text: str) -> bool:
    if not _TIME.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False  # the shape is right, and there is no such day or hour
    return True


def _extension_mistakes(more: Mapping[str, Any]) -> Iterator[FieldError]:
    if len(more) > MAX_EXTENSIONS:
        said = f"{len(more)} extension attributes, allowed are {MAX_EXTENSIONS}"
        yield FieldError("", [], said, "put the rest into data", Mistake.TOO_MANY)
        return
    for name, value in more.items():
        yield from _name_mistakes(name)
        yield from _value_mistakes(name, value)


def _name_mistakes(name: str) -> Iterator[FieldError]:
    if name in SERVER:
        yield FieldError(name, None, "", "leave it out: only Ordinaut says it", Mistake.UNKNOWN)
    elif name in CORE or name == "data":
        yield FieldError(name, None, "", "no extension attribute has this name", Mistake.UNKNOWN)
    elif not _EXTENSION.fullmatch(name):
        remedy = "names of extension attributes are 1 to 20 lower-case letters and digits; what else there is goes into"
        yield FieldError(name[:MAX_ID], None, "", f"{remedy} data", Mistake.UNKNOWN)
    elif name.startswith("ordinaut") and name != RUN:
        yield FieldError(name, None, "", f"of these there is only {RUN}; choose another name", Mistake.UNKNOWN)


def _value_mistakes(name: str, value: object) -> Iterator[FieldError]:
    if name == RUN and not (isinstance(value, str) and _RUN_ID.fullmatch(value)):
        yield FieldError(name, value, "not the id of a run", "pass on what stands before the / of the Idempotency-Key")
    elif isinstance(value, str):
        if value:
            yield from _text_mistakes(name, value, most=MAX_TEXT)
    elif isinstance(value, bool):
        return
    elif not isinstance(value, int) or not -_MAX_INTEGER <= value < _MAX_INTEGER:
        remedy = "write it as a text, or into data"
        yield FieldError(name, value, "not a text, true, false, or an integer of 32 bits", remedy)


def _data_mistakes(event: NewEvent) -> Iterator[FieldError]:
    if event.base64 is not None:
        if event.data is not None:
            yield FieldError("data_base64", [], "beside data", "leave one of them out")
        elif (raw := from_base64(event.base64)) is None:
            yield not_base64()
        elif len(raw) > MAX_DATA:
            yield too_large("data_base64", len(raw))
    elif wrong := list(not_json(event.data, field="data")):
        yield from wrong
    elif (size := len(orjson.dumps(event.data))) > MAX_DATA:
        yield too_large("data", size)


def from_base64(text: str) -> bytes | None:
    """Return the bytes that a text stands for; None if it stands for none."""
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def not_base64() -> FieldError:
    """Return the mistake of a text that is not Base64."""
    return FieldError("data_base64", [], "not Base64 (RFC 4648, section 4)", "encode the bytes of the data so")


def too_large(name: str, size: int) -> FieldError:
    """Return the mistake of data that are more than an event may hold."""
    remedy = "put it where the readers can fetch it and tell them the place"
    return FieldError(name, [], f"{size} bytes, allowed are {MAX_DATA}", remedy, Mistake.TOO_LONG)


def _too_long(name: str, most: int) -> FieldError:
    return FieldError(name, [], f"may not be longer than {most}", "shorten it", Mistake.TOO_LONG)

"""
Reading CloudEvents 1.0.2: the JSON format, and the binary content mode of HTTP. Pure.

The API reads what callers send with it, the operator what stands in the inbox. What comes out is a
:class:`~ordinaut.events.attributes.NewEvent` of the right form; whether it may be accepted is for
:func:`ordinaut.events.attributes.mistakes`.
"""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import orjson

from ordinaut.errors import FieldError, Invalid, Mistake
from ordinaut.events.attributes import CORE, MAX_DATA, from_base64, not_base64, too_large
from ordinaut.events.envelope import NewEvent

VERSION: Final = "1.0"
REQUIRED: Final = ("specversion", "id", "source", "type")
"""The attributes that every CloudEvent has."""
HEADER: Final = "ce-"
"""What the names of headers with attributes begin with."""

_DATA: Final = ("data", "data_base64")
_NO_HEADERS: Final = {
    "datacontenttype": "leave it out: the header content-type says it",
    "data": "send it as the body",
    "data_base64": "send the bytes as the body",
}
_JSON: Final = re.compile(r"[^/]+/([^/]+\+)?json")
_TEXT: Final = re.compile(r"text/.+|[^/]+/([^/]+\+)?xml")
_CHARSET: Final = re.compile(r';[ \t]*charset="?([^";\s]+)', re.IGNORECASE)
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_UTF8: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})


def of_document(document: Mapping[str, Any]) -> NewEvent:
    """
    Return the event that a JSON object is in the JSON format of CloudEvents.

    Raises:
        Invalid: it is none; with every mistake.
    """
    given = {name: value for name, value in document.items() if value is not None}
    wrong = [*_form_mistakes(given)]
    if wrong:
        raise Invalid(wrong)
    return _event(given, *_content(given))


def of_headers(headers: Iterable[tuple[str, str]], *, contenttype: str | None, raw: bytes) -> NewEvent:
    """
    Return the event that an HTTP message is in binary content mode; of the headers, only those with attributes count.

    Raises:
        Invalid: it is none; with every mistake, of which :func:`header_of` names the headers.
    """
    given, wrong = _attributes(headers)
    for name, remedy in _NO_HEADERS.items():
        if name in given:
            wrong.append(FieldError(HEADER + name, None, "", remedy, Mistake.UNKNOWN))
    unread = {mistake.field for mistake in wrong}
    wrong += [mistake for mistake in _form_mistakes(given) if mistake.field not in unread]
    if wrong:
        raise Invalid(wrong)
    if contenttype is not None:
        given["datacontenttype"] = contenttype
    return _event(given, *(_of_bytes("data", raw, contenttype) if raw else (None, None)))


def header_of(field: str) -> str:
    """Return the header that holds what a mistake of the binary content mode names."""
    if field == "datacontenttype":
        return "content-type"
    return field if field == "" or field.startswith(("data.", "data[", HEADER)) or field in _DATA else HEADER + field


def is_json(contenttype: str | None) -> bool:
    """Whether data of a media type are JSON; without one they are."""
    return contenttype is None or _JSON.fullmatch(_media(contenttype)) is not None


def _event(given: Mapping[str, Any], data: Any, base64: str | None) -> NewEvent:
    return NewEvent(
        type=given["type"],
        data=data,
        subject=given.get("subject"),
        source=given["source"],
        id=given["id"],
        time=given.get("time"),
        contenttype=given.get("datacontenttype"),
        schema=given.get("dataschema"),
        base64=base64,
        more={name: value for name, value in given.items() if name not in CORE and name not in _DATA},
    )


def _form_mistakes(given: Mapping[str, Any]) -> Iterator[FieldError]:
    for name in REQUIRED:
        if name not in given:
            yield FieldError(name, None, "", f"every CloudEvent has {', '.join(REQUIRED)}", Mistake.REQUIRED)
    for name in CORE:
        if not isinstance(given.get(name, ""), str):
            yield FieldError(name, given[name], "not a text", "put it into quotes")
    version = given.get("specversion", VERSION)
    if isinstance(version, str) and version != VERSION:
        yield FieldError("specversion", version, "not a version that is known here", f"send CloudEvents {VERSION}")


def _content(given: Mapping[str, Any]) -> tuple[Any, str | None]:
    """Return the data of an event in JSON format, as JSON or as Base64."""
    contenttype, data, base64 = given.get("datacontenttype"), given.get("data"), given.get("data_base64")
    if base64 is None:
        if not is_json(contenttype) and not isinstance(data, str | None):
            said = f"{_media(contenttype or '')} is no JSON, and this no text"
            raise Invalid([FieldError("data", data, said, "put it into quotes, or send bytes as data_base64")])
        return data, None
    if data is not None:
        raise Invalid([FieldError("data_base64", [], "beside data", "leave one of them out")])
    raw = from_base64(base64) if isinstance(base64, str) else None
    if raw is None:
        raise Invalid([not_base64()])
    return (None, base64) if contenttype is None else _of_bytes("data_base64", raw, contenttype)


def _of_bytes(field: str, raw: bytes, contenttype: str | None) -> tuple[Any, str | None]:
    """Return bytes as what their type says that they are: JSON, a text, or else Base64."""
    if len(raw) > MAX_DATA:
        raise Invalid([too_large(field, len(raw))])
    if contenttype is not None and is_json(contenttype):
        try:
            return orjson.loads(raw), None
        except orjson.JSONDecodeError as error:
            said = f"{_media(contenttype)}, and not JSON: {error}"
            raise Invalid([FieldError(field, [], said, "send JSON in UTF-8, or another media type")]) from None
    if contenttype is not None and (text := _text(raw, contenttype)) is not None:
        return text, None
    return None, b64encode(raw).decode()


def _text(raw: bytes, contenttype: str) -> str | None:
    """Return bytes as a text; None if they are none, or one that can't be stored."""
    if not _TEXT.fullmatch(_media(contenttype)) or _charset(contenttype) not in _UTF8 or b"\0" in raw:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _media(contenttype: str) -> str:
    return contenttype.partition(";")[0].strip().lower()


def _charset(contenttype: str) -> str:
    found = _CHARSET.search(contenttype)
    return found[1].lower() if found else "utf-8"


def _attributes(headers: Iterable[tuple[str, str]]) -> tuple[dict[str, str], list[FieldError]]:
    """Return the attributes that headers hold, and what is wrong with the headers."""
    given: dict[str, str] = {}
    wrong: list[FieldError] = []
    for header, value in headers:
        name = header.lower().removeprefix(HEADER)
        if name == header.lower():
            continue
        if name in given:
            wrong.append(FieldError(name, value, "the header is there twice", "send it once"))
        try:
            given[name] = _decoded(value)
        except ValueError:
            remedy = "percent-encode each byte of its UTF-8 that is not printable ASCII"
            wrong.append(FieldError(name, value, "not a text in UTF-8", remedy))
            given[name] = ""
    return given, wrong


def _decoded(value: str) -> str:
    """Return the text that the value of a header stands for."""
    if quoted := _QUOTED.fullmatch(value.strip()):
        value = re.sub(r"\\(.)", r"\1", quoted[1])
    return unquote_to_bytes(value.encode("ascii")).decode()

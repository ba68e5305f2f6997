"""Reading CloudEvents: the examples of the specification, what it demands, and the opinion of its Python SDK."""

import string
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from cloudevents.core.bindings import http as sdk
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from ordinaut.errors import Invalid
from ordinaut.events.attributes import MAX_DATA, mistakes
from ordinaut.events.cloudevents import header_of, of_document, of_headers
from ordinaut.events.envelope import NewEvent, Published, cloud_event, key_of

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
COMMON = {
    "specversion": "1.0",
    "type": "com.example.someevent",
    "source": "/mycontext",
    "time": "2018-04-05T17:31:00Z",
    "comexampleextension1": "value",
    "comexampleothervalue": 5,
}
HEADERS = {
    "ce-specversion": "1.0",
    "ce-type": "com.example.someevent",
    "ce-source": "/mycontext",
    "ce-time": "2018-04-05T17:31:00Z",
    "ce-comexampleextension1": "value",
    "ce-comexampleothervalue": "5",
}
APPINFO = {"appinfoA": "abc", "appinfoB": 123, "appinfoC": True}
THRIFT = b"\x82!\x01"
PLAIN = {"specversion": "1.0", "id": "1", "source": "/mycontext", "type": "com.example.someevent"}
ATTRIBUTES = {f"ce-{name}": value for name, value in PLAIN.items()}


def headers(given: dict[str, str], *, contenttype: str | None = None, raw: bytes = b"") -> NewEvent:
    return of_headers(given.items(), contenttype=contenttype, raw=raw)


SPECIFICATION = [
    pytest.param(
        COMMON
        | {
            "id": "A234-1234-1234",
            "datacontenttype": "application/vnd.apache.thrift.binary",
            "data_base64": b64encode(THRIFT).decode(),
        },
        "application/vnd.apache.thrift.binary",
        THRIFT,
        {"base64": b64encode(THRIFT).decode()},
        id="binary",
    ),
    pytest.param(
        COMMON
        | {
            "id": "B234-1234-1234",
            "unsetextension": None,
            "datacontenttype": "application/xml",
            "data": '<much wow="xml"/>',
        },
        "application/xml",
        b'<much wow="xml"/>',
        {"data": '<much wow="xml"/>'},
        id="xml",
    ),
    pytest.param(
        COMMON | {"id": "C234-1234-1234", "subject": None, "datacontenttype": "application/json", "data": APPINFO},
        "application/json",
        orjson.dumps(APPINFO),
        {"data": APPINFO},
        id="json",
    ),
    pytest.param(
        COMMON | {"id": "D234-1234-1234", "subject": None, "data": "I'm just a string"},
        None,
        b'"I\'m just a string"',
        {"data": "I'm just a string"},
        id="literal",
    ),
]
"""The examples of the JSON format (3.2), in both forms."""


@pytest.mark.parametrize(("document", "contenttype", "raw", "data"), SPECIFICATION)
def test_the_examples_of_the_specification_are_read_in_both_forms(
    document: dict[str, Any], contenttype: str | None, raw: bytes, data: dict[str, Any]
) -> None:
    expected = NewEvent(
        type="com.example.someevent",
        source="/mycontext",
        id=document["id"],
        time="2018-04-05T17:31:00Z",
        contenttype=contenttype,
        more={"comexampleextension1": "value", "comexampleothervalue": 5},
        **data,
    )
    read = of_document(document)
    assert read == expected
    assert [*mistakes(read)] == []
    told = headers(HEADERS | {"ce-id": document["id"]}, contenttype=contenttype or "application/json", raw=raw)
    assert (told.id, told.data, told.base64, told.time) == (read.id, read.data, read.base64, read.time)
    assert told.more == {"comexampleextension1": "value", "comexampleothervalue": "5"}
    assert [*mistakes(told)] == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("euro%20%e2%82%ac", "euro €"),
        ('"Euro %E2%82%AC"', "Euro €"),
        (r'"say \"hi\" \\ there"', 'say "hi" \\ there'),
        ("%41%42", "AB"),
        ("%2541", "%41"),
        ("100%", "100%"),
        ("a+b", "a+b"),
        ("a b", "a b"),
    ],
)
def test_values_of_headers_are_decoded_once(value: str, text: str) -> None:
    assert headers(ATTRIBUTES | {"ce-subject": value}).subject == text


@pytest.mark.parametrize("value", ["%C0%A0", "%FF", "%ED%A0%80", "Gr\xfc\xdfe"])
def test_values_of_headers_that_are_no_utf8_are_refused(value: str) -> None:
    with pytest.raises(Invalid, match="not a text in UTF-8") as caught:
        headers(ATTRIBUTES | {"ce-subject": value})
    (mistake,) = caught.value.errors
    assert header_of(mistake.field) == "ce-subject"


@pytest.mark.parametrize(
    ("contenttype", "raw", "data", "base64"),
    [
        (None, b"", None, None),
        ("application/json", b"", None, None),
        ("application/json", b"null", None, None),
        ("application/JSON; charset=utf-8", b"[1]", [1], None),
        ("application/problem+json", b'{"a": 1}', {"a": 1}, None),
        ("text/json", b"1", 1, None),
        ("text/plain", b"hi", "hi", None),
        ("text/plain; charset=UTF-8", "Grüße".encode(), "Grüße", None),
        ('text/plain; charset="utf-8"', b"hi", "hi", None),
        ("text/plain; charset=iso-8859-1", b"Gr\xfc\xdfe", None, "R3L832U="),
        ("text/plain", b"\xff", None, "/w=="),
        ("text/plain", b"a\0", None, "YQA="),
        ("image/svg+xml", b"<svg/>", "<svg/>", None),
        ("application/octet-stream", b"hi", None, "aGk="),
        (None, b'{"a": 1}', None, "eyJhIjogMX0="),
    ],
)
def test_the_content_type_says_what_the_data_are(
    contenttype: str | None, raw: bytes, data: object, base64: str | None
) -> None:
    told = headers(ATTRIBUTES, contenttype=contenttype, raw=raw)
    assert (told.data, told.base64) == (data, base64)
    encoded = {"data_base64": b64encode(raw).decode()} | ({"datacontenttype": contenttype} if contenttype else {})
    if raw:
        read = of_document(PLAIN | encoded)
        assert (read.data, read.base64) == (data, base64)


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({}, ["specversion", "id", "source", "type"]),
        (PLAIN | {"id": None}, ["id"]),
        (PLAIN | {"specversion": "0.3"}, ["specversion"]),
        (PLAIN | {"specversion": 1.0}, ["specversion"]),
        (PLAIN | {"id": 5, "time": 7, "subject": {}}, ["id", "subject", "time"]),
        (PLAIN | {"datacontenttype": "application/xml", "data": {"a": 1}}, ["data"]),
        (PLAIN | {"data": 1, "data_base64": "YQ=="}, ["data_base64"]),
        (PLAIN | {"data_base64": "%"}, ["data_base64"]),
        (PLAIN | {"data_base64": 5}, ["data_base64"]),
        (PLAIN | {"data_base64": "ew==", "datacontenttype": "application/json"}, ["data_base64"]),
        (
            PLAIN | {"data_base64": b64encode(b"x" * (MAX_DATA + 1)).decode(), "datacontenttype": "text/plain"},
            ["data_base64"],
        ),
    ],
    ids=[
        *(
            "nothing",
            "no-id",
            "old",
            "number",
            "numbers",
            "xml",
            "both",
            "no-base64",
            "base64-number",
            "no-json",
            "long",
        ),
    ],
)
def test_what_is_no_cloudevent_is_refused(given: dict[str, Any], fields: list[str]) -> None:
    with pytest.raises(Invalid) as caught:
        of_document(given)
    assert [mistake.field for mistake in caught.value.errors] == fields
    assert all(mistake.remedy for mistake in caught.value.errors)


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ([("ce-id", "1")], ["ce-specversion", "ce-source", "ce-type"]),
        ([*ATTRIBUTES.items(), ("CE-ID", "2")], ["ce-id"]),
        ([*ATTRIBUTES.items(), ("ce-datacontenttype", "text/plain")], ["ce-datacontenttype"]),
        ([*ATTRIBUTES.items(), ("ce-data", "1")], ["ce-data"]),
        ([*ATTRIBUTES.items(), ("ce-data_base64", "YQ==")], ["ce-data_base64"]),
    ],
    ids=["missing", "twice", "content-type", "data", "base64"],
)
def test_headers_that_are_no_cloudevent_are_refused(given: list[tuple[str, str]], fields: list[str]) -> None:
    with pytest.raises(Invalid) as caught:
        of_headers(given, contenttype=None, raw=b"")
    assert [header_of(mistake.field) for mistake in caught.value.errors] == fields


def test_data_that_are_not_what_their_type_says_are_refused() -> None:
    with pytest.raises(Invalid, match="not JSON") as caught:
        headers(ATTRIBUTES, contenttype="application/json", raw=b"{")
    assert header_of(caught.value.errors[0].field) == "data"
    with pytest.raises(Invalid, match="65537 bytes"):
        headers(ATTRIBUTES, contenttype="application/json", raw=b"1" * (MAX_DATA + 1))


def test_mistakes_name_the_headers_that_hold_what_is_wrong() -> None:
    names = {"id": "ce-id", "myext": "ce-myext", "datacontenttype": "content-type", "data.a[0]": "data.a[0]"}
    assert {name: header_of(name) for name in names} == names


texts = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Cn"]).filter(lambda one: one not in "\ufffe\uffff"),
    min_size=1,
    max_size=40,
)
uris = st.text([*string.ascii_letters, *string.digits, *"-._~:/?#[]@!$&'()*+,;=%"], min_size=1, max_size=40).map(
    lambda path: f"https://example.com/{path}"
)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def events(draw: st.DrawFn) -> CloudEvent:
    """Events as the SDK makes them."""
    contenttype, data = draw(
        st.one_of(
            st.tuples(st.just("application/json"), st.dictionaries(texts, values, max_size=3)),
            st.tuples(st.just("text/plain"), texts),
            st.tuples(st.just("application/octet-stream"), st.binary(min_size=1, max_size=40)),
        )
    )
    attributes: dict[str, Any] = {
        "id": draw(texts),
        "source": draw(uris),
        "type": "com.example.Some-event",
        "specversion": "1.0",
        "datacontenttype": contenttype,
        "time": draw(st.datetimes(datetime(1970, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC))),
    }
    if draw(st.booleans()):
        attributes["subject"] = draw(texts)
    names = st.text([*string.ascii_lowercase, *string.digits], min_size=1, max_size=20)
    attributes |= draw(st.dictionaries(names.map(lambda name: f"x{name}"[:20]), texts, max_size=3))
    return CloudEvent(attributes, data)


@given(events(), st.sampled_from([sdk.to_binary, sdk.to_structured]))
def test_what_the_sdk_sends_is_read_and_told_as_it_was(event: CloudEvent, send: Any) -> None:
    message = send(event, JSONFormat())
    lower = {name.lower(): value for name, value in message.headers.items()}
    if lower["content-type"].startswith("application/cloudevents"):
        read = of_document(orjson.loads(message.body))
    else:
        read = of_headers(lower.items(), contenttype=lower["content-type"], raw=message.body)
    assert [*mistakes(read)] == []

    told = cloud_event(7, NOW, 0, published(read).compact())
    back = JSONFormat().read(None, orjson.dumps(told))
    server = {"namespace": "default", "publisher": "ada"}
    assert back.get_attributes() == {**event.get_attributes(), **server}
    assert back.get_data() == event.get_data()


def published(new: NewEvent) -> Published:
    return Published(new, "default", "ada")


def test_an_event_of_a_publishers_own_id_is_the_same_wherever_it_stands() -> None:
    compact = published(of_document(PLAIN)).compact()
    first, again = cloud_event(7, NOW, 0, compact), cloud_event(9, NOW, 3, compact)
    assert first == again
    assert key_of(first) == key_of(again)
    without = published(NewEvent("mail")).compact()
    assert key_of(cloud_event(7, NOW, 0, without)) != key_of(cloud_event(7, NOW, 1, without))


def test_attributes_that_were_not_given_are_not_stored() -> None:
    assert published(NewEvent("mail")).compact() == {"type": "mail", "ns": "default", "by": "ada"}

"""What publishers may say of an event, and what is refused."""

from base64 import b64encode
from typing import Any

import pytest

from ordinaut.events.attributes import MAX_DATA, MAX_EXTENSIONS, mistakes
from ordinaut.events.envelope import NewEvent
from ordinaut.resources.eventtype import MAX_ID, MAX_TEXT, MAX_TYPE, OWN, is_reserved, is_type

RUN = "019ab0d2-7c1e-7cc3-98c4-dc0c0c07398f"


def event(**given: Any) -> NewEvent:
    return NewEvent(**{"type": "mail.received", **given})


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"type": "m"},
        {"type": "com.microsoft.storage.BlobCreated"},
        {"type": "dev.cdevents.artifact.published.0.2.0"},
        {"type": "mail.received-again_2"},
        {"type": "runner.started"},
        {"type": "tasks.x"},
        {"type": "io.ordinauts.x"},
        {"type": "m" * MAX_TYPE},
        {"id": "A234-1234-1234"},
        {"id": "ä ∑ 😀"},
        {"id": "x" * MAX_ID},
        {"source": "/mycontext"},
        {"source": "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66"},
        {"source": "mailto:cncf-wg-serverless@lists.cncf.io"},
        {"source": "//ordinaut/x"},
        {"source": "/ordinauts/x"},
        {"source": "x" * MAX_TEXT},
        {"subject": "a b.jpg"},
        {"subject": "Grüße"},
        {"time": "2018-04-05T17:31:00Z"},
        {"time": "1996-12-19T16:39:57-08:00"},
        {"time": "1985-04-12T23:20:50.123456789Z"},
        {"contenttype": "application/json; charset=utf-8"},
        {"contenttype": 'text/plain;charset="utf-8" ; format=flowed'},
        {"schema": "https://schemas.example/mail.json"},
        {"base64": b64encode(b"x" * MAX_DATA).decode()},
        {"base64": ""},
        {"data": "x" * (MAX_DATA - 2)},
        {"more": {"comexampleextension1": "value", "comexampleothervalue": 5, "flag": True, "none": ""}},
        {"more": {"ordinautrun": RUN, "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}},
        {"more": {"least": -(2**31), "most": 2**31 - 1}},
        {"more": {f"x{n}": n for n in range(MAX_EXTENSIONS)}},
    ],
    ids=lambda given: str(given)[:40],
)
def test_what_cloudevents_allows_is_accepted(given: dict[str, Any]) -> None:
    assert [*mistakes(event(**given))] == []


@pytest.mark.parametrize(
    ("given", "field", "why"),
    [
        ({"type": "run.succeeded"}, "type", "told by Ordinaut only"),
        ({"type": "Run.Succeeded"}, "type", "told by Ordinaut only"),
        ({"type": "task"}, "type", "told by Ordinaut only"),
        ({"type": "step.x"}, "type", "told by Ordinaut only"),
        ({"type": "ordinaut.x"}, "type", "told by Ordinaut only"),
        ({"type": "IO.ordinaut.run.succeeded"}, "type", "told by Ordinaut only"),
        ({"type": "mail..received"}, "type", "with dots between"),
        ({"type": "mail received"}, "type", "with dots between"),
        ({"type": "mail.*"}, "type", "with dots between"),
        ({"type": "mail.received\n"}, "type", "with dots between"),
        ({"type": "-mail"}, "type", "with dots between"),
        ({"type": ""}, "type", "with dots between"),
        ({"type": "m" * (MAX_TYPE + 1)}, "type", "longer than 128"),
        ({"id": ""}, "id", "empty"),
        ({"id": "a\nb"}, "id", "control characters"),
        ({"id": "\ud800"}, "id", "control characters"),
        ({"id": "x" * (MAX_ID + 1)}, "id", "longer than 256"),
        ({"subject": "x" * (MAX_TEXT + 1)}, "subject", "longer than 1024"),
        ({"subject": "a\x1b[31m"}, "subject", "control characters"),
        ({"subject": "a\0"}, "subject", "control characters"),
        ({"subject": ""}, "subject", "empty"),
        ({"source": "a\n"}, "source", "printable ASCII"),
        ({"source": "a b"}, "source", "printable ASCII"),
        ({"source": ""}, "source", "printable ASCII"),
        ({"source": "x" * (MAX_TEXT + 1)}, "source", "longer than 1024"),
        ({"source": "/ordinaut/namespaces/other"}, "source", "Ordinaut's own"),
        ({"source": "/ordinaut"}, "source", "Ordinaut's own"),
        ({"source": "/ORDINAUT/inbox"}, "source", "Ordinaut's own"),
        ({"source": "/%6frdinaut/inbox"}, "source", "Ordinaut's own"),
        ({"source": "/a/../ordinaut/inbox"}, "source", "Ordinaut's own"),
        ({"source": "/./ordinaut/"}, "source", "Ordinaut's own"),
        ({"time": "2018-04-05T17:31:00"}, "time", "with Z or an offset"),
        ({"time": "2018-02-30T17:31:00Z"}, "time", "with Z or an offset"),
        ({"time": "2018-04-05 17:31:00Z"}, "time", "with Z or an offset"),
        ({"time": "2018-04-05T17:31:00.1234567890Z"}, "time", "with Z or an offset"),
        ({"time": "٢018-04-05T17:31:00Z"}, "time", "with Z or an offset"),
        ({"contenttype": "json"}, "datacontenttype", "not a media type"),
        ({"contenttype": "application/json\n"}, "datacontenttype", "not a media type"),
        ({"contenttype": "a/" + "b" * 255}, "datacontenttype", "longer than 256"),
        ({"schema": "/mail.json"}, "dataschema", "absolute URI"),
        ({"base64": "a"}, "data_base64", "not Base64"),
        ({"base64": "YQ ==\n"}, "data_base64", "not Base64"),
        ({"base64": "ä"}, "data_base64", "not Base64"),
        ({"base64": b64encode(b"x" * (MAX_DATA + 1)).decode()}, "data_base64", "65537 bytes"),
        ({"base64": "YQ==", "data": 1}, "data_base64", "beside data"),
        ({"data": {"a": "\0"}}, "data.a", "NUL"),
        ({"data": {"a": ["\ud800"]}}, "data.a[0]", "surrogate"),
        ({"data": "x" * MAX_DATA}, "data", "65538 bytes"),
        ({"more": {"namespace": "other"}}, "namespace", "only Ordinaut says it"),
        ({"more": {"publisher": "boss"}}, "publisher", "only Ordinaut says it"),
        ({"more": {"data": "x"}}, "data", "no extension attribute"),
        ({"more": {"specversion": "1.0"}}, "specversion", "no extension attribute"),
        ({"more": {"myExt": "x"}}, "myExt", "lower-case letters and digits"),
        ({"more": {"x" * 21: "x"}}, "x" * 21, "lower-case letters and digits"),
        ({"more": {"": "x"}}, "", "lower-case letters and digits"),
        ({"more": {"ordinautother": "x"}}, "ordinautother", "only ordinautrun"),
        ({"more": {"ordinautrun": "x"}}, "ordinautrun", "not the id of a run"),
        ({"more": {"ordinautrun": 5}}, "ordinautrun", "not the id of a run"),
        ({"more": {"x": 1.5}}, "x", "integer of 32 bits"),
        ({"more": {"x": 2**31}}, "x", "integer of 32 bits"),
        ({"more": {"x": {"y": 1}}}, "x", "integer of 32 bits"),
        ({"more": {"x": "a\tb"}}, "x", "control characters"),
        ({"more": {"x": "a" * (MAX_TEXT + 1)}}, "x", "longer than 1024"),
        ({"more": {f"x{n}": n for n in range(MAX_EXTENSIONS + 1)}}, "", "allowed are 32"),
    ],
    ids=lambda given: ascii(given)[:40],
)
def test_what_no_event_may_be_is_refused_with_field_and_remedy(given: dict[str, Any], field: str, why: str) -> None:
    (mistake,) = mistakes(event(**given))
    assert mistake.field == field
    assert why in str(mistake)
    assert mistake.remedy
    str(mistake).encode()


def test_all_mistakes_of_an_event_are_told_at_once() -> None:
    wrong = event(type="", id="", source="", subject="", time="", contenttype="", schema="", data="\0", more={"X": 1})
    fields = ["type", "id", "subject", "source", "time", "datacontenttype", "dataschema", "X", "data"]
    assert [mistake.field for mistake in mistakes(wrong)] == fields


def test_ordinauts_own_types_are_types_that_nobody_else_may_use() -> None:
    for word in OWN:
        assert is_type(f"{word}.succeeded")
        assert is_reserved(f"{word}.succeeded")
        assert not is_reserved(f"my.{word}.succeeded")

"""What an entry of the inbox is: an event, or why it is none."""

import json
from typing import Any

import pytest

from ordinaut.events.inbox import InboxEntry
from ordinaut_operator.events.inbox import judge

MAIL = {"namespace": "default", "type": "mail.received", "data": '{"from": "bob"}'}


def entry(fields: dict[Any, Any]) -> InboxEntry:
    told = {
        key if isinstance(key, bytes) else key.encode(): value if isinstance(value, bytes) else value.encode()
        for key, value in fields.items()
    }
    return InboxEntry("7-0", told)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"type": "mail.received"}, "namespace: Required value; say in which namespace it is published"),
        (MAIL | {"namespace": "No Name"}, 'namespace: Invalid value: "No Name": not a name; write it like team-a'),
        ({"namespace": "default"}, "type: Required value; write one such as mail.received"),
        (MAIL | {"type": "run.failed"}, 'type: Invalid value: "run.failed"'),
        (MAIL | {"data": "{"}, "data: Invalid value: not JSON: "),
        (MAIL | {"Payload": "1"}, 'unknown field "Payload"'),
        (MAIL | {"event": "{}"}, "event: Invalid value: beside data, type; write the whole event into it"),
        ({"namespace": "default", "event": "[]"}, "event: Invalid value: not an object"),
        ({"namespace": "default", "event": '{"specversion": "1.0"}'}, "id: Required value"),
        (MAIL | {"source": "/ordinaut/namespaces/x"}, "/ordinaut/ is Ordinaut's own"),
        (MAIL | {"data": '"' + "x" * 70_000 + '"'}, "data: Too long: 70002 bytes, allowed are 65536"),
        ({b"namespace": b"default", b"type": b"\xff"}, "not UTF-8"),
        (MAIL | {"data": r'"\u0000"'}, "data"),
        ({"hello": "world"}, "namespace: Required value"),
    ],
    ids=lambda value: "" if isinstance(value, str) else None,
)
def test_what_is_no_event_is_told_why(fields: dict[Any, Any], reason: str) -> None:
    judged = judge(entry(fields))

    assert judged.event is None
    assert reason in judged.reason
    assert "\n" not in judged.reason


def test_what_is_too_large_was_not_read() -> None:
    assert "300000 bytes, allowed are 262144" in judge(InboxEntry("7-0", 300_000)).reason


def test_an_entry_without_an_id_gives_its_own() -> None:
    judged = judge(entry(MAIL | {"ordinautrun": "019ab0d2-7c1e-7cc3-98c4-dc0c0c07398f"}))

    assert judged.event is not None
    assert (judged.namespace, judged.event.id, judged.is_named) == ("default", "7-0", False)
    assert judged.event.more == {"ordinautrun": "019ab0d2-7c1e-7cc3-98c4-dc0c0c07398f"}


def test_a_whole_event_has_its_own_id() -> None:
    whole = {"specversion": "1.0", "id": "7f1c", "source": "https://mail.example", "type": "mail.received"}
    judged = judge(entry({"namespace": "team-a", "event": json.dumps(whole | {"data": [1]})}))

    assert judged.event is not None
    assert (judged.namespace, judged.event.id, judged.event.data, judged.is_named) == ("team-a", "7f1c", [1], True)

"""Triggers: what is stored of them, what is refused, and the params that an event gives."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ordinaut.errors import Invalid
from ordinaut.resources.task import EventTrigger, TaskSpec
from ordinaut.triggers import Batch, Trigger, check_triggers, compile_triggers, run_params, stored

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
MAIL = {
    "id": "1-0",
    "source": "/mail",
    "type": "mail.received",
    "subject": "inbox/7",
    "data": {"from": "bob", "labels": ["work"]},
}


def spec(*triggers: dict[str, Any]) -> TaskSpec:
    return TaskSpec.model_validate({"triggers": list(triggers), "pipelineRef": {"name": "triage"}})


def compiled(**fields: Any) -> Trigger:
    (trigger,) = compile_triggers(stored(spec({"topic": "mail.received", **fields}), None, NOW) or [])
    return trigger


def refusals(**fields: Any) -> list[str]:
    with pytest.raises(Invalid) as refused:
        check_triggers([EventTrigger.model_validate({"topic": "mail.*", **fields})], field="spec.triggers")
    return [str(error) for error in refused.value.errors]


def test_a_task_without_triggers_stores_none() -> None:
    assert stored(spec(), None, NOW) is None
    assert stored(spec(), [{"topic": "mail.received", "since": NOW.isoformat()}], LATER) is None


def test_a_topic_goes_on_and_a_new_one_begins_now() -> None:
    old = stored(spec({"topic": "mail.received"}, {"topic": "run.failed"}), None, NOW)
    new = stored(spec({"topic": "disk.full"}, {"topic": "mail.received", "if": "data.urgent"}), old, LATER)
    assert new == [
        {"topic": "disk.full", "since": LATER.isoformat()},
        {"topic": "mail.received", "if": "data.urgent", "since": NOW.isoformat()},
    ]


def test_what_is_unchanged_is_stored_unchanged() -> None:
    written = spec(
        {"topic": "mail.>", "params": {"deep": {"list": [1, None]}}, "batch": {"maxSize": 2, "timeout": "1m"}}
    )
    old = stored(written, None, NOW)
    assert stored(written, old, LATER) == old


def test_everything_that_was_stored_is_compiled() -> None:
    first, second = compile_triggers(
        stored(
            spec(
                {"topic": "mail.received", "if": "data.urgent", "debounce": "1m30s"},
                {"topic": "disk.*", "params": {"disk": "${event.subject}"}, "batch": {"maxSize": 7, "timeout": "1h"}},
            ),
            None,
            NOW,
        )
        or []
    )
    assert (first.number, first.topic, first.since) == (0, "mail.received", NOW)
    assert first.condition is not None
    assert (first.condition.source, first.params, first.debounce) == ("data.urgent", None, timedelta(seconds=90))
    assert first.batch is None
    assert (second.number, second.condition, second.debounce) == (1, None, None)
    assert second.batch == Batch(7, timedelta(hours=1))


@pytest.mark.parametrize(
    "condition",
    [
        "data.priority == 'high'",
        "subject",
        "type == 'mail.received' && publisher != 'me'",
        "partitionkey == '7'",
        "data_base64",
        "specversion == '1.0' && datacontenttype",
    ],
)
def test_a_condition_reads_attributes_of_the_event(condition: str) -> None:
    check_triggers([EventTrigger.model_validate({"topic": "mail.*", "if": condition})], field="spec.triggers")


@pytest.mark.parametrize(
    ("fields", "place", "said"),
    [
        ({"if": "event.data.x"}, "spec.triggers[0].if", 'reads "event", which does not exist here'),
        ({"if": "params.x"}, "spec.triggers[0].if", "start with one of data, id"),
        ({"if": "dataSchema == 'x'"}, "spec.triggers[0].if", "does not exist here"),
        ({"if": "data.x =="}, "spec.triggers[0].if", "ends too early"),
        ({"if": "@"}, "spec.triggers[0].if", "reads everything at once"),
        ({"params": {"a": {"b": "${data.x}"}}}, "spec.triggers[0].params.a.b", 'reads "data"'),
        ({"params": {"all": "${run.id}"}}, "spec.triggers[0].params.all", 'reads "run"'),
        ({"params": {"a": "${event..x}"}}, "spec.triggers[0].params.a", "is not JMESPath"),
    ],
)
def test_what_is_refused_names_the_place(fields: dict[str, Any], place: str, said: str) -> None:
    (refusal,) = refusals(**fields)
    assert refusal.startswith(f"{place}: ")
    assert said in refusal


def test_all_mistakes_are_named_at_once() -> None:
    assert len(refusals(**{"if": "nope ==", "params": {"a": "${x}", "b": "${y}"}})) == 3


def test_an_event_gives_params() -> None:
    params = {"from": "${event.data.from}", "about": "mail ${event.subject}", "labels": "${event.data.labels}", "n": 1}
    assert run_params(compiled(params=params), event=MAIL, events=None) == {
        "from": "bob",
        "about": "mail inbox/7",
        "labels": ["work"],
        "n": 1,
    }


def test_a_trigger_without_params_gives_none() -> None:
    assert run_params(compiled(), event=MAIL, events=None) == {}


def test_a_batch_gives_the_list_and_its_last() -> None:
    trigger = compiled(params={"ids": "${events[*].id}", "last": "${event.id}"}, batch={"maxSize": 9, "timeout": "30s"})
    events = [{**MAIL, "id": "1-0"}, {**MAIL, "id": "2-0"}]
    assert run_params(trigger, event=events[-1], events=events) == {"ids": ["1-0", "2-0"], "last": "2-0"}


def test_one_event_is_a_list_of_one() -> None:
    assert run_params(compiled(params={"ids": "${events[*].id}"}), event=MAIL, events=None) == {"ids": ["1-0"]}


def test_params_that_the_event_does_not_have_are_named() -> None:
    with pytest.raises(Invalid) as refused:
        run_params(compiled(params={"to": "${event.data.to}"}), event=MAIL, events=None)
    assert str(refused.value) == (
        'spec.triggers[0].params: Invalid value: to: expression "event.data.to" is missing: event.data has "from", '
        "\"labels\"; give a default: a || 'default'"
    )


def test_params_that_are_too_large_are_refused() -> None:
    event = {**MAIL, "data": {"text": "x" * 60_000}}
    trigger = compiled(params={str(number): "${event.data.text}" for number in range(6)})
    with pytest.raises(Invalid, match="more than the 262144 bytes allowed"):
        run_params(trigger, event=event, events=None)

from typing import Any

import pytest

from ordinaut.resources.task import MAX_TRIGGERS, CatchUp, Schedule, TaskSpec
from tests.unit.resources.documents import mistake, mistakes, parsed_task, schedule, task

_STEPS = {"steps": [{"id": "log", "uses": "std.log"}]}


def test_a_task_with_every_supported_field_is_read() -> None:
    spec: dict[str, Any] = {
        "schedules": [
            {"cron": "30 8 * * 1-5", "timeZone": "Europe/Chisinau", "dstGap": "Skip", "end": "2030-01-01T00:00:00"},
            {"rrule": "FREQ=WEEKLY;BYDAY=MO", "dtstart": "2026-01-05T08:00:00", "exdates": ["2026-01-12T08:00:00"]},
            {"interval": "5m", "start": "2026-01-01T00:00:00Z"},
            {"at": "2028-02-29T00:00:00+02:00"},
        ],
        "triggers": [
            {"topic": "mail.*", "if": "data.urgent", "params": {"from": "${event.data.from}"}, "debounce": "30s"},
            {"topic": "run.>", "batch": {"maxSize": 1000, "timeout": "1h"}},
        ],
        "pipelineRef": {"name": "briefing"},
        "params": {"city": "Chisinau", "nested": [{"a": None}]},
        "suspend": True,
        "concurrencyPolicy": "Replace",
        "startingDeadlineSeconds": 300,
        "catchUp": {"policy": "All", "max": 10},
        "retryStrategy": {"limit": 2, "backoff": {"duration": "0s", "factor": 1.5, "cap": "5m", "jitter": "None"}},
        "timeout": "15m",
        "priority": 9,
    }
    assert parsed_task(task(**spec)).spec.canonical() == spec


def test_defaults_are_those_that_the_documentation_names() -> None:
    spec = parsed_task(schedule(cron="@daily")).spec
    assert spec.schedules == [Schedule(cron="@daily", time_zone="UTC", dst_gap="Run")]
    assert (spec.suspend, spec.concurrency_policy, spec.priority, spec.catch_up) == (
        False,
        "Allow",
        5,
        CatchUp(policy="Latest", max=100),
    )


def test_equal_meaning_has_an_equal_canonical_form() -> None:
    written_out = task(suspend=False, priority=5, catchUp={"policy": "Latest"}, schedules=[], timeout=None)
    assert parsed_task(written_out).spec.canonical() == {"pipelineRef": {"name": "briefing"}}


def test_the_canonical_form_is_read_back() -> None:
    spec = parsed_task(schedule(cron="0 0 * * *", exdates=None, timeZone="Asia/Tokyo")).spec
    assert TaskSpec.model_validate(spec.canonical()) == spec


@pytest.mark.parametrize(
    "fields",
    [
        {"cron": "* * * * *"},
        {"cron": "*/10 * * * * *"},
        {"cron": "0 0 LW * *"},
        {"cron": "0 9 * JAN,jul MON#1,5L"},
        {"cron": "0-30/5 22-23 1,15 */3 mon-fri"},
        {"cron": " 0  0 * * 7 "},
        {"cron": "@hourly"},
        {"rrule": "FREQ=DAILY"},
        {"rrule": "RRULE:FREQ=MONTHLY;BYDAY=-1FR;UNTIL=20271231T000000Z"},
        {"interval": "1h30m"},
        {"at": "2026-03-29T02:30:00"},
        {"cron": "@daily", "start": "2026-01-01T00:00:00", "end": "2025-01-01T00:00:00Z"},  # only the zone can tell
    ],
    ids=str,
)
def test_schedules_that_are_right(fields: dict[str, str]) -> None:
    assert parsed_task(schedule(**fields)).spec.schedules[0].canonical() == fields


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("cron", "*/0 * * * *", "the minute field of a cron expression takes 0-59"),
        ("cron", "60 * * * * *", "the second field of a cron expression takes 0-59"),
        ("cron", "0 24 * * *", "the hour field of a cron expression takes 0-23"),
        ("cron", "0 0 0 * *", "the day-of-month field of a cron expression takes 1-31, L and LW"),
        ("cron", "0 0 15W * *", "the day-of-month field of a cron expression takes 1-31, L and LW"),
        ("cron", "0 0 * 13 *", "the month field of a cron expression takes 1-12 and JAN-DEC"),
        ("cron", "0 0 * * 8", "the day-of-week field of a cron expression takes 0-7"),
        ("cron", "0 0 * * ?", "the day-of-week field of a cron expression takes 0-7"),
        ("cron", "H 0 * * *", "the minute field of a cron expression takes 0-59"),
        ("cron", "TZ=UTC * * * * *", "not a cron expression"),
        ("cron", "@reboot", "not a cron expression"),
        ("cron", "@every 5m", "not a cron expression"),
        ("cron", "@DAILY", "not a cron expression"),
        ("cron", "* * * *", "not a cron expression"),
        ("cron", "* * * * * * *", "not a cron expression"),
        ("cron", "０ ０ * * *", "not a cron expression"),
        ("cron", "* * * * *\n", "not a cron expression"),
        ("cron", "*\t* * * *", "not a cron expression"),
        ("rrule", "BYDAY=MO", "not a recurrence rule"),
        ("rrule", "FREQ=DAILY\r\nRRULE:FREQ=DAILY", "not a recurrence rule"),
        ("rrule", "FREQ=DAILY;COUNT=1;UNTIL=20270101", "COUNT and UNTIL exclude each other"),
        ("interval", "500ms", "must be whole seconds"),
        ("interval", "0h0m", "must be longer than zero"),
        ("at", "tomorrow", "not a date and time"),
        ("at", "2027-04-31T00:00:00", "not a date and time"),
        ("at", "2100-02-29T00:00:00", "not a date and time"),
        ("at", "0000-01-01T00:00:00", "not a date and time"),
        ("at", "2027-01-01", "not a date and time"),
        ("timeZone", "posixrules", "unknown time zone"),
        ("timeZone", "Factory", "unknown time zone"),
        ("timeZone", "UTC+3", "unknown time zone"),
        ("timeZone", "America/new_york", "unknown time zone"),
    ],
)
def test_schedules_that_are_wrong(field: str, value: str, message: str) -> None:
    fields = {field: value} if field != "timeZone" else {"cron": "@daily", field: value}
    error = mistake(schedule(**fields))
    assert (error.field, error.value) == (f"spec.schedules[0].{field}", value)
    assert message in error.message
    assert error.remedy


@pytest.mark.parametrize(
    ("expression", "instead"),
    [("@every 5m", "interval: 5m"), ("TZ=UTC 0 9 * * *", "timeZone"), ("CRON_TZ=Asia/Tokyo 0 9 * * *", "timeZone")],
)
def test_what_other_crontabs_have_is_refused_with_what_to_write_instead(expression: str, instead: str) -> None:
    assert instead in mistake(schedule(cron=expression)).remedy


@pytest.mark.parametrize(
    ("fields", "found"),
    [({}, "none"), ({"cron": "@daily", "interval": "5m"}, "cron interval"), ({"timeZone": "UTC"}, "none")],
)
def test_a_schedule_has_exactly_one_kind(fields: dict[str, str], found: str) -> None:
    assert mistake(schedule(**fields)).message.endswith(f"found: {found}")


def test_several_mistakes_are_all_found_at_once() -> None:
    document = task(schedules=[{"cron": "x"}, {"interval": "0s"}], timeout="soon")
    assert [error.field for error in mistakes(document)] == [
        "spec.schedules[0].cron",
        "spec.schedules[1].interval",
        "spec.timeout",
    ]


def test_an_inline_pipeline_is_checked_like_a_pipeline() -> None:
    document = task(pipeline={"steps": [{"id": "a b", "uses": "std.log"}]})
    assert mistake(document).field == "spec.pipeline.steps[0].id"


@pytest.mark.parametrize(
    ("fields", "found"),
    [({"pipelineRef": {"name": "a"}, "pipeline": _STEPS}, "pipelineRef pipeline"), ({"pipelineRef": None}, "none")],
)
def test_a_task_has_exactly_one_pipeline(fields: dict[str, Any], found: str) -> None:
    assert mistake(task(**fields)).message == f"exactly one of pipelineRef and pipeline must be set, found: {found}"


@pytest.mark.parametrize(
    ("fields", "summary", "zones"),
    [
        ([], "", ""),
        ([{"cron": "30 8 * * 1-5", "timeZone": "Europe/Chisinau"}], "30 8 * * 1-5", "Europe/Chisinau"),
        ([{"interval": "5m"}], "every 5m", "UTC"),
        ([{"at": "2027-01-01T00:00:00Z"}], "at 2027-01-01T00:00:00Z", "UTC"),
        (
            [{"rrule": "FREQ=DAILY"}, {"cron": "@daily"}, {"cron": "@daily", "timeZone": "Asia/Tokyo"}],
            "FREQ=DAILY +2",
            "UTC, Asia/Tokyo",
        ),
    ],
)
def test_columns_show_the_schedules_in_a_few_words(fields: list[dict[str, str]], summary: str, zones: str) -> None:
    spec = parsed_task(task(schedules=fields)).spec
    assert (spec.summary, spec.zone_summary) == (summary, zones)


@pytest.mark.parametrize(
    ("topics", "schedules", "summary"),
    [
        (["mail.received"], [], "on mail.received"),
        (["mail.received", "mail.received", "run.>"], [], "on mail.received +1"),
        (["mail.received"], [{"cron": "@daily"}], "@daily +1"),
    ],
)
def test_columns_show_triggers_behind_the_schedules(
    topics: list[str], schedules: list[dict[str, str]], summary: str
) -> None:
    spec = parsed_task(task(schedules=schedules, triggers=[{"topic": topic} for topic in topics])).spec
    assert spec.summary == summary


@pytest.mark.parametrize(
    ("trigger", "field", "said"),
    [
        ({"topic": ">.x"}, "topic", "not a topic"),
        ({"topic": "io.ordinaut.run.failed"}, "topic", "without io.ordinaut."),
        ({"topic": "mail", "if": "${event.x}"}, "if", "bare JMESPath"),
        ({"topic": "mail", "params": {"a": {"b": "${"}}}, "params.a.b", "should match"),
        ({"topic": "mail", "params": {"a": "${secrets.a.b}"}}, "params.a", "secrets are not supported yet"),
        ({"topic": "mail", "debounce": "1h1s"}, "debounce", "at most an hour"),
        ({"topic": "mail", "debounce": "500ms"}, "debounce", "whole seconds"),
        ({"topic": "mail", "batch": {"maxSize": 0, "timeout": "1s"}}, "batch.maxSize", "greater than or equal to 1"),
        ({"topic": "mail", "batch": {"maxSize": 1, "timeout": "2h"}}, "batch.timeout", "at most an hour"),
        ({"topic": "mail", "waitFor": "x"}, "waitFor", ""),
        ({"if": "data"}, "topic", ""),
    ],
)
def test_what_is_wrong_with_a_trigger_is_named(trigger: dict[str, Any], field: str, said: str) -> None:
    refused = mistake(task(triggers=[{"topic": "fine"}, trigger]))
    assert refused.field == f"spec.triggers[1].{field}"
    assert said in refused.message


def test_debounce_and_batch_exclude_each_other() -> None:
    both = {"topic": "mail", "debounce": "1s", "batch": {"maxSize": 2, "timeout": "1s"}}
    refused = mistake(task(triggers=[both]))
    assert (refused.field, refused.message) == ("spec.triggers[0]", "debounce and batch exclude each other")


def test_a_task_may_have_so_many_triggers() -> None:
    assert len(parsed_task(task(triggers=[{"topic": "a"}] * MAX_TRIGGERS)).spec.triggers) == MAX_TRIGGERS
    assert mistake(task(triggers=[{"topic": "a"}] * (MAX_TRIGGERS + 1))).field == "spec.triggers"

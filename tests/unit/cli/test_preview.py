"""``ordinaut preview`` of schedules that flags give, and of files: times, their table, and how mistakes are told."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from click.testing import CliRunner, Result

from ordinaut_cli import foresight, times
from ordinaut_cli.app import app
from tests.unit.schedule.test_oracle import CASES, FIRING

NOW = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)
FLAG_OF = {field: flag for flag, field in foresight.FIELDS.items()}


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "now", lambda: NOW)


PROGRAM = typer.main.get_command(app)


def preview(*arguments: str | Path, given: str | None = None) -> Result:
    return CliRunner().invoke(PROGRAM, ["preview", *map(str, arguments)], input=given)


def fires(*arguments: str) -> list[str]:
    result = preview(*arguments, "--output", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    found: dict[str, list[str]] = json.loads(result.stdout)
    assert list(found) == ["fires"]
    return found["fires"]


def rows(*arguments: str) -> list[list[str]]:
    """Return the cells of the table's lines, its head left out."""
    result = preview(*arguments)
    assert result.exit_code == 0, result.stderr
    return [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in result.stdout.splitlines()[1:]]


def flags_of(schedule: dict[str, Any]) -> list[str]:
    """Return a schedule as flags; with ``=``, so that no value is taken for another flag."""
    pairs = ((FLAG_OF[field], value) for field, value in schedule.items())
    return [f"{flag}={one}" for flag, value in pairs for one in (value if isinstance(value, list) else [value])]


def flags_of_case(case: dict[str, Any]) -> list[str]:
    schedule = {case["kind"]: case["expr"], "timeZone": case["tz"]}
    for field, name in (("dtstart", "dtstart"), ("exdates", "exdate"), ("rdates", "rdate")):
        schedule |= {field: case[name]} if case.get(name) else {}
    return [*flags_of(schedule), "--after", case["after"], "--count", str(case["count"])]


@pytest.mark.parametrize("case", FIRING, ids=lambda case: case["id"])
def test_flags_give_what_the_oracle_says(case: dict[str, Any]) -> None:
    assert fires(*flags_of_case(case)) == case["expected_utc"]
    skipping = case.get("expected_utc_gap_skip", case["expected_utc"])
    assert fires(*flags_of_case(case), "--dst-gap", "Skip") == skipping


@pytest.mark.parametrize("case", [case for case in CASES if case.get("never")], ids=lambda case: case["id"])
def test_what_never_fires_is_refused_with_the_reason(case: dict[str, Any]) -> None:
    result = preview(*flags_of_case(case))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("--cron: Invalid value: ")
    assert "never fires: no year has such a day" in result.stderr


def test_dates_can_be_repeated_and_the_zone_has_two_names() -> None:
    rule = ["--rrule", "FREQ=DAILY;COUNT=4", "--dtstart", "2026-12-01T09:00:00", "--after", "2026-11-30T00:00:00Z"]
    dates = ["--exdate", "2026-12-02T09:00:00", "--exdate", "2026-12-03T09:00:00", "--rdate", "2026-12-05T12:00:00Z"]
    dates += ["--rdate", "2026-12-06T12:00:00"]
    expected = [f"2026-12-0{day}:00:00Z" for day in ("1T07", "4T07", "5T12", "6T10")]
    for zone in ("--tz", "--time-zone"):
        assert fires(*rule, *dates, zone, "Europe/Chisinau") == expected


def test_after_is_excluded_and_may_be_a_wall_time_of_the_zone() -> None:
    daily = ["--cron", "0 9 * * *", "--tz", "Europe/Chisinau", "-c", "1"]
    assert fires(*daily, "--after", "2026-12-01T07:00:00Z") == ["2026-12-02T07:00:00Z"]
    assert fires(*daily, "--after", "2026-12-01T06:59:59Z") == ["2026-12-01T07:00:00Z"]
    assert fires(*daily, "--after", "2026-12-01T08:59:59") == ["2026-12-01T07:00:00Z"]
    assert fires(*daily) == ["2026-11-24T07:00:00Z"]


def test_what_has_no_beginning_counts_from_now_or_from_an_earlier_after() -> None:
    every = ["--interval", "6h", "-c", "1"]
    assert fires(*every) == ["2026-11-23T18:00:30Z"]
    assert fires(*every, "--after", "2026-01-01T00:00:00Z") == ["2026-01-01T06:00:00Z"]
    assert fires(*every, "--after", "2027-01-01T00:00:00Z") == ["2027-01-01T00:00:30Z"]
    assert fires(*every, "--start", "2026-11-23T03:00:00Z") == ["2026-11-23T15:00:00Z"]
    assert fires("--rrule", "FREQ=HOURLY", "-c", "1") == ["2026-11-23T13:00:00Z"]


def test_start_and_end_bound_a_schedule() -> None:
    bounds = ["--start", "2026-12-24T00:00:00", "--end", "2026-12-25T00:00:00"]
    assert fires("--cron", "@daily", *bounds) == ["2026-12-24T00:00:00Z", "2026-12-25T00:00:00Z"]


def test_a_list_that_ends_says_so() -> None:
    once = preview("--at", "2027-01-01T00:00:00Z")
    assert (once.exit_code, once.stderr) == (0, "no further times\n")
    passed = preview("--at", "2020-01-01T00:00:00Z")
    assert (passed.exit_code, passed.stdout) == (0, "")
    assert passed.stderr == "the schedule will not fire: it has no times left\n"
    assert fires("--at", "2020-01-01T00:00:00Z") == []
    assert preview("--cron", "@daily", "-c", "3").stderr == ""


def test_a_task_with_triggers_only_says_what_it_waits_for() -> None:
    spec = {"pipelineRef": {"name": "triage"}, "triggers": [{"topic": "mail.received"}]}
    document = {"apiVersion": "ordinaut.io/v1alpha1", "kind": "Task", "metadata": {"name": "triage"}, "spec": spec}
    result = preview("-f", "-", given=yaml.safe_dump(document))
    assert result.exit_code == 0
    assert result.stderr == (
        "triage will not fire: it has no schedules: it runs on events (mail.received), and when somebody asks for it\n"
    )


def test_the_table_shows_the_wall_clock_and_what_became_of_it() -> None:
    berlin = ["--tz", "Europe/Berlin", "-c", "3"]
    assert rows("--cron", "30 2 * * *", *berlin, "--after", "2027-03-27T00:00:00Z") == [
        ["2027-03-27T01:30:00Z", "Sat 2027-03-27 02:30:00", "+01:00", "in 123d"],
        [
            "2027-03-28T01:00:00Z",
            "Sun 2027-03-28 03:00:00",
            "+02:00",
            "in 124d",
            "clocks have gone forward 1h; moved: 02:30 does not exist that day",
        ],
        ["2027-03-29T00:30:00Z", "Mon 2027-03-29 02:30:00", "+02:00", "in 125d"],
    ]
    back = rows("--cron", "30 * * * *", *berlin, "--after", "2027-10-31T00:00:00Z")
    assert [row[1:3] + row[4:] for row in back] == [
        ["Sun 2027-10-31 02:30:00", "+02:00", "the first of two 02:30 that day"],
        ["Sun 2027-10-31 02:30:00", "+01:00", "clocks have gone back 1h; the second of two 02:30 that day"],
        ["Sun 2027-10-31 03:30:00", "+01:00"],
    ]
    head = preview("--cron", "@daily", *berlin).stdout.splitlines()[0]
    assert "LOCAL (Europe/Berlin)" in head


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cron", "60 * * * *"], '--cron: Invalid value: "60 * * * *": the minute field'),
        (["--cron", "@daily", "--tz", "Europe/berlin"], '--tz: Invalid value: "Europe/berlin": not a time zone'),
        (["--cron", "@daily", "--dst-gap", "skip"], '--dst-gap: Unsupported value: "skip": supported values'),
        (["--interval", "5s"], '--interval: Invalid value: "5s": out of range: allowed is 10s to'),
        (["--at", "tomorrow"], '--at: Invalid value: "tomorrow": not a date and time; write it as'),
        (["--rrule", "FREQ=DAILY", "--exdate", "soon"], '--exdate: Invalid value: "soon": not a date and time'),
        (["--rrule", "FREQ=DAILY", "--rdate", "soon"], '--rdate: Invalid value: "soon": not a date and time'),
        (["--rrule", "FREQ=DAILY;UNTIL=20260101"], '--rrule: Invalid value: "FREQ=DAILY;UNTIL=20260101": never fires'),
        (["--cron", "@daily", "--dtstart", "2027-01-01T00:00:00"], "--dtstart: Invalid value: --dtstart, --exdate"),
        (
            ["--cron", "@daily", "--start", "2027-01-02T00:00:00Z", "--end", "2027-01-01T00:00:00Z"],
            "--end: Invalid value: --end must be later than --start; move one of them",
        ),
        (
            ["--cron", "@daily", "--after", "now"],
            '--after: Invalid value: "now": not a date and time; write it as 2027-03-01T09:00:00Z, or without the Z for'
            " the wall clock of --tz",
        ),
        (["-f", "-", "--after", "now"], '--after: Invalid value: "now": not a date and time; write it as 2027-03'),
        (["--cron", "@daily", "--after", "9999-12-31T00:00:00-12:00"], "--after: Invalid value: "),
        (["--cron", "@daily", "--after", "0001-01-01T00:00:00+12:00"], "--after: Invalid value: "),
        (["-f", "-", "--after", "2027-01-01T00:00:00"], "--after: Invalid value: "),
        (["--cron", ""], '--cron: Invalid value: "": should be at least 1 chars long'),
        ([], "name a TASK, or files with -f, or a schedule with one of --cron, --rrule, --interval and --at"),
        (["task", "-f", "-"], "TASK and -f: not together: "),
        (["task", "--cron", "@daily", "--tz", "UTC"], "TASK and --cron, --tz: not together: "),
        (["-f", "-", "--interval", "6h"], "-f and --interval: not together: "),
        (["--cron", "@daily", "--at", "2027-01-01T00:00:00Z"], "--cron and --at: not together; give one of "),
        (["--tz", "UTC", "--end", "2027-01-01T00:00:00Z"], "--tz, --end: of no schedule; give also one of "),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_mistake_names_the_flag_the_value_and_the_remedy(arguments: list[str], said: str) -> None:
    result = preview(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(said)
    assert len(result.stderr.splitlines()) == 1


def manifest(name: str, *schedules: dict[str, Any], namespace: str = "default", **spec: Any) -> str:
    step = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}
    document = {
        "apiVersion": "ordinaut.io/v1alpha1",
        "kind": "Task",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"schedules": [*schedules], "pipeline": {"steps": [step]}, **spec},
    }
    return f"---\n{yaml.safe_dump(document)}"


def test_files_are_told_alike_and_tasks_of_one_name_keep_apart() -> None:
    daily = manifest("daily", {"cron": "@daily"}), manifest("daily", {"cron": "@weekly"}, namespace="other")
    result = preview("-f", "-", "-c", "1", "-o", "json", "--after", "2026-12-24T00:00:00Z", given="".join(daily))
    assert json.loads(result.stdout) == {
        "tasks": [
            {"task": "daily", "fires": ["2026-12-25T00:00:00Z"]},
            {"task": "daily", "fires": ["2026-12-27T00:00:00Z"]},
        ]
    }


def test_a_rule_in_a_file_that_is_over_by_now_is_told_with_its_line() -> None:
    """It has no dtstart: whether it ever fires is known only with the time at which it is applied."""
    result = preview("-f", "-", given=manifest("past", {"rrule": "FREQ=DAILY;UNTIL=20260601T000000Z"}))
    assert result.exit_code == 2
    assert result.stderr.startswith("<stdin>:")
    assert "spec.schedules[0].rrule: Invalid value" in result.stderr
    assert "never fires" in result.stderr

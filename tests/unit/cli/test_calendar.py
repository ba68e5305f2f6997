"""``ordinaut calendar``: what tasks fire when and together, and how it is drawn."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer
import yaml
from click.testing import CliRunner, Result

from ordinaut.schedule.seconds import DAY, HOUR, instant_of
from ordinaut.schedule.zone import zone
from ordinaut_cli import timeline, times
from ordinaut_cli.agenda import MOST, MOST_COLLISIONS, Agenda, told
from ordinaut_cli.app import app
from ordinaut_cli.timeline import INK, PLAIN_INK, SIZES, Collision, Company, Track
from tests.timing import at_most
from tests.unit.cli.test_preview import manifest

NOW = datetime(2026, 11, 23, 12, 0, 0, 250_000, tzinfo=UTC)
START = NOW.replace(microsecond=0)
PROGRAM = typer.main.get_command(app)


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "now", lambda: NOW)


def calendar(*arguments: str, given: str, columns: int = 80) -> Result:
    words = ["calendar", "-f", "-", "--tz", "UTC", *arguments]
    return CliRunner(env={"COLUMNS": str(columns)}).invoke(PROGRAM, words, input=given)


def stored(name: str, *schedules: dict[str, Any], following: str | None, **status: Any) -> dict[str, Any]:
    """Return a task as the API sends it."""
    conditions = status.pop("conditions", [])
    return {
        "metadata": {"name": name, "creationTimestamp": "2026-11-23T00:00:07.125Z"},
        "spec": {"schedules": [*schedules]},
        "status": {"conditions": conditions, **({"nextScheduleTime": following} if following else {}), **status},
    }


def tracks_of(*tasks: dict[str, Any], days: float = 1) -> list[Track]:
    return Agenda(begin=START, end=START + timedelta(days=days)).stored(tasks)


def condition(type_: str, message: str) -> dict[str, Any]:
    return {"type": type_, "status": "False", "reason": "Because", "message": message}


def test_programs_get_times_and_collisions() -> None:
    files = manifest("one", {"cron": "0 * * * *"}) + manifest("two", {"at": "2026-11-23T15:00:00Z"})
    result = calendar("--days", "1", "-o", "json", given=files)
    assert result.exit_code == 0, result.stderr
    hours = [f"{START + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}" for hour in range(1, 25)]
    assert json.loads(result.stdout) == {
        "from": "2026-11-23T12:00:00Z",
        "to": "2026-11-24T12:00:00Z",
        "tasks": [
            {"task": "one", "fires": hours, "truncated": False},
            {"task": "two", "fires": ["2026-11-23T15:00:00Z"], "truncated": False},
        ],
        "collisions": [{"time": "2026-11-23T15:00:00Z", "tasks": ["one", "two"]}],
        "truncated": False,
    }
    assert yaml.safe_load(calendar("--days", "1", "-o", "yaml", given=files).stdout) == json.loads(result.stdout)


def test_people_get_a_drawing_of_it() -> None:
    files = "".join(
        [
            manifest("briefing", {"cron": "30 8 * * *"}),
            manifest("digest", {"cron": "30 8,17 * * *"}),
            manifest("asleep", {"cron": "@daily"}, suspend=True),
            manifest("by-hand"),
            manifest(
                "on-mail", triggers=[{"topic": "mail.*"}, {"topic": "mail.*", "if": "data"}, {"topic": "run.failed"}]
            ),
            manifest("quarterly", {"cron": "0 9 1 1,4,7,10 *"}),
        ]
    )
    result = calendar("--days", "2", given=files, columns=40)
    assert result.exit_code == 0, result.stderr
    assert [line.rstrip() for line in result.stdout.splitlines()] == [
        "Mon 2026-11-23 12:00:00 to Wed 2026-11-25 12:00:00 in UTC, a column is 2h",
        "",
        "                Tue 24      Wed 25",
        "          12 18 00 06 12 18 00 06",
        "briefing        │   ·       │   ·",
        "digest      ·   │   ·   ·   │   ·",
        "at once         │   2       │   2",
        "",
        "times in a column: · 1   ▂ 2-9   ▅ 10-59   █ 60 or more",
        "",
        "at once, the worst (2 moments in all):",
        "TASKS   MOMENTS   FIRST                     NAMES",
        "2       2         Tue 2026-11-24 08:30:00   briefing, digest",
        "",
        "TASK        NOTE",
        "asleep      spec.suspend is true",
        "by-hand     it has no schedules: it runs when somebody asks for it",
        "on-mail     it has no schedules: it runs on events (mail.*, run.failed), and when somebody asks for it",
        "quarterly   its next time is 2027-01-01T09:00:00Z",
    ]
    assert "\x1b" not in result.stdout


def test_tasks_of_several_namespaces_are_named_with_theirs() -> None:
    both = manifest("daily", {"cron": "@daily"}), manifest("daily", {"cron": "@daily"}, namespace="other")
    found = json.loads(calendar("-o", "json", "--days", "1", given="".join(both)).stdout)
    assert [one["task"] for one in found["tasks"]] == ["default/daily", "other/daily"]


@pytest.mark.parametrize("days", ["0", "367", "-1", "x"])
def test_the_days_have_bounds(days: str) -> None:
    assert calendar("--days", days, given=manifest("one", {"cron": "@daily"})).exit_code == 2


def test_a_zone_that_is_none_is_refused() -> None:
    result = CliRunner().invoke(PROGRAM, ["calendar", "-f", "-", "--tz", "europe/berlin"])
    assert result.exit_code == 2
    assert result.stderr.startswith('--tz: Invalid value: "europe/berlin": not a time zone')


def test_a_stored_task_counts_from_its_creation_and_its_stored_next_time() -> None:
    (track,) = tracks_of(stored("every", {"interval": "6h"}, following="2026-11-23T18:00:07Z"))
    assert [instant - instant_of(START) for instant in track.fires] == [6 * HOUR + 7, 12 * HOUR + 7, 18 * HOUR + 7]


def test_a_time_that_is_overdue_is_none_to_come() -> None:
    (track,) = tracks_of(stored("late", {"cron": "0 * * * *"}, following="2026-11-23T11:00:00Z"), days=0.1)
    assert [*track.fires] == [instant_of(START) + HOUR, instant_of(START) + 2 * HOUR]


def test_a_snoozed_task_fires_when_the_snooze_ends() -> None:
    snooze = {"until": "2026-11-23T20:30:00.000Z", "by": "alice"}
    (track,) = tracks_of(stored("s", {"cron": "0 * * * *"}, following="2026-11-23T20:30:00Z", snooze=snooze), days=0.4)
    assert [instant - instant_of(START) for instant in track.fires] == [8.5 * HOUR, 9 * HOUR]
    assert track.note == "alice snoozed it until 2026-11-23T20:30:00.000Z"


def test_tasks_that_do_not_fire_say_why() -> None:
    hourly = {"cron": "0 * * * *"}
    tracks = tracks_of(
        stored("paused", hourly, following=None, conditions=[condition("Scheduled", "bob paused it")]),
        stored("later", {"cron": "0 0 1 1 *"}, following="2027-01-01T00:00:00Z"),
        stored("unready", hourly, following="2026-11-23T13:00:00Z", conditions=[condition("Ready", "no Tool x")]),
        stored("newer", {"moon": "full"}, following="2026-11-23T13:00:00Z"),
    )
    assert [(track.task, len(track.fires), track.note) for track in tracks] == [
        ("paused", 0, "bob paused it"),
        ("later", 0, "its next time is 2027-01-01T00:00:00Z"),
        ("unready", 24, "its times are skipped while it is not ready: no Tool x"),
        ("newer", 0, "its schedules are of a newer release than this program"),
    ]


def test_a_task_that_fires_too_often_is_cut_and_says_so() -> None:
    (track,) = tracks_of(stored("often", {"interval": "10s"}, following="2026-11-23T12:00:07Z"), days=3)
    assert (len(track.fires), track.truncated) == (MOST, True)
    assert track.note == f"more than {MOST:,} times, of which those to 2026-11-24T15:59:57Z count"
    (whole,) = tracks_of(stored("whole", {"interval": "10s"}, following="2026-11-23T12:00:07Z"))
    assert (len(whole.fires), whole.truncated, whole.note) == (8_640, False, "")


def test_a_thousand_tasks_cost_no_more_than_their_times() -> None:
    schedules = [{"cron": f"{number % 60} {number % 24} * * *"} for number in range(1000)]
    tasks = [
        stored(f"t{number:04}", schedule, following="2026-11-23T11:00:00Z") for number, schedule in enumerate(schedules)
    ]
    tasks += [stored(f"m{number}", {"cron": "* * * * *"}, following="2026-11-23T11:00:00Z") for number in range(20)]
    before = time.process_time()
    agenda = Agenda(begin=START, end=START + timedelta(days=7))
    tracks = agenda.stored(tasks)
    found = timeline.collisions(tracks)
    axis = timeline.axis(zone("Europe/Chisinau"), begin=instant_of(START), end=instant_of(agenda.end), columns=60)
    lines = timeline.draw(tracks, found, axis, ink=INK, names=12)
    assert time.process_time() - before < at_most(2)
    assert len(lines) == 2 + 1020 + 1
    assert max(len(one.tasks) for one in found) == 20 + 1000 // 120 + 1
    programs = told(tracks, found, agenda)
    assert len(programs["collisions"]) == MOST_COLLISIONS < len(found)
    assert programs["truncated"] is True


def test_the_collisions_of_the_most_tasks_are_kept_for_programs() -> None:
    many = [Collision(instant, ("a", "b")) for instant in range(MOST_COLLISIONS)]
    found = told([], [*many, Collision(MOST_COLLISIONS, ("a", "b", "c"))], Agenda(begin=START, end=START))
    assert len(found["collisions"]) == MOST_COLLISIONS
    assert found["collisions"][-1]["tasks"] == ["a", "b", "c"]
    assert found["truncated"] is True


def test_who_fires_together_is_told_once_the_most_tasks_first() -> None:
    tracks = [Track("a", [1, 2, 3, 9]), Track("b", [1, 2, 3]), Track("c", [3, 4, 9]), Track("d", [4])]
    found = timeline.collisions(tracks)
    assert [one.instant for one in found] == [1, 2, 3, 4, 9]
    assert timeline.worst(found, limit=10) == [
        Company(("a", "b", "c"), 1, 3),
        Company(("a", "b"), 2, 1),
        Company(("c", "d"), 1, 4),
        Company(("a", "c"), 1, 9),
    ]
    assert len(timeline.worst(found, limit=2)) == 2


@pytest.mark.parametrize("days", [1, 2, 3, 7, 14, 30, 90, 366])
@pytest.mark.parametrize("columns", [20, 60, 200])
def test_columns_fit_and_hold_every_time(days: int, columns: int) -> None:
    begin = instant_of(START)
    axis = timeline.axis(zone("Europe/Berlin"), begin=begin, end=begin + days * DAY, columns=columns)
    assert axis.columns <= columns or axis.size == SIZES[-1]
    assert len(axis.starts()) == axis.columns
    every = range(begin + 1, begin + days * DAY + 1, 997)
    places = [column for _, column in axis.placed(every)]
    assert len(places) == len(every)
    assert places == sorted(places)
    assert {places[0], places[-1]} <= set(range(axis.columns))


@pytest.mark.parametrize("columns", [20, 33, 68, 200])
def test_any_number_of_days_has_dates_that_fit(columns: int) -> None:
    begin, here = instant_of(START), zone("Europe/Berlin")
    for days in range(1, 367):
        axis = timeline.axis(here, begin=begin, end=begin + days * DAY, columns=columns)
        upper, lower, *_ = timeline.draw([], [], axis, ink=INK, names=0)
        assert upper.strip(), days
        assert lower.strip(), days
        assert max(len(upper), len(lower)) <= axis.columns


def test_where_a_day_is_two_columns_there_is_no_room_for_hours() -> None:
    begin = instant_of(START)
    axis = timeline.axis(zone("UTC"), begin=begin, end=begin + 12 * DAY, columns=25)
    assert axis.size == 12 * HOUR
    upper, lower, *_ = timeline.draw([], [], axis, ink=INK, names=0)
    assert (upper, lower) == ("Nov            Dec", " 24  26  28  30  02  04")


def test_columns_follow_the_wall_clock_when_it_changes() -> None:
    berlin = zone("Europe/Berlin")
    begin = instant_of(datetime(2027, 3, 27, 23, tzinfo=UTC))
    axis = timeline.Axis(berlin, begin, begin + 23 * HOUR, HOUR)
    hours = [column for _, column in axis.placed([begin + hour * HOUR for hour in range(24)])]
    assert hours == [0, 1, *range(3, 25)]


def test_a_terminal_without_such_characters_gets_others_and_a_narrow_one_still_something() -> None:
    begin = instant_of(START)
    tracks = [Track("a-name-that-is-much-too-long-for-it", [begin + 60, begin + HOUR, begin + HOUR + 1])]
    names = timeline.name_width(tracks, width=10)
    axis = timeline.axis(zone("UTC"), begin=begin, end=begin + DAY, columns=timeline.room(names, width=10))
    lines = timeline.draw(tracks, [], axis, ink=PLAIN_INK, names=names)
    assert max(map(len, lines)) <= 40
    assert lines[2].startswith("a-name-that")
    assert timeline.legend(PLAIN_INK) == ". 1   - 2-9   = 10-59   # 60 or more"
    assert lines[2].split("  ", 1)[1].strip() == ".-          |"

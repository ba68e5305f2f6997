"""Rows as objects: what the API tells of tasks and runs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from ordinaut.resources.status import TaskPhase
from ordinaut.states import RunPhase, StepPhase
from ordinaut.store.runs import Run, Step
from ordinaut.store.status import DeclaredRow
from ordinaut_api import answers, objects, pages
from tests.unit.rows import QUIET_TASK

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
RUN_ID = UUID("01a20673-2d1e-7360-8000-fa4fd7c21cf9")

RUN = Run(
    run_id=RUN_ID,
    namespace="default",
    task="briefing",
    task_id=1,
    trigger="schedule",
    scheduled_at=NOW.replace(microsecond=0),
    priority=5,
    phase="Running",
    attempt=1,
    created_at=NOW,
    started_at=NOW,
    finished_at=None,
    params={"a": None},
    output=None,
    reason=None,
    error=None,
    revision="00",
    worker="w",
)
TASK = replace(
    QUIET_TASK,
    origin="API",
    uid="u",
    updated_at=NOW,
    spec={"schedules": [{"cron": "0 * * * *", "timeZone": "Europe/Chisinau"}]},
    anchor=NOW,
    message="",
    next_fire_at=NOW + timedelta(hours=1),
    evaluated_at=NOW,
    now=NOW,
)


def step(seq: int, phase: StepPhase, *, attempt: int = 1) -> Step:
    finished = None if phase is StepPhase.WAITING else NOW
    return Step(seq, 0, f"s{seq}", phase, attempt, NOW, finished, None, None)


def shown(rows: list[Step], phase: RunPhase) -> list[tuple[str, str, int]]:
    found = objects.steps(rows, run=replace(RUN, phase=phase), planned=["s0", "s1", "s2"])
    return [(one.id, one.phase.value, one.attempt) for one in found]


def test_steps_to_come_are_pending_and_the_first_of_them_runs_under_a_lease() -> None:
    done = step(0, StepPhase.SUCCEEDED)
    assert shown([], RunPhase.PENDING) == [("s0", "Pending", 0), ("s1", "Pending", 0), ("s2", "Pending", 0)]
    assert shown([done], RunPhase.RUNNING) == [("s0", "Succeeded", 1), ("s1", "Running", 0), ("s2", "Pending", 0)]
    assert shown([done], RunPhase.PENDING) == [("s0", "Succeeded", 1), ("s1", "Pending", 0), ("s2", "Pending", 0)]


def test_a_step_that_waits_for_its_retry_runs_again_under_a_lease() -> None:
    waiting = step(0, StepPhase.WAITING, attempt=2)
    assert shown([waiting], RunPhase.WAITING)[0] == ("s0", "Waiting", 2)
    assert shown([waiting], RunPhase.RUNNING) == [("s0", "Running", 3), ("s1", "Pending", 0), ("s2", "Pending", 0)]


@pytest.mark.parametrize("phase", [RunPhase.FAILED, RunPhase.CANCELLED, RunPhase.TIMED_OUT, RunPhase.PARKED])
def test_a_run_that_is_over_shows_only_what_happened(phase: RunPhase) -> None:
    assert shown([step(0, StepPhase.FAILED)], phase) == [("s0", "Failed", 1)]


def test_times_are_written_with_the_precision_that_they_have() -> None:
    text = objects.run(RUN).model_dump_json(exclude_none=True)
    assert '"scheduledTime":"2026-03-01T12:00:00Z"' in text
    assert '"startTime":"2026-03-01T12:00:00.123Z"' in text
    assert '"params":{"a":null}' in text
    assert "completionTime" not in text


@pytest.mark.parametrize(
    ("change", "phase"),
    [
        ({}, TaskPhase.SCHEDULED),
        ({"active": 1}, TaskPhase.RUNNING),
        ({"ready": False, "active": 1}, TaskPhase.NOT_READY),
        ({"next_fire_at": None}, TaskPhase.IDLE),
        ({"next_fire_at": None, "spec": {"suspend": True}}, TaskPhase.SUSPENDED),
    ],
)
def test_a_task_stands_in_one_phase(change: dict[str, Any], phase: TaskPhase) -> None:
    assert objects.task(replace(TASK, **change)).status.phase is phase


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, "Scheduled"),
        ({"next_fire_at": None, "spec": {}, "invalid": "wrong"}, "InvalidSpec"),
        ({"next_fire_at": None, "spec": {"suspend": True}}, "Suspended"),
        ({"next_fire_at": None, "spec": {}}, "NoSchedules"),
        ({"next_fire_at": None}, "NoFutureFirings"),
    ],
)
def test_the_condition_scheduled_says_why(change: dict[str, Any], reason: str) -> None:
    scheduled = objects.task(replace(TASK, **change)).status.conditions[1]
    assert (scheduled.type, scheduled.reason) == ("Scheduled", reason)
    assert scheduled.status == ("True" if reason == "Scheduled" else "False")


def test_a_pipeline_is_ready_when_its_tools_are() -> None:
    spec = {"steps": [{"id": "a", "uses": "mail"}, {"id": "b", "uses": "std.log"}, {"id": "c", "uses": "odd"}]}
    row = DeclaredRow(
        namespace="default",
        name="p",
        origin="API",
        uid="u",
        generation=1,
        version=1,
        labels={},
        annotations={},
        spec=spec,
        invalid=None,
        created_at=NOW,
        updated_at=NOW,
    )

    def ready(tools: dict[tuple[str, str], str | None]) -> tuple[str, str]:
        (condition,) = objects.pipeline(row, tools=tools).status.conditions
        return condition.status, condition.message

    usable, broken, missing = None, "wrong", {}
    assert ready({("default", "mail"): usable, ("default", "odd"): usable})[0] == "True"
    assert ready({("default", "mail"): usable, ("default", "odd"): broken})[0] == "False"
    assert ready(missing) == ("False", "missing or not valid: Tool mail, odd; apply it")


def test_a_cursor_leads_back_to_its_place_only() -> None:
    cursor = pages.encode("default/tasks", "name")
    assert pages.decode(cursor, list_name="default/tasks", read=str) == "name"
    assert pages.decode(None, list_name="default/tasks", read=str) is None


async def test_a_run_written_step_by_step_is_the_run_written_at_once() -> None:
    rows = [replace(step(number, StepPhase.SUCCEEDED), output={"n": number, "none": None}) for number in range(3)]
    view = objects.run(replace(RUN, output=[1]), steps=objects.steps(rows, run=RUN, planned=["s0", "s1", "s2"]))
    assert orjson.loads(await answers.run_content(view)) == orjson.loads(answers.content(view))

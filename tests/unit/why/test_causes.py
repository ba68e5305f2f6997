"""What holds for all answers: there always is a cause, and no cause is a word that nobody uses."""

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import ordinaut.why
from ordinaut.causes import Cause
from ordinaut.store.why import TaskFacts
from ordinaut.why import of_task
from tests.unit.why.facts import ALONE, NOW, RUN, ago, task, unfinished

SOURCES = Path(ordinaut.why.__file__).parent.glob("*.py")

READY: list[dict[str, Any]] = [
    {},
    {"ready": False, "reason": "Pending"},
    {"ready": False, "reason": "ToolNotFound"},
    {"ready": False, "reason": "PipelineNotFound"},
    {"ready": False, "reason": "InvalidSpec", "invalid": "spec.x: wrong"},
]
SPECS: list[dict[str, Any]] = [{}, {"suspend": True}, {"schedules": [{"cron": "0 9 * * *"}]}]
OVERLAYS: list[dict[str, Any]] = [
    {},
    {"paused_at": ago(hours=1), "paused_by": "ada"},
    {"snoozed_until": NOW, "snoozed_by": "ada"},
    {"creator": "ada", "unauthorized_at": ago(hours=1)},
]
DUE = [None, NOW, ago(hours=1)]
RUNS: list[dict[str, Any]] = [{}, {"active": 1, "run_id": RUN, "run_phase": "Running"}]


def tasks() -> list[TaskFacts]:
    """Return tasks in all the states that these make."""
    rows = [
        {**ready, "spec": spec, **overlay, "next_fire_at": due, **run}
        for ready, spec, overlay, due, run in itertools.product(READY, SPECS, OVERLAYS, DUE, RUNS)
    ]
    found = [task(**row) for row in rows]
    return [replace(one, unfinished=[unfinished()] if one.row.active else []) for one in found]


def test_every_task_has_a_decisive_cause() -> None:
    for facts in tasks():
        found = of_task(facts)
        assert found.summary.endswith(f": {found.because[0].message}")


def test_what_is_lacking_but_not_known_by_name_is_still_told() -> None:
    facts = task(ready=False, reason="PipelineNotFound", message="there is no Pipeline default/scan; apply it")
    cause = of_task(replace(facts, around=replace(ALONE, pipeline_ref=None))).because[0]
    assert (cause.reason, cause.action and cause.action.command) == (
        Cause.PIPELINE_MISSING,
        "apply -f TASK.yaml -n default",
    )


def test_every_cause_is_told_by_somebody() -> None:
    told = {name for path in SOURCES for name in re.findall(r"Cause\.([A-Z_]+)", path.read_text(encoding="utf-8"))}
    assert told == {cause.name for cause in Cause}

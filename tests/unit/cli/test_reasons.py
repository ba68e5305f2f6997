"""Why a task runs or does not, and where a run is: from the API's objects to findings."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ordinaut.states import RunPhase, SkipReason
from ordinaut_cli import reasons
from ordinaut_cli.commands.why import parse_subject
from ordinaut_cli.errors import CommandError
from ordinaut_cli.findings import Finding, Weight
from ordinaut_cli.reasons import RunFacts, TaskFacts

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
NEXT = "2026-11-23T09:30:00Z"


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


READY = condition("Ready", "True", "Resolved")
SCHEDULED = condition("Scheduled", "True", "Scheduled")


def task(*conditions: dict[str, str], spec: dict[str, Any] | None = None, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "team-a", "name": "brief", "origin": "Kubernetes"},
        "spec": spec or {},
        "status": {"phase": "Scheduled", "conditions": list(conditions or (READY, SCHEDULED)), "active": 0, **status},
    }


def run(phase: str, *steps: dict[str, Any], created: str = "2026-11-23T08:59:00Z", **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "team-a", "name": "0198", "creationTimestamp": created},
        "spec": {"task": "brief", "trigger": "schedule"},
        "status": {"phase": phase, "attempt": 1, "steps": list(steps), **status},
    }


def told(found: list[Finding], weight: Weight | None = None) -> list[str]:
    return [f"{one.text} → {one.command}" for one in found if weight in {None, one.weight}]


def of_task(given: dict[str, Any], weight: Weight | None = None, **more: Any) -> list[str]:
    return told(reasons.of_task(TaskFacts(given, NOW, **more)), weight)


def of_run(given: dict[str, Any], **more: Any) -> list[str]:
    return told(reasons.of_run(RunFacts(given, NOW, **more)))


def test_a_task_that_will_run_says_when() -> None:
    last = run("Succeeded", completionTime="2026-11-23T08:30:00Z")
    assert of_task(task(nextScheduleTime=NEXT), runs=[last], last=last) == [
        f"its next time is {NEXT} (in 30m) → ordinaut preview brief -n team-a",
        "its last run 0198 succeeded 30m ago → ordinaut logs 0198 -n team-a",
    ]


@pytest.mark.parametrize(
    ("given", "finding"),
    [
        (
            task(condition("Ready", "False", "PipelineNotFound", "there is no Pipeline team-a/scan"), SCHEDULED),
            "it is not ready, so nothing of it starts: PipelineNotFound: there is no Pipeline team-a/scan"
            " → ordinaut apply -f PIPELINE.yaml -n team-a",
        ),
        (
            task(condition("Ready", "False", "InvalidParams", "params.city: missing"), SCHEDULED),
            "it is not ready, so nothing of it starts: InvalidParams: params.city: missing"
            " → ordinaut get task brief -o yaml -n team-a",
        ),
        (
            task(READY, SCHEDULED, condition("Authorized", "False", "CreatorRevoked", "since 08:00 ada may not")),
            "its times are skipped: since 08:00 ada may not → ordinaut audit --decision Denied -n team-a",
        ),
        (
            task(
                READY,
                condition("Scheduled", "False", "Paused"),
                pause={"since": "2026-11-23T07:00:00Z", "by": "kubernetes:ada"},
            ),
            "it is paused since 2026-11-23T07:00:00Z (2h ago) by kubernetes:ada: its schedules do not fire"
            " → ordinaut resume brief -n team-a",
        ),
        (
            task(
                READY,
                condition("Scheduled", "True", "Snoozed"),
                snooze={"until": "2026-11-23T10:00:00Z", "by": "kubernetes:ada"},
                nextScheduleTime="2026-11-23T08:00:00Z",
            ),
            "it is snoozed until 2026-11-23T10:00:00Z (in 1h) by kubernetes:ada: nothing starts before"
            " → ordinaut resume brief -n team-a",
        ),
        (
            task(READY, condition("Scheduled", "False", "Suspended")),
            "spec.suspend is true: its schedules do not fire"
            " → kubectl -n team-a edit otask brief   # spec.suspend: false",
        ),
        (
            task(nextScheduleTime="2026-11-23T08:58:00Z"),
            "its time 2026-11-23T08:58:00Z has been due for 2m and nobody has fired it: no operator is at work, or it"
            " can't reach the database → kubectl ordinaut status",
        ),
    ],
)
def test_what_keeps_a_task_from_running_is_told_with_the_next_command(given: dict[str, Any], finding: str) -> None:
    assert finding in of_task(given, Weight.BAD)


def test_a_snoozed_task_is_not_one_that_nobody_fires() -> None:
    snoozed = task(
        READY,
        condition("Scheduled", "True", "Snoozed"),
        snooze={"until": NEXT, "by": "ada"},
        nextScheduleTime="2026-11-23T08:00:00Z",
    )
    assert not any("nobody has fired" in line for line in of_task(snoozed))


@pytest.mark.parametrize("reason", ["NoSchedules", "NoFutureFirings"])
def test_a_task_without_times_is_run_by_hand(reason: str) -> None:
    found = of_task(task(READY, condition("Scheduled", "False", reason)), Weight.NOTE)
    assert found[0].endswith(" → ordinaut run brief -n team-a")
    assert found[1].startswith("it has never run")


@pytest.mark.parametrize("reason", list(SkipReason))
def test_every_reason_for_a_skip_has_its_sentence(reason: SkipReason) -> None:
    fires = [{"outcome": "Skipped", "reason": reason.value, "scheduledTime": "2026-11-23T08:30:00Z"}]
    (line,) = [one for one in of_task(task(nextScheduleTime=NEXT), fires=fires) if "skipped" in one]
    assert line.startswith(f"its latest time, 2026-11-23T08:30:00Z, was skipped ({reason.value}): ")
    assert f": {reason.value} →" not in line
    assert line.endswith(" → ordinaut fires brief -n team-a")


def test_skips_count_until_a_time_was_fired() -> None:
    def fire(outcome: str, reason: str | None = None) -> dict[str, Any]:
        return {"outcome": outcome, "reason": reason, "scheduledTime": "2026-11-23T08:30:00Z"}

    late = [fire("Skipped", "NotReady")] * 3 + [fire("Fired"), fire("Skipped", "Unauthorized")]
    found = [one for one in of_task(task(), fires=late) if "skipped" in one]
    assert [line.partition(":")[0] for line in found] == ["its 3 latest times were skipped (NotReady)"]
    assert not any("skipped" in one for one in of_task(task(), fires=[fire("Fired"), fire("Skipped", "NotReady")]))


def test_an_active_run_forbids_the_next_one_only_if_the_policy_says_so() -> None:
    active = run("Running", worker="worker-0")
    forbid = of_task(task(spec={"concurrencyPolicy": "Forbid"}), runs=[active], last=active)
    assert (
        "run 0198 is Running for 1m, and concurrencyPolicy is Forbid: times that come meanwhile are skipped"
        in forbid[0]
    )
    assert of_task(task(), runs=[active], last=active) == [
        "run 0198 is Running for 1m → ordinaut why run 0198 -n team-a"
    ]


def test_a_run_that_waits_for_a_worker_tells_whether_any_is_seen() -> None:
    pending = run("Pending")
    assert of_run(pending) == [
        "run 0198 has waited 1m for a worker: no worker is seen at work here → kubectl ordinaut status"
    ]
    busy = [run("Running", worker="worker-1"), run("Running", worker="worker-0")]
    assert "those seen at work here (worker-0, worker-1) have no slot free" in of_run(pending, at_work=busy)[0]
    fresh = run("Pending", created="2026-11-23T08:59:57Z")
    assert of_run(fresh) == ["it is in the queue for 3s: a worker takes it any moment → "]


STEPS = (
    {"id": "fetch", "phase": "Succeeded", "attempt": 1},
    {"id": "sum", "index": 2, "phase": "Failed", "attempt": 3, "error": "status 500"},
)


def test_a_failed_run_tells_its_step_and_error() -> None:
    assert of_run(run("Failed", *STEPS, reason="StepFailed", error="step sum failed")) == [
        "it ended as Failed (StepFailed): step sum[2]: status 500 → ordinaut logs 0198 -n team-a",
        "try it again → ordinaut retry 0198 -n team-a",
    ]


def test_a_run_at_work_tells_where_it_is() -> None:
    step = {"id": "sum", "phase": "Running", "attempt": 1}
    assert of_run(run("Running", step, worker="worker-0", startTime="2026-11-23T08:59:30Z", attempt=2)) == [
        "it runs on worker worker-0, step sum; it began 30s ago → ordinaut logs -f 0198 -n team-a",
        "it was given to workers 2 times: those before were lost → kubectl ordinaut status",
    ]


def test_a_run_that_is_tried_again_tells_what_failed() -> None:
    step = {"id": "call", "phase": "Waiting", "attempt": 2, "error": "timed out"}
    assert of_run(run("Waiting", step, reason="Retry"))[0].startswith(
        "step call failed and is tried again; try 2: timed out → "
    )


def test_a_run_that_waits_for_its_turn_names_the_one_before_it() -> None:
    before = run("Running")
    before["metadata"]["name"] = "before"
    waiting = run("Waiting", reason="Turn")
    (line,) = of_run(waiting, at_work=[before])
    assert line.startswith("it waits for its turn: run before of its task is under way → ordinaut why run before")
    (line,) = of_run(waiting)
    assert line.startswith("it waits for its turn behind other runs of its task → ordinaut runs --task ")


def test_a_run_that_starts_later_by_jitter_says_so() -> None:
    (line,) = of_run(run("Waiting", reason="Jitter"))
    assert line.startswith("by the jitter of its task it starts a little later than its time")


@pytest.mark.parametrize("phase", list(RunPhase))
def test_every_phase_of_a_run_says_something(phase: RunPhase) -> None:
    status = {"startTime": "2026-11-23T08:59:30Z", "completionTime": "2026-11-23T08:59:40Z", "reason": "Requested"}
    assert of_run(run(phase.value, **status))


def test_the_plugin_says_kubectl() -> None:
    (line,) = of_run(run("Succeeded", startTime=NEXT, completionTime=NEXT), program="kubectl ordinaut")
    assert line == "it succeeded in 0ms → kubectl ordinaut logs 0198 -n team-a"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["brief"], ("task", None, "brief")),
        (["team-a/brief"], ("task", "team-a", "brief")),
        (["task", "brief"], ("task", None, "brief")),
        (["run", "0198"], ("run", None, "0198")),
        (["run", "team-a/0198"], ("run", "team-a", "0198")),
        (["run"], ("task", None, "run")),
    ],
)
def test_what_is_meant(words: list[str], meant: tuple[str, str | None, str]) -> None:
    assert parse_subject(words) == meant


def test_too_many_words_are_wrong() -> None:
    with pytest.raises(CommandError, match="write TASK, NAMESPACE/TASK, or run RUN"):
        parse_subject(["a", "b"])

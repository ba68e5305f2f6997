"""What a status says, and that it says the same as long as nothing happens."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from ordinaut.resources.status import HookStatus, PipelineStatus, TaskStatus, ToolStatus
from ordinaut.states import Origin
from ordinaut.store import status as rows
from ordinaut.store.declared import Key, Owner
from ordinaut_operator.status import desired, difference
from ordinaut_operator.status.observed import Observed, Statuses, digest_of, observe
from tests.unit.rows import QUIET_TASK

NOW = datetime(2026, 3, 2, 7, 0, 0, 123456, tzinfo=UTC)
NEXT = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
RUN = UUID("0195554f-0000-7000-8000-000000000001")

TASK = replace(
    QUIET_TASK,
    origin="Kubernetes",
    uid="u1",
    updated_at=NOW,
    spec={"schedules": [{"cron": "30 8 * * 1-5"}], "pipelineRef": {"name": "brief"}},
    anchor=datetime(2026, 1, 1, tzinfo=UTC),
    message="the pipeline and its tools are there",
    next_fire_at=NEXT,
    evaluated_at=NOW - timedelta(days=1),
    now=NOW,
)
UNSEEN = Observed(uid="u1", generation=3, version=1, digest=b"")


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}


def seen(status: dict[str, Any], *, version: int = 1) -> Observed:
    """The status as the watch brings it back."""
    metadata = {"uid": "u1", "generation": 3, "resourceVersion": str(version)}
    return observe({"kind": "Task", "metadata": metadata, "status": status})


def test_the_status_of_a_task_that_waits_for_its_time() -> None:
    assert desired.task_status(TASK, observed=UNSEEN) == {
        "observedGeneration": 3,
        "phase": "Scheduled",
        "schedule": "30 8 * * 1-5",
        "timeZone": "UTC",
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "observedGeneration": 3,
                "lastTransitionTime": "2026-03-02T07:00:00Z",
                "reason": "Resolved",
                "message": "the pipeline and its tools are there",
            },
            {
                "type": "Scheduled",
                "status": "True",
                "observedGeneration": 3,
                "lastTransitionTime": "2026-03-02T07:00:00Z",
                "reason": "Scheduled",
                "message": "the schedules will fire again",
            },
        ],
        "nextScheduleTime": "2026-03-02T08:30:00Z",
        "upcoming": [f"2026-03-0{day}T08:30:00Z" for day in (2, 3, 4, 5, 6)],
    }


def test_a_status_that_was_written_is_not_written_again_however_late_it_is_looked_at() -> None:
    written = desired.task_status(TASK, observed=UNSEEN)
    for minutes in (1, 30, 89):
        later = replace(TASK, now=NOW + timedelta(minutes=minutes))
        assert digest_of(desired.task_status(later, observed=seen(written))) == seen(written).digest


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    written = desired.task_status(TASK, observed=UNSEEN)
    broken = replace(TASK, ready=False, reason="PipelineNotFound", message="apply it", now=NOW + timedelta(hours=1))
    then = desired.task_status(broken, observed=seen(written))
    assert [one["lastTransitionTime"] for one in then["conditions"]] == ["2026-03-02T08:00:00Z", "2026-03-02T07:00:00Z"]
    other_reason = replace(broken, reason="ToolNotFound", now=NOW + timedelta(hours=2))
    again = desired.task_status(other_reason, observed=seen(then))
    assert again["conditions"][0]["lastTransitionTime"] == "2026-03-02T08:00:00Z"


@pytest.mark.parametrize(
    ("change", "phase", "scheduled"),
    [
        ({"ready": False, "reason": "PipelineNotFound"}, "NotReady", ("True", "Scheduled")),
        ({"active": 1}, "Running", ("True", "Scheduled")),
        ({"next_fire_at": None, "spec": TASK.spec | {"suspend": True}}, "Suspended", ("False", "Suspended")),
        ({"next_fire_at": None, "spec": {"pipelineRef": {"name": "brief"}}}, "Idle", ("False", "NoSchedules")),
        ({"next_fire_at": None}, "Idle", ("False", "NoFutureFirings")),
        (
            {"next_fire_at": None, "spec": {}, "invalid": "…", "ready": False, "reason": "InvalidSpec"},
            "NotReady",
            ("False", "InvalidSpec"),
        ),
    ],
)
def test_phase_and_scheduled_say_what_a_task_waits_for(
    change: dict[str, Any], phase: str, scheduled: tuple[str, str]
) -> None:
    status = desired.task_status(replace(TASK, **change), observed=UNSEEN)
    assert (status["phase"], conditions(status)["Scheduled"]) == (phase, scheduled)


LISTENER: dict[str, Any] = {"triggers": [{"topic": "mail.*"}, {"topic": "run.failed"}, {"topic": "mail.*", "if": "a"}]}


@pytest.mark.parametrize(
    ("change", "phase", "triggered"),
    [
        ({}, "Listening", ("True", "Listening")),
        ({"next_fire_at": NOW}, "Scheduled", ("True", "Listening")),
        ({"snoozed_until": NOW + timedelta(hours=1), "snoozed_by": "ada"}, "Snoozed", ("True", "Snoozed")),
        ({"paused_at": NOW, "paused_by": "ada"}, "Paused", ("False", "Paused")),
        ({"spec": {**LISTENER, "suspend": True}}, "Suspended", ("False", "Suspended")),
        ({"looped_at": NOW}, "Listening", ("False", "HopLimit")),
    ],
)
def test_a_task_with_triggers_says_whether_events_make_it_run(
    change: dict[str, Any], phase: str, triggered: tuple[str, str]
) -> None:
    quiet = replace(TASK, spec=LISTENER, next_fire_at=None)
    status = desired.task_status(replace(quiet, **change), observed=UNSEEN)
    assert (status["phase"], conditions(status)["Triggered"]) == (phase, triggered)


def test_triggers_that_can_not_be_used_are_not_read() -> None:
    broken = replace(TASK, spec={"triggers": "none"}, invalid="…", ready=False, reason="InvalidSpec")
    assert "Triggered" not in conditions(desired.task_status(broken, observed=UNSEEN))
    assert "Triggered" not in conditions(desired.task_status(TASK, observed=UNSEEN))


def test_topics_are_named_once_each() -> None:
    status = desired.task_status(replace(TASK, spec=LISTENER, next_fire_at=None), observed=UNSEEN)
    (message,) = [one["message"] for one in status["conditions"] if one["type"] == "Triggered"]
    assert message == "events make it run: mail.*, run.failed"


def test_the_last_run_is_told_with_its_times_and_why_it_failed() -> None:
    failed = replace(
        TASK,
        run_id=RUN,
        run_phase="Failed",
        run_trigger="schedule",
        run_scheduled_at=NOW,
        run_started_at=NOW + timedelta(seconds=1),
        run_finished_at=NOW + timedelta(seconds=9),
        run_reason="StepFailed",
        last_schedule_at=NOW,
    )
    status = desired.task_status(failed, observed=UNSEEN)
    assert status["lastRun"] == {
        "id": str(RUN),
        "phase": "Failed",
        "scheduledTime": "2026-03-02T07:00:00Z",
        "startTime": "2026-03-02T07:00:01Z",
        "completionTime": "2026-03-02T07:00:09Z",
        "message": "StepFailed",
    }
    assert status["lastScheduleTime"] == "2026-03-02T07:00:00Z"


def test_a_paused_task_says_by_whom() -> None:
    paused = replace(TASK, paused_at=NOW, paused_by="kubernetes:ada", next_fire_at=None)
    status = desired.task_status(paused, observed=UNSEEN)
    assert status["phase"] == "Paused"
    assert conditions(status) == {"Ready": ("True", "Resolved"), "Scheduled": ("False", "Paused")}
    assert status["conditions"][1]["message"] == "kubernetes:ada paused it; resume it through the API"
    assert "upcoming" not in status
    assert desired.task_status(replace(paused, active=1), observed=UNSEEN)["phase"] == "Running"


def test_a_snoozed_task_says_until_when_and_by_whom() -> None:
    until = NEXT + timedelta(minutes=40)
    snoozed = replace(TASK, snoozed_until=until, snoozed_by="kubernetes:ada", next_fire_at=until)
    status = desired.task_status(snoozed, observed=UNSEEN)
    assert status["phase"] == "Snoozed"
    assert conditions(status)["Scheduled"] == ("True", "Snoozed")
    assert status["conditions"][1]["message"] == "kubernetes:ada snoozed it: nothing starts before 2026-03-02T09:10:00Z"
    assert status["nextScheduleTime"] == "2026-03-02T09:10:00Z"
    assert status["upcoming"][:2] == ["2026-03-02T09:10:00Z", "2026-03-03T08:30:00Z"]


def test_a_snooze_changes_nothing_where_nothing_would_fire() -> None:
    idle = replace(TASK, spec={}, next_fire_at=None)
    snoozed = replace(idle, snoozed_until=NEXT, snoozed_by="ada")
    assert desired.task_status(snoozed, observed=UNSEEN) == desired.task_status(idle, observed=UNSEEN)


def test_a_task_of_a_creator_says_whether_that_one_may_run_it() -> None:
    made = replace(TASK, creator="ada")
    assert conditions(desired.task_status(made, observed=UNSEEN))["Authorized"] == ("True", "CreatorMayRun")
    revoked = desired.task_status(replace(made, unauthorized_at=NOW), observed=UNSEEN)
    assert conditions(revoked)["Authorized"] == ("False", "CreatorRevoked")
    assert "since 2026-03-02T07:00:00Z ada, who made the task, may not run tasks" in revoked["conditions"][2]["message"]


def test_a_run_that_succeeded_has_nothing_to_explain() -> None:
    run = replace(TASK, run_id=RUN, run_phase="Succeeded", run_reason="whatever", run_finished_at=NOW)
    assert "message" not in desired.task_status(run, observed=UNSEEN)["lastRun"]


def test_the_last_success_never_goes_back_when_history_is_dropped() -> None:
    succeeded = replace(TASK, last_success_at=NOW, last_schedule_at=NOW)
    written = desired.task_status(succeeded, observed=UNSEEN)
    forgotten = desired.task_status(TASK, observed=seen(written))
    assert forgotten["lastSuccessfulTime"] == forgotten["lastScheduleTime"] == "2026-03-02T07:00:00Z"
    older = replace(TASK, last_success_at=NOW - timedelta(days=1))
    assert desired.task_status(older, observed=seen(written))["lastSuccessfulTime"] == "2026-03-02T07:00:00Z"


def test_pipelines_and_tools_say_whether_they_can_be_used() -> None:
    pipeline = rows.PipelineStatus("default", "brief", "u1", 3, invalid=None, missing_tools=None)
    tool = rows.ToolStatus("default", "weather", "u1", 3, invalid=None)
    whole = desired.pipeline_status(pipeline, observed=UNSEEN, now=NOW)
    assert conditions(whole) == {"Ready": ("True", "Resolved")}
    lacking = desired.pipeline_status(replace(pipeline, missing_tools="mail, weather"), observed=UNSEEN, now=NOW)
    assert conditions(lacking) == {"Ready": ("False", "ToolNotFound")}
    assert "mail, weather" in lacking["conditions"][0]["message"]
    broken = desired.pipeline_status(replace(pipeline, invalid="spec.steps: …"), observed=UNSEEN, now=NOW)
    assert conditions(broken) == {"Ready": ("False", "InvalidSpec")}
    assert conditions(desired.tool_status(tool, observed=UNSEEN, now=NOW)) == {"Ready": ("True", "Resolved")}
    bad = desired.tool_status(replace(tool, invalid="spec.http.url: …"), observed=UNSEEN, now=NOW)
    assert conditions(bad) == {"Ready": ("False", "InvalidSpec")}
    assert bad["conditions"][0]["message"] == "spec.http.url: …"
    hook = rows.HookStatus("default", "github", "u1", 3, invalid=None)
    assert conditions(desired.hook_status(hook, observed=UNSEEN, now=NOW)) == {"Ready": ("True", "Resolved")}
    bad = desired.hook_status(replace(hook, invalid="spec.topic: …"), observed=UNSEEN, now=NOW)
    assert conditions(bad) == {"Ready": ("False", "InvalidSpec")}


@pytest.mark.parametrize(
    ("kind", "model"), [("Task", TaskStatus), ("Pipeline", PipelineStatus), ("Tool", ToolStatus), ("Hook", HookStatus)]
)
def test_an_object_whose_name_is_taken_says_by_whom(kind: Any, model: Any) -> None:
    status = desired.taken_status(kind, Owner(Origin.API, "other"), observed=UNSEEN, now=NOW)
    assert conditions(status) == {"Ready": ("False", "NameTaken")}
    assert f"a {kind} of this name from API" in status["conditions"][0]["message"]
    assert model.model_validate(status, strict=False)


class TestDifference:
    """Which statuses are written: `Statuses` and rows put together."""

    def statuses(self, *, uid: str = "u1", kind: str = "Task", name: str = "briefing", **more: Any) -> Statuses:
        statuses = Statuses()
        metadata = {"namespace": "default", "name": name, "uid": uid, "generation": 3, "resourceVersion": "5"}
        statuses.see({"kind": kind, "metadata": metadata, **more})
        return statuses

    def test_a_status_that_is_missing_is_written_to_this_incarnation(self) -> None:
        write = difference.of_task(TASK, statuses=self.statuses())
        assert write is not None
        assert (write.key, write.uid, write.status["phase"]) == (Key("Task", "default", "briefing"), "u1", "Scheduled")

    def test_a_status_that_is_right_is_not_written(self) -> None:
        right = desired.task_status(TASK, observed=UNSEEN)
        assert difference.of_task(TASK, statuses=self.statuses(status=right)) is None

    def test_what_the_watch_has_not_seen_is_left_for_later(self) -> None:
        assert difference.of_task(TASK, statuses=Statuses()) is None

    def test_another_incarnation_is_left_for_later(self) -> None:
        assert difference.of_task(TASK, statuses=self.statuses(uid="u2")) is None

    def test_a_task_of_another_origin_has_no_status_to_write(self) -> None:
        assert difference.of_task(replace(TASK, origin="API"), statuses=self.statuses()) is None

    def test_pipelines_tools_and_taken_names_are_compared_too(self) -> None:
        statuses = self.statuses(kind="Tool", name="weather")
        pipeline = rows.PipelineStatus("default", "unseen", "u1", 3, None, None)
        tool = rows.ToolStatus("default", "weather", "u1", 3, None)
        (write,) = difference.of_declared([pipeline], [tool], [], statuses=statuses, now=NOW)
        assert write.key == Key("Tool", "default", "weather")
        hook = rows.HookStatus("default", "github", "u1", 3, None)
        hooked = self.statuses(kind="Hook", name="github")
        (write,) = difference.of_declared([], [], [hook, replace(hook, uid="u2")], statuses=hooked, now=NOW)
        assert write.key == Key("Hook", "default", "github")
        taken = self.statuses()
        taken.written(
            [Key("Task", "default", "briefing")], {Key("Task", "default", "briefing"): Owner(Origin.API, "x")}
        )
        (write,) = difference.of_declared([], [], [], statuses=taken, now=NOW)
        assert conditions(dict(write.status)) == {"Ready": ("False", "NameTaken")}


class TestStatuses:
    """What is remembered of the statuses that the watch has seen."""

    KEY = Key("Task", "default", "briefing")

    def document(self, *, version: int, uid: str = "u1", generation: int = 3, **more: Any) -> dict[str, Any]:
        metadata = {"namespace": "default", "name": "briefing", "uid": uid, "generation": generation}
        metadata |= {"resourceVersion": str(version)} | more.pop("metadata", {})
        return {"kind": "Task", "metadata": metadata, **more}

    def test_late_news_do_not_displace_newer_ones(self) -> None:
        statuses = Statuses()
        statuses.see(self.document(version=9, status={"active": 2}))
        statuses.see(self.document(version=8, status={"active": 1}))
        observed = statuses.get(self.KEY)
        assert observed is not None
        assert observed.digest == digest_of({"active": 2})

    def test_a_status_about_another_generation_is_outdated(self) -> None:
        statuses = Statuses()
        statuses.see(self.document(version=1, status={"observedGeneration": 3}))
        assert not statuses.outdated
        statuses.see(self.document(version=2, generation=4, status={"observedGeneration": 3}))
        assert statuses.outdated == {self.KEY}
        assert statuses.woken.is_set()

    def test_a_deletion_forgets_this_incarnation_only(self) -> None:
        statuses = Statuses()
        statuses.see(self.document(version=2, uid="new"))
        statuses.forget(self.KEY, "old")
        assert statuses.get(self.KEY) is not None
        statuses.forget(self.KEY, "new")
        assert statuses.get(self.KEY) is None
        assert not statuses.outdated

    def test_an_object_that_is_being_deleted_has_no_status_to_write(self) -> None:
        statuses = Statuses()
        statuses.see(self.document(version=1))
        statuses.see(self.document(version=2, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}))
        assert statuses.get(self.KEY) is None

    def test_a_name_that_becomes_free_is_looked_at_again(self) -> None:
        statuses = Statuses()
        statuses.written([self.KEY], {self.KEY: Owner(Origin.API, "x")})
        assert statuses.taken
        assert statuses.declared_changed
        statuses.written([self.KEY], {})
        assert not statuses.taken
        assert statuses.outdated == {self.KEY}

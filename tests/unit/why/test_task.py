"""Why a task runs or does not: each cause from its facts, in the order in which they count."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from ordinaut.causes import Cause, Level
from ordinaut.shapes import Because
from ordinaut.states import SkipReason
from ordinaut.store.event_fires import EventFire, Gathering
from ordinaut.store.status import Fire
from ordinaut.store.why import EventFacts, TaskFacts
from ordinaut.why import of_task
from tests.unit.why.facts import ALONE, NOW, OTHER, RUN, ago, lines, step, task, unfinished

NEXT = datetime.fromisoformat("2026-11-23T09:30:00+00:00")
WEEKLY: dict[str, Any] = {"schedules": [{"cron": "0 9 * * 1"}]}


def first(facts: TaskFacts) -> Because:
    return of_task(facts).because[0]


def fire(outcome: str, reason: str | None = None) -> Fire:
    return Fire(ago(minutes=30), outcome, reason, None if outcome == "Skipped" else RUN, NOW)


def ended(phase: str, **more: Any) -> TaskFacts:
    return task(spec=WEEKLY, next_fire_at=NEXT, run_id=RUN, run_phase=phase, run_finished_at=ago(minutes=30), **more)


def test_a_task_that_will_run_says_when() -> None:
    found = of_task(ended("Succeeded"))
    assert lines(found) == [
        "Good NextTime: its next time is 2026-11-23T09:30:00Z → run briefing -n default",
        f"Good LastRun: its last run {RUN} ended at 2026-11-23T08:30:00Z as Succeeded → logs {RUN} -n default",
    ]
    assert found.summary == "Task default/briefing is Scheduled: its next time is 2026-11-23T09:30:00Z"
    assert found.because[0].until == NEXT


@pytest.mark.parametrize(
    ("reason", "cause", "command"),
    [
        ("PipelineNotFound", Cause.PIPELINE_MISSING, "apply -f PIPELINE.yaml -n default"),
        ("PipelineInvalid", Cause.PIPELINE_MISSING, "apply -f PIPELINE.yaml -n default"),
        ("ToolNotFound", Cause.TOOL_MISSING, "apply -f TOOL.yaml -n default"),
        ("ToolInvalid", Cause.TOOL_MISSING, "apply -f TOOL.yaml -n default"),
        ("InvalidParams", Cause.NOT_READY, "apply -f TASK.yaml -n default"),
        ("InvalidSpec", Cause.NOT_READY, "apply -f TASK.yaml -n default"),
        ("Pending", Cause.NOT_JUDGED, "why briefing -n default"),
    ],
)
def test_what_forbids_every_run_comes_first(reason: str, cause: Cause, command: str) -> None:
    around = replace(ALONE, pipeline_ref="scan", lacking_tools=["web"])
    facts = replace(task(ready=False, reason=reason, message="it is so", spec={"suspend": True}), around=around)
    found = of_task(facts)
    assert (found.phase, found.because[0].reason) == ("NotReady", cause)
    action = found.because[0].action
    assert action is not None
    assert action.command == command
    assert found.because[1].reason is Cause.SUSPENDED


def test_the_next_time_of_a_task_that_is_not_ready_is_no_good_news() -> None:
    found = of_task(task(ready=False, reason="InvalidSpec", message="x", spec=WEEKLY, next_fire_at=NEXT))
    due = next(one for one in found.because if one.reason is Cause.NEXT_TIME)
    assert (due.level, due.action) == (Level.NOTE, None)


def test_all_tools_that_are_lacking_are_named() -> None:
    around = replace(ALONE, lacking_tools=["a", "b", "c", "d", "e"])
    facts = replace(
        task(ready=False, reason="ToolNotFound", message="there is no Tool default/a; apply it"), around=around
    )
    assert first(facts).message.endswith("also missing or not valid: b, c, d and 1 more")


def test_a_creator_who_may_not_run_it_is_named() -> None:
    cause = first(task(spec=WEEKLY, next_fire_at=NEXT, creator="ada", unauthorized_at=ago(hours=1)))
    assert (cause.reason, cause.by, cause.since) == (Cause.UNAUTHORIZED, "ada", ago(hours=1))
    assert cause.message.startswith("its times are skipped: since 2026-11-23T08:00:00Z ada, who made the task, may not")


def test_a_pause_names_who_and_since_when() -> None:
    cause = first(task(spec=WEEKLY, paused_at=ago(hours=2), paused_by="ada"))
    assert (cause.reason, cause.level, cause.by, cause.since) == (Cause.PAUSED, Level.BLOCKING, "ada", ago(hours=2))
    assert cause.message == "it is paused since 2026-11-23T07:00:00Z by ada: its schedules do not fire"
    assert cause.action is not None
    assert (cause.action.method, cause.action.path) == ("POST", "/v1/namespaces/default/tasks/briefing/resume")


def test_a_snooze_names_who_and_until_when_and_is_not_overdue() -> None:
    facts = task(spec=WEEKLY, next_fire_at=ago(hours=1), snoozed_until=NEXT, snoozed_by="bob")
    found = of_task(facts)
    assert [one.reason for one in found.because] == [Cause.SNOOZED, Cause.NEVER_RAN]
    assert (found.because[0].by, found.because[0].until) == ("bob", NEXT)


@pytest.mark.parametrize(
    ("origin", "creator", "declared", "action"),
    [
        ("API", "ada", "as ada declared it through the API", "apply -f TASK.yaml -n default"),
        ("API", None, "as whoever declared it through the API wanted", "apply -f TASK.yaml -n default"),
        (
            "Kubernetes",
            None,
            "as its resource in Kubernetes says",
            "set spec.suspend to false: kubectl -n default edit otask briefing",
        ),
        ("Directory", None, "as its manifest says", "set spec.suspend to false in its manifest"),
    ],
)
def test_a_suspended_task_names_who_declared_it_so(
    origin: str, creator: str | None, declared: str, action: str
) -> None:
    found = of_task(task(spec={**WEEKLY, "suspend": True}, origin=origin, creator=creator))
    assert lines(found)[0] == (
        f"Blocking Suspended: spec.suspend is true, {declared}: its schedules do not fire → {action}"
    )


@pytest.mark.parametrize(
    ("operated", "creator", "who"),
    [
        (False, None, "no operator is connected to the database"),
        (True, None, "an operator is connected to the database, and does not get to it"),
        (True, "ada", "an operator is at work, and may not know yet whether ada may still run it"),
    ],
)
def test_a_time_that_nobody_fires_says_who_should_have(operated: bool, creator: str | None, who: str) -> None:
    facts = task(spec=WEEKLY, next_fire_at=ago(minutes=2), creator=creator)
    cause = first(replace(facts, around=replace(ALONE, operated=operated)))
    assert (cause.reason, cause.since) == (Cause.OVERDUE, ago(minutes=2))
    assert cause.message.endswith(f"nobody has fired it: {who}")


def test_a_time_that_has_just_come_is_not_overdue() -> None:
    assert first(task(spec=WEEKLY, next_fire_at=ago(seconds=3))).reason is Cause.NEXT_TIME


def test_a_queue_without_workers_is_told_before_anything_is_due() -> None:
    facts = replace(task(spec=WEEKLY, next_fire_at=NEXT), workers=[], around=replace(ALONE, queue="gpu"))
    cause = first(facts)
    assert (cause.reason, cause.queue) == (Cause.NO_WORKER, "gpu")
    assert cause.message == "no live worker takes runs of queue gpu"


@pytest.mark.parametrize(
    ("spec", "cause"),
    [({}, Cause.NO_SCHEDULES), (WEEKLY, Cause.NO_FUTURE_TIMES)],
)
def test_a_task_without_times_is_run_by_hand(spec: dict[str, Any], cause: Cause) -> None:
    found = of_task(task(spec=spec))
    assert [one.reason for one in found.because] == [cause, Cause.NEVER_RAN]
    assert found.because[0].action is not None
    assert found.because[0].action.command == "run briefing -n default"


@pytest.mark.parametrize(
    ("policy", "level", "text"),
    [
        ("Allow", Level.GOOD, ""),
        ("Forbid", Level.NOTE, ", and concurrencyPolicy is Forbid: times that come meanwhile are skipped"),
        ("Replace", Level.GOOD, ", and concurrencyPolicy is Replace: the next run takes its place"),
        ("Queue", Level.NOTE, ", and concurrencyPolicy is Queue: 2 others wait for its end"),
    ],
)
def test_an_active_run_counts_by_the_policy(policy: str, level: Level, text: str) -> None:
    around = replace(ALONE, in_turn=2 if policy == "Queue" else 0)
    facts = replace(
        task(spec={"concurrencyPolicy": policy}, active=1), around=around, unfinished=[unfinished(worker="w-1")]
    )
    found = of_task(facts)
    cause = found.because[0]
    assert (found.phase, cause.reason, cause.level) == ("Running", Cause.ACTIVE_RUN, level)
    assert cause.message == f"run {OTHER} is Running on worker w-1 since 2026-11-23T08:58:00Z{text}"
    assert cause.holders is not None
    assert [(one.run, one.phase) for one in cause.holders] == [(str(OTHER), "Running")]


def test_of_several_active_runs_the_one_under_way_is_named() -> None:
    facts = replace(task(active=2), unfinished=[unfinished(worker="w-1"), unfinished("Waiting", reason="Retry")])
    assert first(facts).message.startswith(f"2 of its runs are under way or wait: run {OTHER} is Running on worker w-1")


@pytest.mark.parametrize("reason", list(SkipReason))
def test_every_reason_for_a_skip_has_its_sentence(reason: SkipReason) -> None:
    facts = replace(task(spec=WEEKLY, next_fire_at=NEXT), fires=[fire("Skipped", reason.value)])
    cause = first(facts)
    assert (cause.reason, cause.detail) == (Cause.TIMES_SKIPPED, reason)
    assert cause.message.startswith(f"its latest time, 2026-11-23T08:30:00Z, was skipped ({reason.value}): ")
    assert not cause.message.endswith(f": {reason.value}")


def test_skips_count_until_a_time_was_fired() -> None:
    late = [fire("Skipped", "NotReady")] * 3 + [fire("Fired"), fire("Skipped", "Unauthorized")]
    skipped = [one for one in of_task(replace(task(), fires=late)).because if one.reason is Cause.TIMES_SKIPPED]
    assert [one.message.partition(":")[0] for one in skipped] == ["3 of its latest times were skipped (NotReady)"]
    fired = of_task(replace(task(), fires=[fire("Fired"), fire("Skipped", "NotReady")]))
    assert Cause.TIMES_SKIPPED not in [one.reason for one in fired.because]


def test_a_last_run_that_failed_comes_before_the_next_time_and_names_its_step() -> None:
    failed = step("sum", "Failed", idx=2, attempt=3, error="status 500")
    facts = replace(ended("Failed", run_reason="StepFailed"), last_steps=[failed], last_error="step sum failed")
    found = of_task(facts)
    assert [one.reason for one in found.because] == [Cause.LAST_RUN, Cause.NEXT_TIME]
    assert found.because[0].message == (
        f"its last run {RUN} ended at 2026-11-23T08:30:00Z as Failed: StepFailed:"
        " step sum[2], tried 3 times: status 500"
    )
    assert found.because[0].detail == "Failed"
    assert found.because[0].action is not None
    assert found.because[0].action.description == "see why it ended so, and what to do"


# -- triggers ----------------------------------------------------------------------------------------------------------

LISTENER: dict[str, Any] = {"triggers": [{"topic": "mail.received"}, {"topic": "run.failed"}]}


def listener(*fires: EventFire, behind: float = 0, gatherings: Sequence[Gathering] = (), **row: Any) -> TaskFacts:
    facts = task(**{"spec": LISTENER, **row})
    return replace(facts, events=EventFacts(fires, gatherings, behind))


def event(place: int, outcome: str, reason: str | None = None, message: str | None = None) -> EventFire:
    run = RUN if outcome == "Fired" else None
    return EventFire(7, place, f"9-{place}", "mail.received", 0, outcome, reason, message, run, NOW)


def test_a_task_with_triggers_says_which_events_it_waits_for() -> None:
    found = of_task(listener())
    assert found.phase == "Listening"
    assert lines(found) == [
        "Good Listening: it runs on events: mail.received, run.failed; none has matched yet",
        "Note NeverRan: it has never run",
    ]


def test_a_task_with_triggers_tells_what_became_of_the_last_event() -> None:
    found = of_task(listener(event(1, "Fired"), event(0, "Skipped", "StillRunning")))
    assert lines(found) == [
        f"Good Listening: it runs on events: mail.received, run.failed; the last that matched, 9-1 (mail.received), was"
        f" Fired with run {RUN} → fires briefing --events -n default",
    ]


def test_events_that_were_skipped_are_told_by_reason_until_one_that_was_not() -> None:
    fires = [
        event(3, "Skipped", "InvalidParams", "params.city: null\nin a text"),
        event(2, "Skipped", "Debounced"),
        event(1, "Skipped", "Debounced"),
        event(0, "Fired"),
    ]
    found = of_task(listener(*fires))
    assert lines(found)[:2] == [
        "Blocking EventsSkipped: its latest event, 9-3 (mail.received), was skipped (InvalidParams): params.city: null"
        " in a text → fires briefing --events -n default",
        "Note EventsSkipped: 2 of its latest events were skipped (Debounced): another one took its place (debounce)"
        " → fires briefing --events -n default",
    ]


def test_events_that_nobody_looks_at_are_told_with_who_should_have() -> None:
    facts = listener(behind=75.3)
    assert first(facts).message == (
        "events have waited for 75 s to be looked at: an operator is connected to the database, and does not get to"
        " them"
    )
    alone = first(replace(facts, around=replace(ALONE, operated=False)))
    assert (alone.reason, alone.level) == (Cause.EVENTS_BEHIND, Level.BLOCKING)
    assert alone.message.endswith("no operator is connected to the database")


def test_a_trigger_that_gathers_says_how_many_and_until_when() -> None:
    found = of_task(listener(event(0, "Gathered"), gatherings=[Gathering(1, 3, NEXT)]))
    assert lines(found)[0] == (
        "Good Gathering: 3 events have come for its trigger 1, which gathers them until 2026-11-23T09:30:00Z"
    )


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (LISTENER, "events are skipped"),
        ({**LISTENER, **WEEKLY}, "its schedules do not fire, and events are skipped"),
    ],
)
def test_a_task_that_rests_skips_events_and_does_not_say_that_it_listens(spec: dict[str, Any], text: str) -> None:
    found = of_task(listener(spec={**spec, "suspend": True}))
    assert found.because[0].message.endswith(text)
    assert Cause.LISTENING not in {one.reason for one in found.because}

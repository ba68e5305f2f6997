"""What a worker knows of a run under way."""

from datetime import timedelta
from time import monotonic
from typing import Any

import pytest

from ordinaut.engine.cursor import Committed, Execute, Finish
from ordinaut.states import RunPhase, StepPhase
from ordinaut_worker import progress as module
from ordinaut_worker.attempt import Outcome
from ordinaut_worker.progress import Progress
from tests.unit.worker.works import NOW, leased, plan

TWO = [{"id": "a", "uses": "std.log", "saveAs": "first"}, {"id": "b", "uses": "std.log"}]


def outcome(phase: StepPhase = StepPhase.SUCCEEDED, **more: Any) -> Outcome:
    return Outcome(phase, started=1.0, finished=2.5, **more)


def test_expressions_see_the_run_its_task_and_its_params() -> None:
    progress = Progress(leased(attempt=3), plan(), committed={})

    assert progress.scope() == {
        "params": {"city": "Chisinau"},
        "run": {
            "id": "00000000-0000-0000-0000-000000000001",
            "trigger": "schedule",
            "scheduledTime": "2026-03-02T11:59:58Z",
            "createdTime": "2026-03-02T11:59:59Z",
            "attempt": 3,
        },
        "task": {"name": "briefing", "namespace": "default"},
        "event": None,
        "events": None,
        "steps": {},
    }


def test_expressions_of_a_run_that_an_event_made_see_the_event() -> None:
    progress = Progress(leased(trigger="event", event_json='{"id": "1-0", "data": {"n": 1}}'), plan(), committed={})

    scope = progress.scope()
    assert scope["event"] == {"id": "1-0", "data": {"n": 1}}
    assert scope["events"] == [scope["event"]]


def test_expressions_of_a_run_of_a_batch_see_all_events_and_the_last_of_them() -> None:
    progress = Progress(leased(trigger="event", event_json='[{"id": "1-0"}, {"id": "2-0"}]'), plan(), committed={})

    scope = progress.scope()
    assert scope["events"] == [{"id": "1-0"}, {"id": "2-0"}]
    assert scope["event"] == {"id": "2-0"}


def test_a_run_by_hand_has_no_nominal_time() -> None:
    progress = Progress(leased(trigger="manual", scheduled_at=None), plan(), committed={})

    assert progress.scope()["run"]["scheduledTime"] is None


def test_a_recorded_result_is_seen_by_the_next_step_and_kept_for_the_commit() -> None:
    progress = Progress(leased(), plan(*TWO), committed={})
    move = progress.next_move()
    assert isinstance(move, Execute)

    progress.record(move, outcome(output={"n": 1}, encoded=b'{"n":1}', tool_digest=b"d"))

    assert progress.scope()["steps"] == {"first": {"n": 1}}
    following = progress.next_move()
    assert isinstance(following, Execute)
    assert following.step.id == "b"
    (result,) = progress.take_unsent()
    assert (result.seq, result.step_id, result.phase, result.attempt) == (0, "a", StepPhase.SUCCEEDED, 1)
    assert (result.output, result.tool_digest, result.started, result.finished) == (b'{"n":1}', b"d", 1.0, 2.5)
    assert progress.take_unsent() == []


def test_a_failure_that_will_be_tried_again_is_no_result() -> None:
    progress = Progress(leased(), plan(*TWO), committed={})
    move = progress.next_move()
    assert isinstance(move, Execute)

    progress.record(move, outcome(StepPhase.FAILED, error="busy"), phase=StepPhase.WAITING)

    again = progress.next_move()
    assert isinstance(again, Execute)
    assert (again.step.id, again.attempt) == ("a", 2)
    (result,) = progress.take_unsent()
    assert (result.phase, result.error) == (StepPhase.WAITING, "busy")


def test_a_run_that_was_taken_over_goes_on_behind_its_committed_steps() -> None:
    committed = {0: Committed(0, StepPhase.SUCCEEDED, 1, output="kept")}
    progress = Progress(leased(attempt=2), plan(*TWO), committed=committed)

    move = progress.next_move()

    assert isinstance(move, Execute)
    assert move.step.id == "b"
    assert progress.scope()["steps"] == {"first": "kept"}
    progress.record(move, outcome())
    assert progress.next_move() == Finish(RunPhase.SUCCEEDED)
    assert len(progress.take_unsent()) == 1


def test_without_a_timeout_time_never_ends() -> None:
    progress = Progress(leased(), plan(), committed={})

    assert (progress.remaining, progress.out_of_time) == (None, False)


def test_the_time_of_a_run_goes_on_while_nobody_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = monotonic()
    monkeypatch.setattr(module, "monotonic", lambda: now)
    # Its first delivery began 40 s before this one.
    work = leased(started_at=NOW - timedelta(seconds=40))

    progress = Progress(work, plan(timeout=timedelta(seconds=60)), committed={})

    assert progress.remaining == pytest.approx(timedelta(seconds=20), abs=timedelta(milliseconds=1))
    now += 19
    assert not progress.out_of_time
    now += 2
    assert progress.out_of_time
    assert progress.remaining == timedelta(0)

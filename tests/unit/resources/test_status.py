from ordinaut.resources.status import Condition, RunSummary, TaskPhase, TaskStatus

_TIME = "2026-11-23T08:30:00Z"


def test_a_status_is_written_in_the_spelling_of_kubernetes() -> None:
    status = TaskStatus(
        observed_generation=2,
        phase=TaskPhase.RUNNING,
        conditions=[Condition(type="Ready", status="True", reason="Resolved", message="", last_transition_time=_TIME)],
        next_schedule_time=_TIME,
        upcoming=[_TIME],
        active=1,
        last_run=RunSummary(id="0192", phase="Running", scheduled_time=_TIME),
    )
    assert status.canonical() == {
        "observedGeneration": 2,
        "phase": "Running",
        "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": _TIME, "reason": "Resolved", "message": ""}
        ],
        "nextScheduleTime": _TIME,
        "upcoming": [_TIME],
        "active": 1,
        "lastRun": {"id": "0192", "phase": "Running", "scheduledTime": _TIME},
    }

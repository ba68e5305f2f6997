"""Rows of the store for tests of what is made of them."""

from datetime import UTC, datetime

from ordinaut.store.status import TaskRow

_SOME_TIME = datetime(2026, 3, 2, 8, tzinfo=UTC)

QUIET_TASK = TaskRow(
    task_id=1,
    namespace="default",
    name="briefing",
    origin="API",
    uid="u",
    generation=3,
    version=4,
    labels={},
    annotations={},
    updated_at=_SOME_TIME,
    spec={},
    anchor=_SOME_TIME,
    invalid=None,
    ready=True,
    reason="Resolved",
    message="",
    paused_at=None,
    paused_by=None,
    snoozed_until=None,
    snoozed_by=None,
    creator=None,
    unauthorized_at=None,
    next_fire_at=None,
    evaluated_at=_SOME_TIME,
    last_schedule_at=None,
    active=0,
    run_id=None,
    run_phase=None,
    run_trigger=None,
    run_scheduled_at=None,
    run_started_at=None,
    run_finished_at=None,
    run_reason=None,
    last_success_at=None,
    now=_SOME_TIME,
)
"""A task that is ready and has never run."""

"""Leased work and plans for tests of the worker."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from ordinaut.engine.plan import Plan, compile_pipeline
from ordinaut.resources.pipeline import PipelineSpec
from ordinaut.store.work import LeasedWork

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def leased(item: int = 1, *, lease: int = 1, run: int | None = None, **more: Any) -> LeasedWork:
    """Return a leased run; ``run`` numbers its key, by default as the item."""
    key = UUID(int=run or item)
    fields: dict[str, Any] = {
        "lease_id": lease,
        "leased_at": NOW,
        "id": item,
        "queue": 0,
        "urgency": 4,
        "due_at": NOW - timedelta(seconds=1),
        "attempt": 1,
        "run_id": key,
        "started_at": None,
        "namespace": "default",
        "task_id": 7,
        "task": "briefing",
        "revision": b"\x01",
        "trigger": "schedule",
        "scheduled_at": NOW - timedelta(seconds=2),
        "created_at": NOW - timedelta(seconds=1),
        "params_json": '{"city": "Chisinau"}',
        "run": str(key),
    }
    return LeasedWork(**(fields | more))


def plan(*steps: dict[str, Any], timeout: timedelta | None = None, output: Any = None) -> Plan:
    """Return a compiled pipeline; by default of one step."""
    written = {"steps": list(steps) or [{"id": "a", "uses": "std.log", "with": {"message": "hi"}}]}
    spec = PipelineSpec.model_validate(written if output is None else {**written, "output": output})
    compiled = compile_pipeline(spec, field="spec")
    return Plan(compiled.steps, compiled.output, compiled.params, timeout=timeout)

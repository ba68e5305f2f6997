"""
Deciding whether a task can run, and when its clock starts: pure decisions over rows.

:mod:`ordinaut.declaration.apply` loads the rows, asks :func:`resolve` and :func:`clock_start`, and stores the answers
in the same transaction. Both are level-triggered: they look at what is, never at what has just changed, so a task
heals by itself when what it lacked appears.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import orjson
from pydantic import ValidationError

from ordinaut.declaration.nominal import not_before, schedule_key, stored_schedules
from ordinaut.engine import fieldpath
from ordinaut.engine.concurrency import render_keys
from ordinaut.engine.plan import Revision, first_mistakes, revision
from ordinaut.engine.schema import apply_defaults, compile_schema
from ordinaut.errors import FieldError, Invalid, shown
from ordinaut.remembering import remembered
from ordinaut.resources.pipeline import PipelineSpec
from ordinaut.resources.task import TaskSpec
from ordinaut.schedule import CatchUpPolicy, next_fires
from ordinaut.store.declared import ClockStart, PipelineRow, Unresolved
from ordinaut.store.keys import RunKey, TaskKey, dump
from ordinaut.store.queues import MAX_NAMED, MAX_QUEUES
from ordinaut.triggers import stored

Tools = Mapping[tuple[str, str], str | None]
"""Why a tool can't be used, None when it can, by (namespace, name); missing ones have no entry."""

Queues = Mapping[str, int]
"""Numbers of queues by their names; one that there was no room for has no entry."""

KEYS_FIELD: Final = "spec.concurrency"
PARAMS_FIELD: Final = "spec.params"

NO_CLOCK = b""
"""Schedule key of a task whose spec can't be used: whatever comes next is an edit."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """
    Whether a task can run: its next run pins ``revision``, None when it can't, and gets ``params``.

    ``keys`` are those of the run, one for each entry of the task's ``concurrency``.
    """

    reason: str
    message: str
    revision: Revision | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    keys: Sequence[str] = ()


def resolve(
    task: Unresolved, spec: TaskSpec | None, *, pipeline: PipelineRow | None, tools: Tools, queues: Queues
) -> Readiness:
    """Return whether a task can run with what exists now; ``spec`` is None where it is wrong."""
    if spec is None:
        return Readiness("InvalidSpec", task.invalid or "")
    if spec.queue not in queues:
        message = (
            f"spec.queue: {shown(spec.queue)} would be one queue more than the {MAX_NAMED} that a namespace may name"
            f" first, or the {MAX_QUEUES} that an installation may have; name one that is there"
        )
        return Readiness("TooManyQueues", message)
    if task.pipeline_ref is not None:
        if pipeline is None:
            message = f"spec.pipelineRef.name: there is no Pipeline {task.namespace}/{task.pipeline_ref}; apply it"
            return Readiness("PipelineNotFound", message)
        if pipeline.invalid is not None:
            return Readiness("PipelineInvalid", f"Pipeline {pipeline.namespace}/{pipeline.name}: {pipeline.invalid}")
    needed = pipeline.tool_refs if pipeline is not None else task.tool_refs
    return _tools_missing(task.namespace, needed, tools) or _pinned(spec, pipeline)


def clock_start(task: Unresolved, spec: TaskSpec | None, *, snoozed: bool = False) -> ClockStart | None:
    """
    Return how a task's clock must be set, or None when it goes on as it is.

    A changed schedule begins now, and so does one that was suspended or paused, unless its catch-up policy is All: then
    the times that it slept through are still to be decided. A clock that is awake is moved only when a snooze has
    begun, changed or ended (``snoozed``): what is not decided yet stays to be decided, when the snooze is over.
    """
    if spec is None:
        return None if task.schedule_key == NO_CLOCK else ClockStart(task.task_id, NO_CLOCK, None, task.now)
    key = schedule_key(spec)
    edited = key != task.schedule_key
    if spec.suspend or not spec.schedules or task.paused_at is not None:
        asleep = not edited and task.next_fire_at is None
        return None if asleep else ClockStart(task.task_id, key, None, task.now)
    awake = not edited and task.next_fire_at is not None
    if awake and not snoozed:
        return None
    # Where the database's clock was set back, what was decided already is not decided again.
    after = max(task.now, task.evaluated_at or task.now)
    makes_up = awake or CatchUpPolicy(spec.catch_up.policy) is CatchUpPolicy.ALL
    if not edited and task.evaluated_at is not None and makes_up:
        after = task.evaluated_at
    schedules = stored_schedules(task.spec["schedules"], anchor=task.anchor)
    following = next(iter(next_fires(schedules, after=after, limit=1)), None)
    # What has ended stays as it is, but for what ended while it slept: it must not look as if that were still to come.
    if not edited and following is None and not next_fires(schedules, after=task.evaluated_at or after, limit=1):
        return None
    return ClockStart(task.task_id, key, not_before(following, task.snoozed_until), after)


def subscription(task: Unresolved, spec: TaskSpec | None) -> list[dict[str, Any]] | None:
    """
    Return the triggers of a task as they are stored, None where it has none.

    Where its spec is wrong, the last ones go on: the ledger shows what it misses until it is mended.
    """
    return task.triggers if spec is None else stored(spec, task.triggers, task.now)


def is_exclusive(spec: TaskSpec) -> bool:
    """Tell whether a task allows only one run at a time."""
    return spec.concurrency_policy != "Allow"


def task_keys(task: Unresolved, spec: TaskSpec | None, found: Readiness) -> list[dict[str, Any]]:
    """Return the concurrency keys of a task as stored; where its spec is wrong, its last limits go on to count."""
    if spec is None:
        return task.keys
    keys: Sequence[str | None] = found.keys or [None] * len(spec.concurrency)
    return dump(TaskKey(entry.key, entry.limit, key) for entry, key in zip(spec.concurrency, keys, strict=True))


def run_keys(spec: TaskSpec, params: Mapping[str, Any]) -> list[RunKey]:
    """Return the concurrency keys of a run with params of its own; ``Invalid`` if they don't give one."""
    keys = render_keys(spec.concurrency, params, field=KEYS_FIELD)
    return [RunKey(key, entry.key) for key, entry in zip(keys, spec.concurrency, strict=True)]


def _tools_missing(namespace: str, needed: list[str], tools: Tools) -> Readiness | None:
    for name in needed:
        if (namespace, name) not in tools:
            return Readiness("ToolNotFound", f"there is no Tool {namespace}/{name}; apply it")
        if (why := tools[namespace, name]) is not None:
            return Readiness("ToolInvalid", f"Tool {namespace}/{name}: {why}")
    return None


def _pinned(spec: TaskSpec, pipeline: PipelineRow | None) -> Readiness:
    try:
        steps = spec.pipeline if pipeline is None else _pipeline_spec(orjson.dumps(pipeline.spec))
    except ValidationError as error:
        return Readiness("PipelineInvalid", f"this version of Ordinaut can't read the pipeline: {error}")
    assert steps is not None  # noqa: S101 - a valid task has one of the two
    params: Mapping[str, Any] = spec.params
    try:
        params = effective_params(steps, spec.params, field=PARAMS_FIELD)
    except Invalid as invalid:
        if lacking := _lacking(spec, invalid.errors):
            return Readiness("InvalidParams", first_mistakes(lacking))
    keys: Sequence[str] = ()
    try:
        keys = render_keys(spec.concurrency, params, field=KEYS_FIELD)
    except Invalid as invalid:
        if not _is_completed_by_events(spec):
            return Readiness("InvalidConcurrencyKey", first_mistakes(invalid.errors))
    message = "the pipeline and its tools are there"
    return Readiness("Resolved", message, revision(pipeline=steps, task=spec), params, keys)


def _is_completed_by_events(spec: TaskSpec) -> bool:
    """Whether each run that a task makes by itself has params of an event beside its own."""
    return not spec.schedules and bool(spec.triggers) and all(trigger.params for trigger in spec.triggers)


def _lacking(spec: TaskSpec, mistakes: Sequence[FieldError]) -> list[FieldError]:
    """Return those mistakes in a task's own params that its events do not mend, by giving the param themselves."""
    if not _is_completed_by_events(spec):
        return list(mistakes)
    return [
        mistake
        for mistake in mistakes
        if mistake.field != PARAMS_FIELD
        and not all(_is_given(mistake.field, by=trigger.params) for trigger in spec.triggers)
    ]


def _is_given(field: str, *, by: Mapping[str, Any]) -> bool:
    places = (fieldpath.child(PARAMS_FIELD, name) for name in by)
    return any(field == place or field.startswith((f"{place}.", f"{place}[")) for place in places)


def effective_params(pipeline: PipelineSpec, params: Mapping[str, Any], *, field: str) -> Mapping[str, Any]:
    """Return the params of a run with the pipeline's defaults filled in; ``Invalid`` if its schema refuses them."""
    return checked_params(pipeline.params, params, field=field)


def checked_params(schema: Mapping[str, Any], params: Mapping[str, Any], *, field: str) -> Mapping[str, Any]:
    """As :func:`effective_params`, with the schema as the pipeline has it."""
    if not schema:
        return params
    compiled = compile_schema(schema, field="params")
    filled = cast(Mapping[str, Any], apply_defaults(compiled, params, field=field))
    compiled.check(filled, field=field)
    return filled


@remembered(entries=256)
def _pipeline_spec(spec: bytes) -> PipelineSpec:
    # Thousands of tasks may name one pipeline.
    return PipelineSpec.model_validate(orjson.loads(spec))

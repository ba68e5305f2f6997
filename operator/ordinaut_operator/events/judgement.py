"""
What comes of events that make a run together: a run, or the reason why there is none. Pure.

:mod:`carrying` asks for the bundles of all tasks at once and writes down what it hears. First :func:`weigh` says what a
bundle comes to by itself, its params among it, which may take its time on the CPU; then :func:`rule` says what
``concurrencyPolicy`` makes of it, knowing how it stands about the task's runs. The rules are those of nominal times
(:mod:`ordinaut_operator.verdict`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from ordinaut import schedule
from ordinaut.declaration.resolve import KEYS_FIELD, checked_params
from ordinaut.engine.concurrency import render_keys
from ordinaut.engine.plan import first_mistakes
from ordinaut.errors import Invalid
from ordinaut.logging import get_logger
from ordinaut.resources.jsonvalue import not_json
from ordinaut.resources.task import ConcurrencyKey
from ordinaut.states import EventSkipReason, WaitReason
from ordinaut.store import keys
from ordinaut.store.ids import new_run_id
from ordinaut.store.keys import RunKey
from ordinaut.store.reactions import EventTask
from ordinaut.store.runs import NewRun
from ordinaut.store.turns import Standing
from ordinaut.triggers import run_params
from ordinaut_operator.events.bundles import Bundle
from ordinaut_operator.terms import read_terms
from ordinaut_operator.verdict import crowded

MAX_MESSAGE: Final = 1024
"""Bytes of what the ledger says about a skipped event."""

log = get_logger(__name__)


class Weighed(NamedTuple):
    """A bundle, with the params and the concurrency keys of its run; or with why there is none."""

    bundle: Bundle
    reason: EventSkipReason | None = None
    message: str | None = None
    params: Mapping[str, Any] | None = None
    keys: Sequence[RunKey] = ()


class Ruling(NamedTuple):
    """What comes of a bundle: a run, or the reason why there is none, with more about it."""

    task: EventTask
    bundle: Bundle
    reason: EventSkipReason | None = None
    message: str | None = None
    run: NewRun | None = None


def weigh(bundle: Bundle, task: EventTask, *, authorized: bool, schema: Mapping[str, Any]) -> Weighed:
    """Return what a bundle comes to but for the task's other runs; ``schema`` is that of its pipeline's params."""
    if bundle.reason is not None:
        return Weighed(bundle, bundle.reason, bounded(bundle.message))
    if (reason := _hindrance(bundle, task, authorized=authorized)) is not None:
        message = f"{task.reason}: {task.message}" if reason is EventSkipReason.NOT_READY else None
        return Weighed(bundle, reason, bounded(message))
    try:
        params, run_keys = _params(bundle, task, schema)
    except Invalid as invalid:
        return Weighed(bundle, EventSkipReason.INVALID_PARAMS, bounded(first_mistakes(invalid.errors)))
    return Weighed(bundle, params=params, keys=run_keys)


def rule(task: EventTask, weighed: Sequence[Weighed], *, standing: Standing) -> list[Ruling]:
    """Return what comes of a task's bundles, in their order. Pure but for the keys of new runs."""
    if all(one.reason is not None for one in weighed):
        return [Ruling(task, one.bundle, one.reason, one.message) for one in weighed]
    policy = read_terms(task.spec).policy
    busy, waiting = standing.busy, standing.waiting
    rulings = []
    for one in weighed:
        reason = one.reason
        if reason is None and (found := crowded(policy, busy=busy, waiting=waiting)) is not None:
            reason = EventSkipReason(found.value)
        if reason is not None:
            rulings.append(Ruling(task, one.bundle, reason, one.message))
            continue
        run = _run(task, one, queued=policy == "Queue" and busy)
        rulings.append(Ruling(task, one.bundle, run=run))
        waiting += run.waits is WaitReason.TURN
        busy = True
    return rulings


def bounded(message: str | None) -> str | None:
    """Return a text that fits the ledger."""
    if message is None or len(message) * 4 <= MAX_MESSAGE or len(encoded := message.encode()) <= MAX_MESSAGE:
        return message
    return encoded[: MAX_MESSAGE - 3].decode(errors="ignore") + "…"


def _hindrance(bundle: Bundle, task: EventTask, *, authorized: bool) -> EventSkipReason | None:
    """Return why a task makes no run now, whatever its other runs do."""
    if task.suspended:
        return EventSkipReason.SUSPENDED
    if task.paused:
        return EventSkipReason.PAUSED
    if not authorized:
        return EventSkipReason.UNAUTHORIZED
    if task.revision is None:
        return EventSkipReason.NOT_READY
    deadline = read_terms(task.spec).starting_deadline
    if deadline is not None and task.now - bundle.since > deadline:
        return EventSkipReason.DEADLINE_EXCEEDED
    return None


def _params(bundle: Bundle, task: EventTask, schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], Sequence[RunKey]]:
    """Return the params of a run and its keys; raises `Invalid` if they can't be used."""
    trigger = bundle.trigger
    if trigger.params is None:
        return task.params, keys.of_task(task.keys) if task.keys else ()
    events = [item.match.event for item in bundle.items] if trigger.batch is not None else None
    made = run_params(trigger, event=bundle.last.match.event, events=events)
    if mistakes := list(not_json(made, field=f"spec.triggers[{trigger.number}].params")):
        raise Invalid(mistakes)
    # Those of the task have the defaults of the pipeline's schema already; what is new may lack some inside.
    params = checked_params(schema, {**task.params, **made}, field="params")
    if not task.keys:
        return params, ()
    entries = [ConcurrencyKey.model_construct(key=one["source"], limit=one["limit"]) for one in task.keys]
    rendered = render_keys(entries, params, field=KEYS_FIELD)
    return params, [RunKey(key, entry.key) for key, entry in zip(rendered, entries, strict=True)]


def _run(task: EventTask, weighed: Weighed, *, queued: bool) -> NewRun:
    assert task.revision is not None  # noqa: S101 - it was weighed
    bundle = weighed.bundle
    start_at = _start(task, bundle)
    later = None
    if start_at is not None:
        is_snoozed = task.snoozed_until is not None and task.snoozed_until > task.now
        later = WaitReason.SNOOZE if is_snoozed else WaitReason.JITTER
    return NewRun(
        run_id=new_run_id(task.now),
        namespace=task.namespace,
        task_id=task.task_id,
        revision=task.revision,
        priority=read_terms(task.spec).priority,
        params=weighed.params,
        exclusive=task.exclusive,
        waits=WaitReason.TURN if queued else later,
        start_at=start_at,
        queue=task.queue,
        keys=weighed.keys,
        event=_text(bundle),
        hops=bundle.hops,
    )


def _text(bundle: Bundle) -> bytes:
    """Return what a run keeps of its event, or of all events of its batch."""
    if bundle.trigger.batch is None:
        return bundle.last.text
    return b"[" + b",".join(item.text for item in bundle.items) + b"]"


def _start(task: EventTask, bundle: Bundle) -> datetime | None:
    """Return when a run may start by a snooze of its task and by its jitter; None: at once."""
    # What was accepted a moment after this transaction began is seen by it all the same.
    start_at = min(bundle.since, task.now)
    if task.snoozed_until is not None:
        start_at = max(start_at, task.snoozed_until)
    if (within := read_terms(task.spec).jitter) is not None:
        start_at += schedule.jitter_of(f"{task.namespace}/{task.name}@{bundle.last.match.key}", within=within)
    return start_at if start_at > task.now else None

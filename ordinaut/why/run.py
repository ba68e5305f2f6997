"""
Where a run is, and why it waits or has failed: from its row, its steps and its place in the queue to causes. Pure.

Where it is decides, not its phase: a run that waited for a retry keeps the phase Waiting until a worker takes it.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from ordinaut.causes import Cause, Level
from ordinaut.resources.retry import RetryStrategy
from ordinaut.shapes import Because, QueuePosition, Why, WhySubject
from ordinaut.states import FINAL_STEP_PHASES, RunPhase, StepPhase, WaitReason
from ordinaut.store.why import MOST_IN_TURN, RunFacts, StepState, Waits
from ordinaut.why import ending, keyed, queueing
from ordinaut.why.releases import Releases
from ordinaut.why.wording import SOON, blocking, moment, one_line, standing, step_name

TOOLS: Final = 3
"""Missing Tools of later steps that are told."""


def of_run(facts: RunFacts) -> Why:
    """Return where a run is, and why it waits or ended as it did."""
    row = facts.row
    because = [*_decisive(facts), *_redelivered(facts), *islice(_lacking_tools(facts), TOOLS)]
    name = f"Run {row.run_id} of task {row.namespace}/{row.task}"
    return Why(
        subject=WhySubject(kind="Run", namespace=row.namespace, name=str(row.run_id), task=row.task),
        phase=RunPhase(row.phase),
        as_of=row.now,
        summary=f"{name} is {row.phase}: {because[0].message}",
        because=because,
    )


def _decisive(facts: RunFacts) -> Iterator[Because]:
    if facts.row.finished_at is not None:
        yield from ending.causes(facts)
    elif facts.row.worker is not None:
        yield _held(facts)
    elif facts.waits is not None:
        yield from keyed.causes(facts) if facts.waits.what == "Keys" else [_waiting(facts, facts.waits)]
    elif facts.queued is not None:
        yield from queueing.causes(facts, facts.queued)
    else:
        yield Because(
            reason=Cause.NOWHERE,
            level=Level.BLOCKING,
            message="it is not over, and in no queue: a defect of Ordinaut, please report it",
            action=Releases(facts.row.namespace).cancel(facts.row.run_id),
        )


# -- under a lease -----------------------------------------------------------------------------------------------------


def _held(facts: RunFacts) -> Because:
    row, releases = facts.row, Releases(facts.row.namespace)
    assert row.leased_until is not None  # noqa: S101 - as it has a worker
    if row.leased_until < row.now:
        text = f"worker {row.worker} has it and gives no sign of life; its lease ran out at {moment(row.leased_until)}"
        text += ", and an operator takes the run back" if facts.operated else ", and no operator takes the run back"
        return Because(
            reason=Cause.WORKER_LOST,
            level=Level.BLOCKING,
            message=text,
            since=row.leased_until,
            action=None if facts.operated else releases.installation("start an operator: none is connected"),
        )
    step = next((one for one in facts.steps if one.phase not in FINAL_STEP_PHASES), None)
    at = "" if step is None else f", at step {step_name(step)}" + (f", try {step.attempt + 1}" if step.attempt else "")
    return Because(
        reason=Cause.RUNNING,
        level=Level.GOOD,
        message=f"it runs on worker {row.worker}{at}, since {moment(row.leased_at or row.now)}",
        since=row.leased_at,
        action=releases.follow(row.run_id),
    )


def _redelivered(facts: RunFacts) -> Iterator[Because]:
    delivery = facts.row.delivery or (facts.queued.delivery if facts.queued else 1)
    if delivery == 1:
        return
    lost = delivery - 1
    who = "the worker that had it before was" if lost == 1 else f"the {lost} workers that had it before were"
    action = Releases(facts.row.namespace).installation("look for workers that are killed (memory, node)")
    yield Because(reason=Cause.REDELIVERED, level=Level.NOTE, message=f"{who} lost", action=action)


# -- waiting -----------------------------------------------------------------------------------------------------------


def _waiting(facts: RunFacts, waits: Waits) -> Because:
    if waits.what == "Turn":
        return _behind(facts, waits)
    if facts.row.now - waits.due_at > SOON:
        return _not_moved(facts, waits)
    if facts.row.reason == WaitReason.JITTER:
        text = f"by the jitter of its task it starts at {moment(waits.due_at)}, a little later than its time"
        return Because(reason=Cause.JITTER, level=Level.GOOD, message=text, until=waits.due_at)
    if facts.row.reason == WaitReason.SNOOZE:
        text = f"its task is snoozed: it starts at {moment(waits.due_at)}"
        action = Releases(facts.row.namespace).resume(facts.row.task)
        return Because(reason=Cause.SNOOZED, level=Level.BLOCKING, message=text, until=waits.due_at, action=action)
    return _retried(facts, waits)


def _not_moved(facts: RunFacts, waits: Waits) -> Because:
    who = "an operator does not get to it" if facts.operated else "no operator is connected to the database"
    return Because(
        reason=Cause.NOT_MOVED,
        level=Level.BLOCKING,
        message=f"its wait was over at {moment(waits.due_at)}, and nobody has put it into its queue: {who}",
        since=waits.due_at,
        action=Releases(facts.row.namespace).installation("see whether an operator is at work, and what it lacks"),
    )


def _retried(facts: RunFacts, waits: Waits) -> Because:
    step = next((one for one in reversed(facts.steps) if one.phase == StepPhase.WAITING), None)
    text = f"it is tried again at {moment(waits.due_at)}"
    if step is not None:
        tries = _tries(step)
        text = f"step {step_name(step)} failed {tries}and is tried again at {moment(waits.due_at)}"
        text += f": {one_line(step.error)}" if step.error else ""
    return Because(reason=Cause.RETRY, level=Level.BLOCKING, message=text, until=waits.due_at)


def _tries(step: StepState) -> str:
    """Return how often a step that waits was tried, and how often it may be."""
    if step.retry is None:
        return ""
    return f"{step.attempt} of {RetryStrategy.model_validate(step.retry).limit + 1} times "


def _behind(facts: RunFacts, waits: Waits) -> Because:
    """Tell which run a run of a task with concurrencyPolicy Queue waits for, and what that one waits for."""
    row, releases = facts.row, Releases(facts.row.namespace)
    others = f", and {waits.before:,} others wait before it" if waits.before > 1 else ""
    others = ", and another one waits before it" if waits.before == 1 else others
    if facts.holders:
        text = f"it waits for its turn: {standing(facts.holders[0])}{others}"
        action = releases.ask_run(facts.holders[0].run_id)
    elif facts.operated:
        text, action = f"it waits for its turn, which an operator gives it in a moment{others}", None
    else:
        text = "it waits for its turn, and nobody gives it: no operator is connected to the database"
        action = releases.installation("start an operator: none is connected")
    return Because(
        reason=Cause.TURN,
        level=Level.BLOCKING,
        message=text,
        since=facts.holders[0].since if facts.holders else row.created_at,
        position=QueuePosition(before=min(waits.before, MOST_IN_TURN), more=waits.before > MOST_IN_TURN),
        holders=[blocking(one) for one in facts.holders] or None,
        action=action,
    )


def _lacking_tools(facts: RunFacts) -> Iterator[Because]:
    """Yield steps to come whose Tool is missing: they will fail."""
    if facts.row.finished_at is not None:
        return
    releases = Releases(facts.row.namespace)
    for step in facts.steps:
        if step.phase not in FINAL_STEP_PHASES and ending.lacks_tool(step):
            state = "not valid" if step.tool_is_there else "not there"
            yield Because(
                reason=Cause.TOOL_MISSING,
                level=Level.NOTE,
                message=f"step {step_name(step)} will fail: Tool {facts.row.namespace}/{step.uses} is {state}",
                detail="ToolInvalid" if step.tool_is_there else "ToolNotFound",
                action=releases.put_tool(str(step.uses)),
            )

"""How a run ended, in words and for programs. Pure; ``why.run`` asks for the causes, ``why.task`` for the words."""

from collections.abc import Iterator, Sequence

from ordinaut.causes import Cause, Level
from ordinaut.declaration.ending import asker
from ordinaut.engine.plan import is_builtin
from ordinaut.shapes import Because, Release
from ordinaut.states import RunPhase
from ordinaut.store.why import RunFacts, StepState
from ordinaut.why.releases import Releases
from ordinaut.why.wording import moment, one_line, step_name


def causes(facts: RunFacts) -> Iterator[Because]:
    """Yield why a run that is over ended as it did."""
    row, releases = facts.row, Releases(facts.row.namespace)
    assert row.finished_at is not None  # noqa: S101 - it is over
    why = because_of(row.phase, reason=row.reason, error=row.error, steps=facts.steps)
    when = moment(row.finished_at) + (f": {why}" if why else "")
    match RunPhase(row.phase):
        case RunPhase.SUCCEEDED:
            yield _ended(facts, Cause.SUCCEEDED, Level.GOOD, f"it succeeded at {when}", releases.steps(row.run_id))
        case RunPhase.CANCELLED:
            again = _if_ready(facts, releases.run_now(row.task))
            yield _ended(facts, Cause.CANCELLED, Level.NOTE, f"it was cancelled at {when}", again)
        case RunPhase.PARKED:
            release = _if_ready(facts, releases.unpark(row.run_id))
            yield _ended(facts, Cause.PARKED, Level.BLOCKING, f"it is parked since {when}", release)
        case RunPhase.TIMED_OUT:
            again = _if_ready(facts, releases.retry(row.run_id))
            yield _ended(facts, Cause.TIMED_OUT, Level.BLOCKING, f"its time was over at {when}", again)
        case _:
            yield from _lacking_tool(facts)
            again = _if_ready(facts, releases.retry(row.run_id))
            yield _ended(facts, Cause.FAILED, Level.BLOCKING, f"it failed at {when}", again)


def because_of(phase: str, *, reason: str | None, error: str | None, steps: Sequence[StepState]) -> str:
    """Return reason and error of a run that has ended, with the step that failed; empty if nothing is known of it."""
    failed = [step for step in steps if step.error]
    if failed and phase not in {RunPhase.CANCELLED, RunPhase.PARKED}:
        step = failed[-1]
        tries = f", tried {step.attempt} times" if step.attempt > 1 else ""
        error = f"step {step_name(step)}{tries}: {step.error}"
    return ": ".join(one_line(part) for part in (reason, error) if part)


def lacks_tool(step: StepState) -> bool:
    """Whether the Tool of a step is missing or not valid."""
    if step.uses is None or is_builtin(step.uses):
        return False
    return not step.tool_is_there or step.tool_invalid is not None


def _lacking_tool(facts: RunFacts) -> Iterator[Because]:
    failed = [step for step in facts.steps if step.error]
    if not failed or not lacks_tool(failed[-1]):
        return
    step, namespace = failed[-1], facts.row.namespace
    state = "not valid" if step.tool_is_there else "not there"
    yield Because(
        reason=Cause.TOOL_MISSING,
        level=Level.BLOCKING,
        message=f"step {step_name(step)} needs Tool {namespace}/{step.uses}, which is {state}",
        detail="ToolInvalid" if step.tool_is_there else "ToolNotFound",
        action=Releases(namespace).put_tool(str(step.uses)),
    )


def _if_ready(facts: RunFacts, release: Release) -> Release | None:
    """Return what has a run go on; its task must be there and be able to run."""
    row = facts.row
    if row.task_deleted:
        return None
    return release if row.task_ready else Releases(row.namespace).ask_task(row.task)


def _ended(facts: RunFacts, cause: Cause, level: Level, message: str, action: Release | None) -> Because:
    return Because(
        reason=cause,
        level=level,
        message=message,
        detail=facts.row.reason,
        since=facts.row.finished_at,
        by=asker(facts.row.error) if cause is Cause.CANCELLED else None,
        action=action,
    )

"""How times, counts and steps are written in the sentences of causes."""

from datetime import datetime, timedelta
from typing import Final

from ordinaut.resources.moment import format_instant
from ordinaut.shapes import BlockingRun
from ordinaut.states import RunPhase
from ordinaut.store.why import StepState, UnfinishedRun

SOON: Final = timedelta(seconds=10)
"""What is late by less than this is on its way."""


def moment(instant: datetime) -> str:
    """Return an instant in whole seconds, as ``since`` and ``until`` of a cause have it."""
    return format_instant(instant.replace(microsecond=0))


def step_name(step: StepState) -> str:
    """Return the id of a step, with the place of the item where it runs once for each."""
    return f"{step.step_id}[{step.idx}]" if step.idx else step.step_id


def one_line(text: str) -> str:
    """Return an error, whoever wrote it, as part of a sentence."""
    return " ".join(text.split())


def blocking(run: UnfinishedRun) -> BlockingRun:
    """Return a run that is in the way."""
    return BlockingRun(
        run=str(run.run_id),
        task=run.task,
        phase=phase_of(run),
        reason=None if run.worker else run.reason,
        since=run.since,
    )


def phase_of(run: UnfinishedRun) -> RunPhase:
    """Return where a run stands; under a lease it is running."""
    return RunPhase.RUNNING if run.worker else RunPhase(run.phase)


def standing(run: UnfinishedRun) -> str:
    """Return in words where a run stands: one level of what it waits for itself."""
    where = f" on worker {run.worker}" if run.worker else f" ({run.reason})" if run.reason else ""
    return f"run {run.run_id} is {phase_of(run)}{where} since {moment(run.since)}"

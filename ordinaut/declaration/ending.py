"""
Ending runs from outside their worker: a request, a deleted task, a newer run.

Whoever ends runs comes through here, so that each end is announced. A worker that holds one drops its work; the fence
refuses whatever it would still write.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from ordinaut.events.envelope import Event
from ordinaut.states import RunPhase
from ordinaut.store import events, runs
from ordinaut.store.pool import Connection

_SOMEBODY: Final = "somebody"
_ASKED: Final = " asked for it"


async def cancel_runs(
    connection: Connection,
    run_ids: Sequence[UUID],
    *,
    tasks: Mapping[int, str],
    reason: str,
    error: str,
    parked: bool = False,
) -> list[UUID]:
    """
    Cancel unfinished runs, as part of a transaction, and return those it ended.

    ``tasks`` are the names of their tasks by row key; ``reason`` is one word, ``error`` says more. With ``parked`` runs
    that are parked are cancelled, too.
    """
    ended = await runs.finish(connection, run_ids, phase=RunPhase.CANCELLED, reason=reason, error=error, parked=parked)
    data = {"phase": RunPhase.CANCELLED, "reason": reason}
    announced = [
        Event("run.cancelled", run.namespace, tasks[run.task_id], run=str(run.run_id), data=data) for run in ended
    ]
    await events.add(connection, [event.compact() for event in announced])
    return [run.run_id for run in ended]


def asked_by(who: str | None) -> str:
    """Return what is kept of somebody who had a run ended."""
    return f"{who or _SOMEBODY}{_ASKED}"


def asker(error: str | None) -> str | None:
    """Return who had a run ended, as far as that was kept."""
    if error is None or not error.endswith(_ASKED):
        return None
    who = error.removesuffix(_ASKED)
    return None if who == _SOMEBODY else who

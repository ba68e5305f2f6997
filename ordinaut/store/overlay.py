"""
Overlays of tasks: a pause or a snooze, which are not part of the spec and so are nobody's edit of it.

``ordinaut.declaration.overlay`` is the only caller; it sets the clock of the task in the same transaction.
"""

from dataclasses import dataclass
from datetime import datetime

from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL


@dataclass(frozen=True, slots=True)
class Snooze:
    """That a task is snoozed, and until when."""

    task_id: int
    until: datetime


async def hold_snooze(connection: Connection, *, namespace: str, name: str) -> Snooze | None:
    """
    Return the snooze of a live task that is about to be changed; None if it has none.

    Who makes runs that wait for its end is let finish before, so that :func:`move_runs` finds them.
    """
    row = await (await connection.execute(SQL["hold_snooze"], {"namespace": namespace, "name": name})).fetchone()
    return None if row is None else Snooze(*row)


async def move_runs(connection: Connection, snooze: Snooze, *, until: datetime) -> None:
    """Have the runs of events that wait for the end of a snooze wait for another end."""
    await connection.execute(
        SQL["move_snoozed_runs"], {"task_id": snooze.task_id, "before": snooze.until, "until": until}
    )


async def pause(connection: Connection, *, namespace: str, name: str, by: str) -> int | None:
    """Pause a live task; returns its key, or None if it is paused already or does not exist."""
    return await _changed(connection, "pause_task", namespace=namespace, name=name, by=by)


async def snooze(connection: Connection, *, namespace: str, name: str, until: datetime, by: str) -> int | None:
    """Snooze a live task; returns its key, or None if it does not exist."""
    return await _changed(connection, "snooze_task", namespace=namespace, name=name, until=until, by=by)


async def resume(connection: Connection, *, namespace: str, name: str) -> int | None:
    """End a pause and a snooze; returns the task's key, or None if there is nothing to end."""
    return await _changed(connection, "resume_task", namespace=namespace, name=name)


async def _changed(connection: Connection, statement: str, **params: object) -> int | None:
    row = await (await connection.execute(SQL[statement], params)).fetchone()
    return None if row is None else int(row[0])

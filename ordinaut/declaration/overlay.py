"""
Pausing, snoozing and resuming tasks: what the API does to a task of any origin without editing its spec.

An overlay lives in PostgreSQL only: a GitOps tool that compares specs never sees it, people see it in the status. All
functions are part of the caller's transaction; the task's clock is set in it, so that nothing fires after the commit
that should not.
"""

from datetime import UTC, datetime, timedelta

from ordinaut import schedule
from ordinaut.declaration.resolve import clock_start
from ordinaut.errors import FieldError, Invalid, NotFound
from ordinaut.events.envelope import Event
from ordinaut.resources.moment import format_instant
from ordinaut.resources.task import TaskSpec
from ordinaut.store import clock, declared, events, overlay, status
from ordinaut.store.declared import Key
from ordinaut.store.pool import Connection

MAX_SNOOZE = timedelta(days=366)

_REMEDY = "write a moment with its offset, such as 2027-03-01T09:00:00Z, at most 366 days ahead"


async def pause(connection: Connection, *, namespace: str, name: str, by: str) -> None:
    """
    Keep a task from firing until it is resumed; pausing twice is fine, and the first one counts.

    Raises:
        NotFound: there is no such task.
    """
    await _lock(connection, namespace=namespace, name=name)
    paused = await overlay.pause(connection, namespace=namespace, name=name, by=by)
    if paused is not None:
        await _take_effect(connection, paused, Event("task.paused", namespace, name, data={"by": by}))


async def snooze(connection: Connection, *, namespace: str, name: str, until: datetime, by: str) -> None:
    """
    Hold back everything of a task that would start before ``until``; a later snooze takes the place of an earlier one.

    The nominal times that come before keep their identity and are decided then, as if they had just been missed. What
    events trigger meanwhile is made at once, and waits for the same moment.

    Raises:
        NotFound: there is no such task.
        Invalid: the moment is past, too far ahead or has no offset.
    """
    await _lock(connection, namespace=namespace, name=name)
    until = _checked(until, now=await clock.now(connection))
    former = await overlay.hold_snooze(connection, namespace=namespace, name=name)
    snoozed = await overlay.snooze(connection, namespace=namespace, name=name, until=until, by=by)
    assert snoozed is not None  # noqa: S101 - it was there, and its namespace is locked
    if former is not None:
        await overlay.move_runs(connection, former, until=until)
    data = {"by": by, "until": format_instant(until)}
    await _take_effect(connection, snoozed, Event("task.snoozed", namespace, name, data=data))


async def resume(connection: Connection, *, namespace: str, name: str) -> None:
    """
    End a task's pause and its snooze, whichever there are.

    What a pause slept through is not made up for, unless ``catchUp.policy`` is All; what a snooze held back starts now.

    Raises:
        NotFound: there is no such task.
    """
    await _lock(connection, namespace=namespace, name=name)
    former = await overlay.hold_snooze(connection, namespace=namespace, name=name)
    resumed = await overlay.resume(connection, namespace=namespace, name=name)
    if former is not None:
        await overlay.move_runs(connection, former, until=await clock.now(connection))
    if resumed is not None:
        await _take_effect(connection, resumed, Event("task.resumed", namespace, name))


async def _lock(connection: Connection, *, namespace: str, name: str) -> None:
    """Keep declarations of the namespace waiting, and see to it that the task exists."""
    await declared.lock_namespaces(connection, [namespace])
    key = Key("Task", namespace, name)
    if key not in await declared.owners(connection, [key]):
        raise NotFound(f"there is no Task {namespace}/{name}")


async def _take_effect(connection: Connection, task_id: int, event: Event) -> None:
    """Set the task's clock and tell everybody."""
    # Before it is read, so that a fire under way is over: it may be moving the clock.
    await clock.lock_clocks(connection, [task_id])
    (task,) = await declared.unresolved(connection, [task_id])
    spec = TaskSpec.model_validate(task.spec) if task.invalid is None else None
    start = clock_start(task, spec, snoozed=True)
    await declared.start_clocks(connection, [start] if start else [], tzdata=schedule.tzdata_version())
    await events.add(connection, [event.compact()])
    await status.notify(connection, [task_id])


def _checked(until: datetime, *, now: datetime) -> datetime:
    """Return a moment to snooze until, in whole seconds as the clock has them."""
    wrong = None
    if until.tzinfo is None:
        wrong = "not a moment: it has no offset"
    elif until <= now:
        wrong = f"not in the future: it is {format_instant(now)} now"
    elif until > now + MAX_SNOOZE:
        wrong = "too far ahead"
    if wrong is not None:
        raise Invalid([FieldError("until", format_instant(until), wrong, _REMEDY)])
    moment = until.astimezone(UTC)
    return moment if moment.microsecond == 0 else moment.replace(microsecond=0) + timedelta(seconds=1)

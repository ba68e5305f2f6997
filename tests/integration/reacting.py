"""Events that match triggers, and what came of them, for tests of the operator."""

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from ordinaut.declaration import running
from ordinaut.store import clock, runs, subscriptions
from ordinaut.store.pool import Connection, Pool
from ordinaut.store.runs import Run
from ordinaut.triggers import Match, Subscriptions
from ordinaut_operator.events import telling
from ordinaut_operator.events.gather import Closed, close_due
from ordinaut_operator.events.react import react
from ordinaut_operator.events.telling import Reactions
from ordinaut_operator.fire import Tell
from ordinaut_operator.rights import NO_CHECKS, Rights
from tests.declaring import task
from tests.relaying import in_outbox

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}
MAIL = {"topic": "mail.received"}
MAX_HOPS = 8

_positions = itertools.count(1)


class Line(NamedTuple):
    """A line of the ledger of events."""

    event_id: str
    outcome: str
    reason: str | None
    message: str | None
    run_id: UUID | None


def triggered(name: str = "t", *triggers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """Return a task with triggers; without any, with one for arriving mail."""
    return task(name, LOG, triggers=list(triggers) or [MAIL], **spec)


def mail(id_: str, data: Any = None, **attributes: Any) -> dict[str, Any]:
    """Return a CloudEvent as a mail agent publishes it."""
    return {
        "specversion": "1.0",
        "id": id_,
        "source": "https://mail.example",
        "type": "mail.received",
        "time": "2026-11-23T06:31:07.003Z",
        "namespace": "default",
        "publisher": "agent",
        "datacontenttype": "application/json",
        "data": {} if data is None else data,
        **attributes,
    }


def told_of_run(type_: str, run_id: UUID, id_: str, **data: Any) -> dict[str, Any]:
    """Return a CloudEvent with which Ordinaut tells of a run."""
    told = {"namespace": "default", "task": "t", "run": str(run_id), **data}
    return mail(id_, told, source="/ordinaut/namespaces/default", type=f"io.ordinaut.{type_}")


async def matches_of(
    connection: Connection, happened: Sequence[dict[str, Any]], *, ago: timedelta = timedelta()
) -> list[Match]:
    """Return what matches, as the dispatcher finds it, for events that were accepted some time ago."""
    known = Subscriptions()
    for one in await subscriptions.news(connection, {"default": -1}):
        known.put(one.task_id, None if one.triggers is None else [{**trigger, **_ALWAYS} for trigger in one.triggers])
    accepted = await clock.now(connection) - ago
    return [
        match
        for event in happened
        for match in known.match(event, position=next(_positions), place=0, created_at=accepted)
    ]


_ALWAYS = {"since": datetime(2020, 1, 1).astimezone().isoformat()}


async def happen(
    pool: Pool,
    *happened: dict[str, Any],
    ago: timedelta = timedelta(),
    rights: Rights = NO_CHECKS,
    max_hops: int = MAX_HOPS,
    told: Tell | None = None,
) -> Reactions:
    """Let events happen and tasks react."""
    async with pool.connection() as connection:
        async with connection.transaction():
            found = await matches_of(connection, happened, ago=ago)
            done = await react(connection, found, rights=rights, max_hops=max_hops)
        telling.tell(done, told=told)
        return done


async def close(pool: Pool, *, rights: Rights = NO_CHECKS) -> Closed:
    """Close the gatherings that are due."""
    return await close_due(pool, rights=rights, max_hops=MAX_HOPS)


async def pass_time(pool: Pool, by: timedelta) -> None:
    """Let gatherings have begun some time earlier."""
    async with pool.connection() as connection:
        await connection.execute(
            "UPDATE gathering SET opened_at = opened_at - %(by)s, due_at = due_at - %(by)s", {"by": by}
        )


async def ledger(pool: Pool, name: str = "t") -> list[Line]:
    """Return a task's ledger of events, oldest first."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT event_id, outcome, f.reason, f.message, run_id FROM event_fire f JOIN task t USING (task_id)"
            " WHERE t.name = %s ORDER BY position, place",
            [name],
        )
        return [Line(*row) for row in await cursor.fetchall()]


async def fates(pool: Pool, name: str = "t") -> list[str]:
    """Return the outcomes of a task's events, or why they were skipped, oldest first."""
    return [line.reason or line.outcome for line in await ledger(pool, name)]


async def runs_of(pool: Pool, name: str | None = "t") -> list[Run]:
    """Return the runs of a task, or of all, with their events, oldest first."""
    async with pool.connection() as connection:
        found = await runs.list_(connection, namespace="default", limit=99, task=name)
        whole = [await runs.get(connection, namespace="default", run_id=one.run_id) for one in reversed(found)]
    return [one for one in whole if one is not None]


async def gathered(pool: Pool) -> list[tuple[int, int]]:
    """Return how many events each gathering says it has, and how many it has."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT g.events, count(e.*)::int FROM gathering g LEFT JOIN gathered_event e USING (task_id, trigger)"
            " GROUP BY g.task_id, g.trigger ORDER BY g.task_id, g.trigger"
        )
        return [(row[0], row[1]) for row in await cursor.fetchall()]


async def outbox(pool: Pool, type_: str) -> list[dict[str, Any]]:
    """Return the events of a type that were written."""
    async with pool.connection() as connection:
        found = await in_outbox(connection)
    return [event for event in found if event["type"] == type_]


async def finish(pool: Pool, run_id: UUID) -> None:
    """End a run."""
    async with pool.connection() as connection, connection.transaction():
        await running.cancel(connection, namespace="default", run_id=run_id)

"""
The subscriptions: which triggers each task has, and what has changed of them since somebody last looked.

``ordinaut.declaration`` writes them in the transaction that declares a task (:func:`save`). The operator's dispatcher
keeps the subscriptions of each namespace in memory and asks, whenever there are events of the namespace, for what is
new (:func:`news`): nothing is told by notification, so nothing can be missed. What triggers mean is for
``ordinaut.triggers`` to say.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from psycopg.rows import args_row

from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL

Triggers = Sequence[Mapping[str, Any]]
"""The triggers of a task as they are stored."""


class Subscription(NamedTuple):
    """The triggers of a task; None where it has none any more."""

    task_id: int
    namespace: str
    triggers: Triggers | None


class News(NamedTuple):
    """A subscription that is new, or has changed, or ended, and the version of its namespace by which it was."""

    namespace: str
    version: int
    task_id: int
    triggers: Triggers | None


async def save(connection: Connection, changes: Sequence[Subscription]) -> None:
    """Take over the triggers of tasks; those that are as they were already change nothing."""
    if changes:
        await connection.execute(
            SQL["save_subscriptions"],
            {
                "task_ids": [one.task_id for one in changes],
                "namespaces": [one.namespace for one in changes],
                "triggers": [None if one.triggers is None else _json(one.triggers) for one in changes],
            },
        )


async def news(connection: Connection, known: Mapping[str, int]) -> list[News]:
    """
    Return what has changed in namespaces since the version known of each, -1 where none is.

    Each task is named once, as it is now.
    """
    if not known:
        return []
    cursor = connection.cursor(row_factory=args_row(News))
    await cursor.execute(SQL["subscription_news"], {"namespaces": list(known), "versions": list(known.values())})
    return await cursor.fetchall()


def _json(triggers: Triggers) -> str:
    return orjson.dumps(triggers).decode()

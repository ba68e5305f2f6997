"""
Webhooks: what a hook is at a delivery, and which deliveries were accepted already.

The api reads the hook before it checks a signature, and keeps the delivery in the transaction that publishes its event,
so that no delivery becomes two events. The operator's janitor forgets what no sender repeats any more.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from psycopg.rows import class_row

from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL

REMEMBERED: Final = timedelta(days=3)
"""How long a delivery is known: senders try again for so long, and GitHub's people can redeliver for so long."""


@dataclass(frozen=True, slots=True)
class Hook:
    """A declared hook; ``invalid`` is why its spec can't be used, None when it can."""

    uid: str
    spec: dict[str, Any]
    invalid: str | None


async def named(connection: Connection, *, namespace: str, name: str) -> Hook | None:
    """Return a hook, None if there is none."""
    cursor = connection.cursor(row_factory=class_row(Hook))
    await cursor.execute(SQL["hook_named"], {"namespace": namespace, "name": name})
    return await cursor.fetchone()


async def accept(connection: Connection, *, namespace: str, hook: str, delivery: bytes) -> bool:
    """Keep a delivery as part of a transaction; False if it was accepted before."""
    params = {"namespace": namespace, "hook": hook, "delivery": delivery}
    return (await connection.execute(SQL["keep_delivery"], params)).rowcount == 1


async def forget(connection: Connection, *, limit: int = 10_000) -> int:
    """Remove deliveries that are older than they have to be known for, and return how many were removed."""
    params = {"seconds": REMEMBERED.total_seconds(), "limit": limit}
    return (await connection.execute(SQL["forget_deliveries"], params)).rowcount

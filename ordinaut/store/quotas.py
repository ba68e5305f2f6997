"""
How much of a namespace's quotas is used: objects that were made through the API.

The api asks before it makes more. Objects of resources and of the watched directory are not counted: whoever may make
those is limited elsewhere.
"""

from dataclasses import dataclass

from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL


@dataclass(frozen=True, slots=True)
class Usage:
    """Live objects of a namespace that were made through the API."""

    tasks: int
    pipelines: int
    tools: int
    hooks: int


async def usage(connection: Connection, *, namespace: str) -> Usage:
    """Return how many objects a namespace has; exact as long as the caller holds its lock."""
    row = await (await connection.execute(SQL["count_declared"], {"namespace": namespace})).fetchone()
    assert row is not None  # noqa: S101 - the statement always returns a row
    return Usage(*row)

"""
Named queues: the name that a task says, and the number that its work carries.

Names are the same in all namespaces, as workers are: a queue is there from the first task that names it on, and stays.
``declaration`` asks for the number of a task's queue, workers ask which numbers their names have by now.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL

DEFAULT: Final = "default"
"""The queue of tasks that name none. Its number is 0."""

EVERY: Final = "*"
"""What a worker of all queues is told in place of names."""

MAX_QUEUES: Final = 1000
"""In an installation: workers look into each of theirs, one after the other."""

MAX_NAMED: Final = 100
"""That were named first in one namespace, so that no tenant takes all the names."""


async def ensure(connection: Connection, wanted: Mapping[str, str]) -> Mapping[str, int]:
    """
    Return the numbers of queues, part of the caller's transaction; new ones are made, while there is room.

    ``wanted`` are namespaces that name them, by their names.
    """
    found = await _numbers(connection, wanted)
    if missing := sorted(wanted.keys() - found.keys()):
        await connection.execute(SQL["lock_queues"])
        named = {"names": missing, "namespaces": [wanted[name] for name in missing]}
        await connection.execute(SQL["make_queues"], {**named, "limit": MAX_QUEUES, "each": MAX_NAMED})
        found |= await _numbers(connection, missing)
    return found


async def every(connection: Connection) -> dict[str, int]:
    """Return the numbers of all queues by their names."""
    cursor = await connection.execute(SQL["all_queues"])
    return dict(await cursor.fetchall())


def chosen(names: Iterable[str], known: Mapping[str, int]) -> Sequence[int]:
    """Return the numbers of the queues that a worker was told, of those that there are; pure."""
    told = set(names)
    return sorted(number for name, number in known.items() if EVERY in told or name in told)


async def _numbers(connection: Connection, names: Collection[str]) -> dict[str, int]:
    cursor = await connection.execute(SQL["queues_named"], {"names": sorted(names)})
    return dict(await cursor.fetchall())

"""The law of the ledger, held against all of a database: tests of the clock do so whenever something has happened."""

from collections.abc import Mapping
from datetime import UTC, datetime

from ordinaut.declaration import law
from ordinaut.declaration.law import Judgement
from ordinaut.store import ledger
from ordinaut.store.pool import Pool

ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


async def newest(pool: Pool, *, lines: int = 20) -> dict[str, Judgement | None]:
    """Return what a look at the newest lines of each task finds, by the tasks' names."""
    async with pool.connection() as connection:
        tasks = await ledger.clocks_after(connection, 0, limit=10_000)
        accounts = await ledger.accounts(connection, tasks, lines=lines + 1)
    return {account.name: law.newest(account, lines=lines) for account in accounts}


async def whole(pool: Pool, *, lines: int = 1000) -> dict[str, list[Judgement]]:
    """Return what a look at all of each ledger finds, in parts, by the tasks' names."""
    found: dict[str, list[Judgement]] = {}
    async with pool.connection() as connection:
        for task_id in await ledger.clocks_after(connection, 0, limit=10_000):
            after = ALWAYS
            while True:
                (account,) = await ledger.accounts(connection, [task_id], lines=lines + 1, after=after)
                part = law.part(account, after=after, lines=lines)
                assert part is not None
                found.setdefault(account.name, []).append(part)
                if part.is_whole:
                    break
                after = part.until
    return found


def broken(found: Mapping[str, Judgement | None]) -> dict[str, list[str]]:
    """Return in words how the law is broken, by the tasks' names; where it holds, nothing."""
    told = {name: [breach.text for breach in one.breaches] for name, one in found.items() if one is not None}
    return {name: breaches for name, breaches in told.items() if breaches}


async def assert_law(pool: Pool) -> None:
    """Hold the law against the newest lines of all tasks."""
    assert broken(await newest(pool)) == {}

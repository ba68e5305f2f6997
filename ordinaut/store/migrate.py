"""
Bringing a database to the schema of this program.

``ordinaut migrate`` and ``ordinaut dev`` call :func:`migrate`; every other process only asks :func:`pending` and is not
ready until the answer is empty. Migrations are forward only and never edited after they landed: the checksum of each is
stored and compared. They run under an advisory lock, one transaction each, with a lock timeout, so that a migration
never queues behind a long transaction while everybody else queues behind it.
"""

import functools
import hashlib
import re
from dataclasses import dataclass
from importlib import resources

from psycopg import sql

from ordinaut.errors import StoreUnready
from ordinaut.store import history
from ordinaut.store.pool import SCHEMA, Connection
from ordinaut.store.queries import SQL

LOCK_KEY = 0x0D1_0A07
"""Key of the advisory lock; any number, the same in every release."""

_NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of ``migrations/``."""

    version: int
    name: str
    text: str

    @property
    def checksum(self) -> bytes:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).digest()


def migrations() -> list[Migration]:
    """Return all migrations in their order; ``ValueError`` for a name or number that breaks the rule."""
    found = []
    for entry in resources.files(__package__).joinpath("migrations").iterdir():
        if not (match := _NAME.fullmatch(entry.name)):
            if entry.name.endswith(".sql"):
                raise ValueError(f"{entry.name}: name migrations NNNN_slug.sql")
            continue
        found.append(Migration(int(match[1]), entry.name.removesuffix(".sql"), entry.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError("migrations must be numbered 1, 2, 3, … without gaps")
    return found


@functools.cache
def latest_version() -> int:
    """Return the number of the last migration that this program knows."""
    return migrations()[-1].version


async def applied_version(connection: Connection) -> int:
    """Return the number of the last migration that the database has; 0 if it has none."""
    (exists,) = await _one(connection, "migration_table_exists")
    if not exists:
        return 0
    row = await (await connection.execute(SQL["last_migration"])).fetchone()
    return int(row[0]) if row else 0


async def pending(connection: Connection) -> list[Migration]:
    """
    Return the migrations that the database lacks; it need not have been prepared at all.

    Raises:
        StoreUnready: an applied migration differs from the file of the same number.
    """
    (exists,) = await _one(connection, "migration_table_exists")
    if not exists:
        return migrations()
    applied = {version: checksum async for version, checksum in await connection.execute(SQL["applied_migrations"])}
    for migration in migrations():
        if applied.get(migration.version, migration.checksum) != migration.checksum:
            raise StoreUnready(f"migration {migration.name} was applied with another text; restore the released file")
    return [migration for migration in migrations() if migration.version not in applied]


async def migrate(connection: Connection) -> list[Migration]:
    """
    Apply what is missing and return it; safe to call from any number of processes at once.

    Raises:
        psycopg.errors.LockNotAvailable: a table was locked by somebody else for over 4 s; try again.
    """
    await connection.execute(SQL["lock_migrations"], {"key": LOCK_KEY})
    try:
        # Under the lock: of two that find no schema, one would fail.
        await connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))
        await connection.execute(SQL["create_migration_table"])
        missing = await pending(connection)
        for migration in missing:
            async with connection.transaction():
                await connection.execute(SQL["limit_migration_locks"])
                # No parameters: the file is sent as one script of many statements.
                await connection.execute(migration.text.encode())
                await connection.execute(
                    SQL["record_migration"],
                    {"version": migration.version, "name": migration.name, "checksum": migration.checksum},
                )
        await history.make_ahead(connection)
    finally:
        await connection.execute(SQL["unlock_migrations"], {"key": LOCK_KEY})
    return missing


async def _one(connection: Connection, name: str) -> tuple[bool]:
    row = await (await connection.execute(SQL[name])).fetchone()
    assert row is not None  # noqa: S101 - the statement always returns a row
    return (bool(row[0]),)

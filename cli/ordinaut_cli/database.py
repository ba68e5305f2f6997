"""Migrating a database from the command line; ``migrate`` and ``dev`` call it."""

import asyncio
from datetime import timedelta

import psycopg

from ordinaut.errors import StoreUnready
from ordinaut.settings import BY_PARTS
from ordinaut.store import migrate as migrations
from ordinaut.store.pool import connect
from ordinaut_cli.errors import CommandError


def migrate(url: str) -> list[str]:
    """Apply what is missing and return the names."""
    return asyncio.run(apply_migrations(url))


async def apply_migrations(url: str) -> list[str]:
    """Apply what is missing and return the names; a failure is told as what to do about it."""
    try:
        async with await connect(url, application="migrate", statement_timeout=timedelta(minutes=10)) as connection:
            return [migration.name for migration in await migrations.migrate(connection)]
    except psycopg.errors.LockNotAvailable:
        raise CommandError("a table is in use by a long transaction; wait for it or end it, and try again") from None
    except psycopg.OperationalError as error:
        name, where = ("PGHOST", "PG… variables") if url == BY_PARTS else ("ORDINAUT_DATABASE_URL", "URL")
        raise CommandError(
            f"{name}: cannot reach the database: {str(error).strip()}",
            f"check the {where}, and that PostgreSQL is running and lets this user in",
        ) from None
    except (psycopg.Error, StoreUnready) as error:
        raise CommandError(f"cannot migrate: {str(error).strip()}") from None

"""``ordinaut migrate``: bring the database to the schema of this version."""

import asyncio
from datetime import timedelta

import psycopg

from ordinaut.errors import StoreUnready
from ordinaut.settings import ProcessSettings, load
from ordinaut.store import migrate as migrations
from ordinaut.store.pool import connect
from ordinaut_cli import render
from ordinaut_cli.errors import CommandError
from ordinaut_cli.options import Output, OutputFormat


def migrate(output: Output = OutputFormat.TABLE) -> None:
    """Bring the database up to date.

    It is the one that DATABASE_URL names. Safe to repeat, and to run from several places at once.
    """
    url = load(ProcessSettings).database_url.get_secret_value()
    try:
        applied = asyncio.run(apply_migrations(url))
    except psycopg.errors.LockNotAvailable:
        raise CommandError("a table is in use by a long transaction; wait for it or end it, and try again") from None
    except psycopg.OperationalError as error:
        raise CommandError(
            f"ORDINAUT_DATABASE_URL: cannot reach the database: {str(error).strip()}",
            "check the URL, and that PostgreSQL is running and lets this user in",
        ) from None
    except (psycopg.Error, StoreUnready) as error:
        raise CommandError(f"cannot migrate: {str(error).strip()}") from None
    table = "\n".join(f"applied {name}" for name in applied) or "the database is up to date"
    render.show({"applied": applied}, output, as_table=table)


async def apply_migrations(url: str) -> list[str]:
    """Apply what is missing and return the names."""
    async with await connect(url, application="migrate", statement_timeout=timedelta(minutes=10)) as connection:
        return [migration.name for migration in await migrations.migrate(connection)]

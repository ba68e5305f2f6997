"""``ordinaut migrate``: bring the database to the schema of this version."""

from ordinaut_cli import render
from ordinaut_cli.options import Output, OutputFormat


def migrate(output: Output = OutputFormat.TABLE) -> None:
    """Bring the database up to date.

    It is the one that DATABASE_URL names. Safe to repeat, and to run from several places at once.
    """
    from ordinaut.settings import ProcessSettings, load  # noqa: PLC0415 - as below
    from ordinaut_cli import database  # noqa: PLC0415 - slow to load, and other commands need not wait for it

    applied = database.migrate(load(ProcessSettings).database_url.get_secret_value())
    table = "\n".join(f"applied {name}" for name in applied) or "the database is up to date"
    render.show({"applied": applied}, output, as_table=table)

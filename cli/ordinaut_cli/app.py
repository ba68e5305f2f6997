"""
The command line's entry point, as ``ordinaut`` and as ``kubectl ordinaut``.

Each command is a function of a module in ``commands``; here they get their names. A `CommandError` becomes lines on
stderr and an exit status, and so does every other error: a traceback helps nobody who did not write this program.
"""

import os
import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from ordinaut_cli import render
from ordinaut_cli.commands import (
    access,
    apply,
    config,
    delete,
    describe,
    events,
    get,
    login,
    migrate,
    overlays,
    run,
    schedule,
    validate,
    version,
)
from ordinaut_cli.dev import command as dev
from ordinaut_cli.errors import FAILED, CommandError


class Commands(TyperGroup):
    """The group of all commands: tells failures and keeps the order in which commands were added."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command and turn its failure into lines and a status."""
        try:
            return super().invoke(ctx)
        except CommandError as failure:
            _complain(failure.lines)
            raise typer.Exit(failure.exit_code) from None


def _complain(lines: tuple[str, ...]) -> None:
    for line in lines:
        print(render.visible(line), file=sys.stderr)


app = typer.Typer(
    name="ordinaut",
    cls=Commands,
    help="Time, state and discipline for AI agents: tasks that run on time, step by step, with their history.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for command in (
    dev.dev,
    validate.validate,
    apply.apply,
    delete.delete,
    get.get,
    describe.describe,
    schedule.preview,
    schedule.fires,
    overlays.pause,
    overlays.resume,
    overlays.snooze,
    run.run,
    get.runs,
    run.wait,
    run.cancel,
    run.retry,
    events.publish,
    events.events,
    events.audit,
    access.whoami,
    access.quota,
    login.login,
    access.token,
    migrate.migrate,
    version.version,
):
    app.command()(command)
app.add_typer(config.group, name="config", help="Show and change the contexts that `ordinaut login` made.")


def program_name(argument: str) -> str:
    """Return how the program was called, for the usage line: kubectl runs ``kubectl-NAME`` for ``kubectl NAME``."""
    name = Path(argument).name
    return "kubectl ordinaut" if name.startswith("kubectl") else "ordinaut"


def main() -> None:
    """Run the command line."""
    try:
        app(prog_name=program_name(sys.argv[0]))
    except Exception as error:
        if os.environ.get("ORDINAUT_DEBUG"):
            raise
        _complain((f"unexpected error: {type(error).__name__}: {error}", "set ORDINAUT_DEBUG=1 to see where"))
        sys.exit(FAILED)

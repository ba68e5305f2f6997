"""
The command line's entry point, as ``ordinaut`` and as ``kubectl ordinaut``.

Each command is a function of a module in ``commands``; here they get their names. A `CommandError` becomes lines on
stderr and an exit status, and so does every other error: a traceback helps nobody who did not write this program.
"""

import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from ordinaut_cli import invocation, render
from ordinaut_cli.commands import (
    access,
    apply,
    audit,
    backfill,
    calendar,
    config,
    delete,
    describe,
    event_reading,
    get,
    login,
    logs,
    migrate,
    overlays,
    publish,
    replay,
    report,
    run,
    schedule,
    status,
    validate,
    verify,
    version,
    why,
    workers,
)
from ordinaut_cli.dev import command as dev
from ordinaut_cli.errors import FAILED, CommandError

OF_RUNS = (["cancel"], ["retry"], ["unpark"], ["wait"])


class Commands(TyperGroup):
    """The group of all commands: tells failures and keeps the order in which commands were added."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; `runs cancel` and the like are another way to say `cancel`."""
        return super().resolve_command(ctx, args[1:] if args[:1] == ["runs"] and args[1:2] in OF_RUNS else args)

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
    why.why,
    logs.logs,
    schedule.preview,
    calendar.calendar,
    schedule.fires,
    verify.verify,
    backfill.backfill,
    backfill.backfills,
    backfill.cancel_backfill,
    overlays.pause,
    overlays.resume,
    overlays.snooze,
    run.run,
    get.runs,
    run.wait,
    run.cancel,
    run.retry,
    run.unpark,
    workers.workers,
    status.status,
    report.report,
    publish.publish,
    audit.audit,
    access.whoami,
    access.quota,
    login.login,
    access.token,
    migrate.migrate,
    replay.replay_events,
    version.version,
):
    app.command()(command)
event_reading.group.command()(publish.publish)
app.add_typer(event_reading.group, name="events")
app.add_typer(config.group, name="config", help="Show and change the contexts that `ordinaut login` made.")


def main() -> None:
    """Run the command line."""
    try:
        app(prog_name=invocation.program())
    except Exception as error:
        if os.environ.get("ORDINAUT_DEBUG"):
            raise
        _complain((f"unexpected error: {type(error).__name__}: {error}", "set ORDINAUT_DEBUG=1 to see where"))
        sys.exit(FAILED)

"""``ordinaut dev``: its options."""

from pathlib import Path
from typing import Annotated

import typer

from ordinaut_cli.commands.run import finish
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.options import Folder

INTERRUPTED = 130
"""Status of a program that Ctrl-C ended before its work was done, as shells have it."""


def dev(
    directory: Folder,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the API on this machine.")] = 8080,
    data: Annotated[Path, typer.Option(metavar="DIR", help="Folder that keeps the data between starts.")] = Path(
        ".ordinaut"
    ),
    workers: Annotated[int, typer.Option(min=1, max=32, help="How many workers to start.")] = 2,
    run: Annotated[str | None, typer.Option(metavar="TASK", help="Run this task as soon as all is up.")] = None,
    once: Annotated[
        str | None, typer.Option(metavar="TASK", help="Run this task, show the run, stop; status 0 if it succeeded.")
    ] = None,
    publish: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Publish the events of this file as soon as all is up: one JSON object a line.",
        ),
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the logs of all processes.")] = False,
) -> None:
    """Run all of Ordinaut here, with a directory's manifests."""
    from ordinaut_cli.dev import session  # noqa: PLC0415 - slow to load, and other commands need not wait for it

    if run and once:
        raise CommandError("--run and --once exclude each other: keep one of them", exit_code=WRONG_INPUT)
    over = session.run(
        session.Options(
            directory=directory,
            data=data,
            port=port,
            workers=workers,
            run=run or once,
            once=once is not None,
            publish=publish,
            verbose=verbose,
        )
    )
    if over is not None:
        finish(over)
    elif once:
        raise typer.Exit(INTERRUPTED)

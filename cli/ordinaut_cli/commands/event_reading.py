"""``ordinaut events``: what happened, as a list and as it happens."""

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ordinaut_cli import asking, moments, render, target, times, views
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.options import Api, InContext, Limit, Namespace, Output, OutputFormat

if TYPE_CHECKING:
    from ordinaut.client import Client

INTERRUPTED: Final = 130
"""The status of a command that somebody has ended with Ctrl-C, as shells have it."""

FOR_EVER: Final = float("inf")

group = typer.Typer(rich_markup_mode=None, invoke_without_command=True)

Kind = Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Only events of this type.")]
Topics = Annotated[
    list[str] | None,
    typer.Option("--topic", metavar="PATTERN", help="Only of such types: mail.* one word more, mail.> the rest."),
]
Subject = Annotated[
    str | None, typer.Option(metavar="SUBJECT", help="Only about this, or what is below it: tasks/briefing.")
]
OfTask = Annotated[str | None, typer.Option("--task", "-t", metavar="TASK", help="Only of this task and its runs.")]


@group.callback()
def events(
    command: typer.Context,
    *,
    kind: Kind = None,
    limit: Limit = 20,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show events: by itself, the same as list."""
    if command.invoked_subcommand is None:
        list_(kind=kind, limit=limit, namespace=namespace, api=api, context=context, output=output)
    elif early := [one for one in command.params if _is_given(command, one)]:
        option = early[0].replace("kind", "type")
        message = (
            f"--{option}: write options behind the command: ordinaut events {command.invoked_subcommand} --{option}"
        )
        raise CommandError(message, exit_code=WRONG_INPUT)


def _is_given(command: typer.Context, param: str) -> bool:
    source = command.get_parameter_source(param)
    return source is not None and source.name == "COMMANDLINE"


@group.command("list")
def list_(
    *,
    kind: Kind = None,
    topic: Topics = None,
    subject: Subject = None,
    task: OfTask = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only of this run and its steps.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only from then on: a duration such as 2h, or an RFC 3339 time.")
    ] = None,
    limit: Limit = 20,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """List the events of the last days, the newest first."""
    chosen: dict[str, Any] = {"type_": kind, "topic": topic, "subject": subject, "task": task, "run": run}
    chosen["created_after"] = None if since is None else moments.before_now(since)
    items = asking.ask(
        target.choose(api=api, namespace=namespace, context=context),
        lambda client: asking.gathered(client.events.list(**chosen, limit=limit)),
    )
    render.listed(items, output, none="no events", table=lambda: views.events(items, now=times.now()))


@group.command()
def tail(
    *,
    kind: Kind = None,
    topic: Topics = None,
    subject: Subject = None,
    task: OfTask = None,
    run: Annotated[
        str | None, typer.Option(metavar="RUN", help="Of this run and its steps: from its first to its last one.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Begin back then: a duration such as 2h, or an RFC 3339 time."),
    ] = None,
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="Begin behind this place of the log; 0: with all that is kept.")
    ] = None,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show events as they happen, until Ctrl-C.

    Goes on by itself where the connection breaks off: no event is missed and none shown twice. With -o json each event
    is one line.
    """
    if run is not None and any((kind, topic, subject, task, since, after)):
        raise CommandError("--run: goes with no other choice", exit_code=WRONG_INPUT)
    if since is not None and after is not None:
        raise CommandError("--since: goes not with --after: both say where to begin", exit_code=WRONG_INPUT)
    begin = None if since is None else moments.before_now(since)
    printer = _Printer(output)

    async def work(client: "Client") -> None:
        if run is not None:
            async for event in client.runs.events(run, patience=FOR_EVER):
                printer(event)
            return
        async for one in client.events.follow(
            type_=kind, topic=topic, subject=subject, task=task, since=begin, after=after, patience=FOR_EVER
        ):
            if one.event is None:
                render.console(stderr=True).print("events are missing here: they are not kept any more", style="yellow")
            else:
                printer(one.event)

    try:
        asking.ask(target.choose(api=api, namespace=namespace, context=context), work, waits=True)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # who reads has had enough, as in `… | head`
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None


class _Printer:
    def __init__(self, output: OutputFormat) -> None:
        self._output = output
        self._console = render.console()

    def __call__(self, event: Any) -> None:
        if self._output is OutputFormat.JSON:
            print(render.compact(event), flush=True)
        elif self._output is OutputFormat.YAML:
            print(f"---\n{render.dump(event, OutputFormat.YAML)}", flush=True)
        else:
            self._console.print(views.event_line(event))

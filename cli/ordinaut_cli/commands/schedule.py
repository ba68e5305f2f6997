"""``ordinaut fires`` and ``ordinaut preview``: what became of nominal times, and which ones come."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ordinaut_cli import asking, render, target, times, views
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.options import Api, InContext, Limit, Namespace, OptionalFiles, Output, OutputFormat, TaskName


def fires(
    task: TaskName,
    limit: Limit = 20,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show what became of a task's nominal times.

    Each has a run, or the reason why it was skipped.
    """
    items = asking.ask(
        target.choose(api=api, namespace=namespace, context=context),
        lambda client: asking.gathered(client.tasks.fires(task, limit=limit)),
    )
    render.listed(items, output, none="no nominal time has come yet", table=lambda: views.fires(items, now=times.now()))


def preview(
    task: Annotated[str | None, typer.Argument(metavar="[TASK]", help="The task's name.")] = None,
    filename: OptionalFiles = None,
    count: Annotated[int, typer.Option("--count", "-c", min=1, max=100, help="How many times to show.")] = 10,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show when a task will run.

    Either one that exists, or those in files, which needs no API.
    """
    if (task is None) != bool(filename):
        raise CommandError("name a TASK, or files with -f, but not both", exit_code=WRONG_INPUT)
    chosen = target.choose(api=api, namespace=namespace, context=context)
    if task is not None:
        name = task
        found = asking.ask(chosen, lambda client: client.tasks.preview(name, count=count))
        _show({task: found["items"]}, output, single=True)
    elif filename:
        from ordinaut_cli import foresight  # noqa: PLC0415 - slow to load, and other commands need not wait for it

        _show(foresight.coming(filename, namespace=chosen.namespace, count=count), output, single=False)


def _show(found: Mapping[str, list[str]], output: OutputFormat, *, single: bool) -> None:
    if output is not OutputFormat.TABLE:
        listed: Any = [{"task": name, "items": items} for name, items in found.items()]
        print(render.dump({"items": listed[0]["items"]} if single else {"tasks": listed}, output))
        return
    console = render.console()
    for name, items in found.items():
        if not single:
            console.print(f"[bold]{render.plain(name)}[/bold]")
        if items:
            console.print(views.preview(items, now=times.now()))
        else:
            print(f"{name} will not fire: it is suspended, paused, or has no times left", file=sys.stderr)

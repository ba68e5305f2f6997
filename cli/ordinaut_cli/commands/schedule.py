"""``ordinaut fires`` and ``ordinaut preview``: what became of nominal times, and which ones come."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ordinaut_cli import render, times, views
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.options import DEFAULT_API, Api, Limit, Namespace, OptionalFiles, Output, OutputFormat
from ordinaut_cli.rest import Rest


def fires(
    task: Annotated[str, typer.Argument(metavar="TASK", help="The task's name.")],
    limit: Limit = 20,
    namespace: Namespace = "default",
    api: Api = DEFAULT_API,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show what became of a task's nominal times.

    Each has a run, or the reason why it was skipped.
    """
    with Rest(api, namespace=namespace) as rest:
        items = list(rest.items(f"tasks/{render.segment(task)}/fires", limit=limit))
    if not items and output is OutputFormat.TABLE:
        render.console(stderr=True).print("no nominal time has come yet", style="dim")
        return
    render.show({"items": items}, output, as_table=views.fires(items, now=times.now()))


def preview(
    task: Annotated[str | None, typer.Argument(metavar="[TASK]", help="The task's name.")] = None,
    filename: OptionalFiles = None,
    count: Annotated[int, typer.Option("--count", "-c", min=1, max=100, help="How many times to show.")] = 10,
    namespace: Namespace = "default",
    api: Api = DEFAULT_API,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show when a task will run.

    Either one that exists, or those in files, which needs no API.
    """
    if (task is None) != bool(filename):
        raise CommandError("name a TASK, or files with -f, but not both", exit_code=WRONG_INPUT)
    if task is not None:
        with Rest(api, namespace=namespace) as rest:
            found = rest.get(f"tasks/{render.segment(task)}/preview", count=count)["items"]
        _show({task: found}, output, single=True)
    elif filename:
        from ordinaut_cli import foresight  # noqa: PLC0415 - slow to load, and other commands need not wait for it

        _show(foresight.coming(filename, namespace=namespace, count=count), output, single=False)


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
            print(f"{name} will not fire: it is suspended or has no times left", file=sys.stderr)

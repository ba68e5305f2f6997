"""``ordinaut fires`` and ``ordinaut preview``: what became of nominal times, and which ones come."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from ordinaut.declaration import examine
from ordinaut.declaration.nominal import upcoming
from ordinaut.errors import Invalid
from ordinaut.resources.manifest import Task
from ordinaut_cli import files, render, times, views
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
        _show(_from_files(filename, namespace=namespace, count=count), output, single=False)


def _from_files(names: list[str], *, namespace: str, count: int) -> dict[str, list[str]]:
    """Return the next times of each task in files, as if it were applied now."""
    now = times.now()
    found = {}
    for document in files.load(names):
        try:
            resource = examine.check(files.content(document, namespace=namespace))
        except Invalid as invalid:
            raise CommandError(*files.mistakes(document, invalid.errors), exit_code=WRONG_INPUT) from None
        if isinstance(resource, Task):
            spec = resource.spec.canonical()
            coming = upcoming(spec, anchor=now, after=now, limit=count)
            found[resource.metadata.name] = [time.isoformat().replace("+00:00", "Z") for time in coming]
    if not found:
        raise CommandError(f"-f: {', '.join(names)}: no Task in there", exit_code=WRONG_INPUT)
    return found


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

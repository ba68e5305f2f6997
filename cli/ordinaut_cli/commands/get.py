"""``ordinaut get`` and ``ordinaut runs``: lists, and single objects by name."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from ordinaut.states import RunPhase, Trigger
from ordinaut_cli import render, times, views
from ordinaut_cli.options import DEFAULT_API, Api, Limit, Namespace, Output, OutputFormat
from ordinaut_cli.rest import Rest


class Collection(StrEnum):
    """What there is to get, by the names that kubectl takes for it too."""

    TASKS = "tasks"
    TASK = "task"
    OTASK = "otask"
    PIPELINES = "pipelines"
    PIPELINE = "pipeline"
    OPIPE = "opipe"
    TOOLS = "tools"
    TOOL = "tool"
    OTOOL = "otool"
    RUNS = "runs"
    RUN = "run"

    @property
    def plural(self) -> str:
        """The name in the API's paths."""
        return {"otask": "tasks", "opipe": "pipelines", "otool": "tools"}.get(self, self.rstrip("s") + "s")


def get(
    collection: Annotated[
        Collection, typer.Argument(metavar="tasks|pipelines|tools|runs", show_choices=False, help="What to get.")
    ],
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only the one of this name.")] = None,
    namespace: Namespace = "default",
    api: Api = DEFAULT_API,
    output: Output = OutputFormat.TABLE,
) -> None:
    """List tasks, pipelines, tools or runs, or show one."""
    with Rest(api, namespace=namespace) as rest:
        if name is not None:
            found = rest.get(f"{collection.plural}/{render.segment(name)}")
            _show([found], found, collection.plural, output)
        else:
            items = list(rest.items(collection.plural, limit=100 if collection.plural == "runs" else None))
            _show(items, {"items": items}, collection.plural, output)


def runs(
    task: Annotated[str | None, typer.Option("--task", "-t", help="Only runs of this task.")] = None,
    phase: Annotated[RunPhase | None, typer.Option(help="Only runs in this phase.")] = None,
    trigger: Annotated[Trigger | None, typer.Option(help="Only runs that were made so.")] = None,
    limit: Limit = 20,
    namespace: Namespace = "default",
    api: Api = DEFAULT_API,
    output: Output = OutputFormat.TABLE,
) -> None:
    """List runs, the newest first."""
    with Rest(api, namespace=namespace) as rest:
        items = list(rest.items("runs", limit=limit, task=task, phase=phase, trigger=trigger))
    _show(items, {"items": items}, "runs", output)


def _show(items: list[Any], whole: Any, plural: str, output: OutputFormat) -> None:
    if not items and output is OutputFormat.TABLE:
        render.console(stderr=True).print(f"no {plural} in this namespace", style="dim")
        return
    render.show(whole, output, as_table=views.TABLES[plural](items, now=times.now()))

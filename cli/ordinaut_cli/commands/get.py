"""``ordinaut get`` and ``ordinaut runs``: lists, and single objects by name."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ordinaut.states import RunPhase, Trigger
from ordinaut_cli import asking, render, target, times, views
from ordinaut_cli.options import Api, InContext, Limit, Namespace, Output, OutputFormat

if TYPE_CHECKING:
    from ordinaut.client import Client


MANY_RUNS = 100
"""Runs that a list shows: there is no end to them."""


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
    HOOKS = "hooks"
    HOOK = "hook"
    OHOOK = "ohook"
    RUNS = "runs"
    RUN = "run"

    @property
    def plural(self) -> str:
        """The name in the API's paths."""
        short = {"otask": "tasks", "opipe": "pipelines", "otool": "tools", "ohook": "hooks"}
        return short.get(self, self.rstrip("s") + "s")


def get(
    collection: Annotated[
        Collection, typer.Argument(metavar="tasks|pipelines|tools|hooks|runs", show_choices=False, help="What to get.")
    ],
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Only the one of this name.")] = None,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """List tasks, pipelines, tools, hooks or runs, or show one."""
    chosen, plural = target.choose(api=api, namespace=namespace, context=context), collection.plural

    async def work(client: "Client") -> Any:
        noun: Any = getattr(client, plural)
        if name is not None:
            return await noun.get(name)
        return await asking.gathered(noun.list(limit=MANY_RUNS if plural == "runs" else None))

    found = asking.ask(chosen, work)
    if name is not None:
        render.show(found, output, as_table=views.TABLES[plural]([found], now=times.now()))
    else:
        _list(found, plural, output)


def runs(
    task: Annotated[str | None, typer.Option("--task", "-t", help="Only runs of this task.")] = None,
    phase: Annotated[RunPhase | None, typer.Option(help="Only runs in this phase.")] = None,
    trigger: Annotated[Trigger | None, typer.Option(help="Only runs that were made so.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only runs made at this time or later.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only runs made before this time.")] = None,
    limit: Limit = 20,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """List runs, the newest first."""
    chosen = target.choose(api=api, namespace=namespace, context=context)
    items = asking.ask(
        chosen,
        lambda client: asking.gathered(
            client.runs.list(
                task=task, phase=phase, trigger=trigger, created_after=since, created_before=until, limit=limit
            )
        ),
    )
    _list(items, "runs", output)


def _list(items: list[Any], plural: str, output: OutputFormat) -> None:
    none = f"no {plural} in this namespace"
    render.listed(items, output, none=none, table=lambda: views.TABLES[plural](items, now=times.now()))

"""``ordinaut delete``: remove objects that were made through the API."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ordinaut_cli import asking, target
from ordinaut_cli.commands.get import Collection
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.options import Api, InContext, Namespace, OptionalFiles

if TYPE_CHECKING:
    from ordinaut.client import Client

_KINDS = {"tasks": "Task", "pipelines": "Pipeline", "tools": "Tool", "hooks": "Hook"}


def delete(
    kind: Annotated[
        Collection | None,
        typer.Argument(metavar="task|pipeline|tool|hook", show_choices=False, help="What to delete."),
    ] = None,
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Their names.")] = None,
    filename: OptionalFiles = None,
    ignore_not_found: Annotated[bool, typer.Option("--ignore-not-found", help="What is gone already is fine.")] = False,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
) -> None:
    """Delete tasks, pipelines, tools or hooks.

    Either by their names, or those in files. A task's runs are cancelled, its history stays.
    """
    collection = kind.plural if kind else ""
    if bool(names) == bool(filename) or collection == "runs" or (filename and kind):
        raise CommandError("name a task, pipeline, tool or hook, or files with -f, but not both", exit_code=WRONG_INPUT)
    chosen = target.choose(api=api, namespace=namespace, context=context)
    doomed = [(collection, chosen.namespace, name) for name in names or ()]
    if filename:
        from ordinaut_cli import applying  # noqa: PLC0415 - slow to load, and other commands need not wait for it

        doomed = applying.named(filename, namespace=chosen.namespace)

    async def work(client: "Client") -> None:
        for one in doomed:
            print(await _delete(client, *one, ignore_not_found=ignore_not_found))

    asking.ask(chosen, work)


async def _delete(client: Any, collection: str, namespace: str, name: str, *, ignore_not_found: bool) -> str:
    from ordinaut.client import NotFound  # noqa: PLC0415 - loaded with the client

    title = f"{_KINDS[collection]} {namespace}/{name}"
    try:
        await getattr(client.in_namespace(namespace), collection).delete(name)
    except NotFound:
        if not ignore_not_found:
            raise
        return f"{title} not found"
    return f"{title} deleted"

"""``ordinaut logs``: what runs did, step by step; with ``-f`` as it happens."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import typer

from ordinaut.states import ENDED_RUN_PHASES
from ordinaut_cli import asking, progress, render, target
from ordinaut_cli.options import Api, InContext, Namespace, Output, OutputFormat
from ordinaut_cli.progress import Entry, Progress

if TYPE_CHECKING:
    from ordinaut.client import Client

LOOK_AGAIN: Final = 1.0
"""Seconds between looks for new runs of a task."""

AT_ONCE: Final = 10
"""Runs that are followed at the same time; the API lets a caller follow twice as many."""

_LISTED: Final = 20


def logs(
    subject: Annotated[str, typer.Argument(metavar="TASK|RUN", help="A task's name, or a run's id.")],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as it happens: of a run to its end, of a task with new runs.")
    ] = False,
    runs: Annotated[int, typer.Option(min=0, max=100, help="Of a task: how many of its latest runs.")] = 1,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show what a run did: results and errors of its steps, messages of std.log, and how it ended.

    With -o json each entry is one line.
    """
    space, slash, name = subject.rpartition("/")
    chosen = target.choose(api=api, namespace=space if slash else namespace, context=context)
    printer = _Printer(output, named=not _is_run(name))

    async def work(client: "Client") -> None:
        if _is_run(name):
            await _tell(client, name, follow=follow, printer=printer)
        elif follow:
            await _follow_task(client, name, latest=runs, printer=printer)
        else:
            await client.tasks.get(name)  # one that does not exist is told as such
            found = await asking.gathered(client.runs.list(task=name, limit=runs)) if runs else []
            for run in reversed(found):
                await _tell(client, run["metadata"]["name"], follow=False, printer=printer)

    asking.ask(chosen, work, waits=follow)


class _Printer:
    def __init__(self, output: OutputFormat, *, named: bool) -> None:
        self._output = output
        self._named = named
        self._console = render.console()

    def __call__(self, entry: Entry) -> None:
        if self._output is OutputFormat.JSON:
            print(render.compact(entry.as_data()), flush=True)
        elif self._output is OutputFormat.YAML:
            print(f"---\n{render.dump(entry.as_data(), OutputFormat.YAML)}", flush=True)
        else:
            self._console.print(progress.line(entry, named=self._named))


def _is_run(name: str) -> bool:
    try:
        UUID(name)
    except ValueError:
        return False
    return True


async def _tell(client: "Client", name: str, *, follow: bool, printer: _Printer) -> None:
    """Print what a run did, and with ``follow`` what it does until it is over."""
    found: Any = await client.runs.get(name)
    told = Progress(await _tools(client, found["spec"]["task"]))
    for entry in told.news(found):
        printer(entry)
    if follow and found["status"]["phase"] not in ENDED_RUN_PHASES:
        async for later in client.runs.follow(name):
            for entry in told.news(later):  # type: ignore[arg-type]
                printer(entry)


async def _follow_task(client: "Client", task: str, *, latest: int, printer: _Printer) -> None:
    """Print what the latest runs of a task did, and each new one, until somebody ends it."""
    await client.tasks.get(task)
    before = await _listed(client, task)
    told = {run["metadata"]["name"] for run in before[latest:] if run["status"]["phase"] in ENDED_RUN_PHASES}
    room = asyncio.Semaphore(AT_ONCE)

    async def tell(name: str) -> None:
        async with room:
            await _tell(client, name, follow=True, printer=printer)

    async def look() -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                for name in reversed([run["metadata"]["name"] for run in await _listed(client, task)]):
                    if name not in told:
                        told.add(name)
                        group.create_task(tell(name))
                await asyncio.sleep(LOOK_AGAIN)

    try:
        await look()
    except ExceptionGroup as several:
        raise several.exceptions[0] from None  # what one of them met, the others would too


async def _listed(client: "Client", task: str) -> list[Any]:
    return await asking.gathered(client.runs.list(task=task, limit=_LISTED))


async def _tools(client: "Client", task: str) -> dict[str, str]:
    """Return the tools of a task's steps as they are now; nothing if they can't be seen."""
    from ordinaut.client import ProblemError  # noqa: PLC0415 - loaded by now

    try:
        found: Any = await client.tasks.get(task)
        spec = found["spec"]
        if "pipelineRef" in spec:
            found = await client.pipelines.get(spec["pipelineRef"]["name"])
            return progress.tools_of(found["spec"])
        return progress.tools_of(spec.get("pipeline", {}))
    except ProblemError:
        return {}

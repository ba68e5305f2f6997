"""``ordinaut why``: why a task runs or does not, and where a run is."""

import difflib
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ordinaut_cli import asking, findings, invocation, reasons, render, target, times
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.findings import Finding
from ordinaut_cli.options import Api, InContext, Namespace, Output, OutputFormat

if TYPE_CHECKING:
    from ordinaut.client import Client

RECENT: Final = 20
"""Runs and nominal times of the past that are looked at."""

_RUN: Final = "run"
_TASK: Final = "task"


def why(
    subject: Annotated[list[str], typer.Argument(metavar="TASK | NAMESPACE/TASK | run RUN", help="What to look at.")],
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Tell why a task runs or does not, or where a run is and why it waits or has failed.

    Each line ends with the command that helps.
    """
    kind, space, name = parse_subject(subject)
    chosen = target.choose(api=api, namespace=space or namespace, context=context)

    async def work(client: "Client") -> tuple[str, list[Finding]]:
        return await (_of_run(client, name) if kind == _RUN else _of_task(client, name))

    title, found = asking.ask(chosen, work)
    if output is OutputFormat.TABLE:
        console = render.console()
        console.print(render.plain(title), style="bold")
        findings.show(found, console=console)
    else:
        print(render.dump({"subject": title, "findings": [one.as_data() for one in found]}, output))


def parse_subject(words: list[str]) -> tuple[str, str | None, str]:
    """Return whether a task or a run is meant, in which namespace if that is named, and its name. Pure."""
    match words:
        case [kind, name] if kind in {_RUN, _TASK}:
            pass
        case [name]:
            kind = _TASK
        case _:
            text = " ".join(words)
            raise CommandError(f"{text}: write TASK, NAMESPACE/TASK, or run RUN", exit_code=WRONG_INPUT)
    space, slash, rest = name.partition("/")
    return (kind, space, rest) if slash else (kind, None, name)


async def _of_task(client: "Client", name: str) -> tuple[str, list[Finding]]:
    task: Any = await _found(client, name)
    runs = await asking.gathered(client.runs.list(task=name, limit=RECENT))
    facts = reasons.TaskFacts(
        task=task,
        now=times.now(),
        runs=runs,
        fires=await asking.gathered(client.tasks.fires(name, limit=RECENT)),
        last=await client.runs.get(runs[0]["metadata"]["name"]) if runs else None,  # type: ignore[arg-type]
        at_work=await _at_work(client),
        program=invocation.program(),
    )
    return f"Task {client.namespace}/{name}: {task['status']['phase']}", reasons.of_task(facts)


async def _of_run(client: "Client", name: str) -> tuple[str, list[Finding]]:
    run: Any = await client.runs.get(name)
    facts = reasons.RunFacts(run, times.now(), at_work=await _at_work(client), program=invocation.program())
    title = f"Run {name} of task {client.namespace}/{run['spec']['task']}: {run['status']['phase']}"
    return title, reasons.of_run(facts)


async def _at_work(client: "Client") -> list[Any]:
    return await asking.gathered(client.runs.list(phase="Running", limit=RECENT))


async def _found(client: "Client", name: str) -> Any:
    """Return a task; one that does not exist is told with those whose names are like it."""
    from ordinaut.client import NotFound  # noqa: PLC0415 - loaded by now

    try:
        return await client.tasks.get(name)
    except NotFound as error:
        names = [task["metadata"]["name"] for task in await asking.gathered(client.tasks.list())]
        alike = difflib.get_close_matches(name, names, n=3)
        lines = [str(error), *([f"did you mean {', '.join(alike)}?"] if alike else [])]
        raise CommandError(
            *lines, f"see them all with `{invocation.program()} get tasks -n {client.namespace}`"
        ) from None

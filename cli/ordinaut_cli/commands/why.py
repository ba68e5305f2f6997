"""
``ordinaut why``: why a task runs or does not, and where a run is.

The API knows; this asks it and prints what it says, for programs as it came.
"""

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import typer

from ordinaut_cli import asking, findings, invocation, render, target, times
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.findings import Finding, Weight
from ordinaut_cli.options import Api, InContext, Namespace, Output, OutputFormat

if TYPE_CHECKING:
    from ordinaut.client import Client

_RUN: Final = "run"
_TASK: Final = "task"

_UNCLEAR: Final = frozenset({"apply", "cancel", "status", "unpark", "workers"})
"""Commands that do not say by themselves what they are for here, or that are only part of it."""

_WEIGHTS: Final = {"Blocking": Weight.BAD, "Note": Weight.NOTE, "Good": Weight.GOOD}


def why(
    subject: Annotated[
        list[str],
        typer.Argument(metavar="TASK | RUN", help="What to look at; also NAMESPACE/TASK, `task NAME`, `run ID`."),
    ],
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Tell why a task runs or does not, or where a run is and why it waits or has failed.

    Each line ends with what to do about it.
    """
    kind, space, name = parse_subject(subject)
    chosen = target.choose(api=api, namespace=space or namespace, context=context)
    found = asking.ask(chosen, lambda client: _of_run(client, name) if kind == _RUN else _of_task(client, name))
    if output is not OutputFormat.TABLE:
        print(render.dump(found, output))
        return
    console = render.console()
    console.print(render.plain(title(found)), style="bold")
    findings.show(told(found, program=invocation.program()), console=console)


def parse_subject(words: list[str]) -> tuple[str, str | None, str]:
    """
    Return whether a task or a run is meant, in which namespace if that is named, and its name. Pure.

    What looks like the id of a run is one, unless it is called a task.
    """
    match words:
        case [kind, name] if kind in {_RUN, _TASK}:
            pass
        case [name]:
            kind = _RUN if _is_id(name.rpartition("/")[2]) else _TASK
        case _:
            text = " ".join(words)
            raise CommandError(f"{text}: write TASK, RUN, NAMESPACE/TASK, or run RUN", exit_code=WRONG_INPUT)
    space, slash, rest = name.partition("/")
    return (kind, space, rest) if slash else (kind, None, name)


def _is_id(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


def title(found: Any) -> str:
    """Return what an answer is about, and where that stands. Pure."""
    subject = found["subject"]
    of = f"{subject['namespace']}/{subject['name']}"
    if "task" in subject:
        of = f"{subject['name']} of task {subject['namespace']}/{subject['task']}"
    return f"{subject['kind']} {of}: {found['phase']}"


def told(found: Any, *, program: str) -> Iterator[Finding]:
    """Yield the causes of an answer as people read them, with what to type. Pure."""
    now = times.parse(found["asOf"])
    for cause in found["because"]:
        text = cause["message"]
        for moment in dict.fromkeys((cause.get("since"), cause.get("until"))):
            if moment is not None:
                text = text.replace(moment, f"{moment} ({times.distance(moment, now=now)})", 1)
        yield Finding(_WEIGHTS.get(cause["level"], Weight.NOTE), text, _help(cause.get("action", {}), program=program))


def _help(action: Any, *, program: str) -> str:
    command, description = action.get("command", ""), action.get("description", "")
    if not command:
        return str(description)
    return f"{program} {command}" + (f"   # {description}" if command.split()[0] in _UNCLEAR else "")


async def _of_task(client: "Client", name: str) -> Any:
    """Return why a task runs or does not; of one that does not exist, those whose names are like it are told."""
    from ordinaut.client import NotFound  # noqa: PLC0415 - loaded by now

    try:
        return await client.tasks.why(name)
    except NotFound as error:
        names = [task["metadata"]["name"] for task in await asking.gathered(client.tasks.list())]
        if name in names:
            raise CommandError("the API is older than this program and can't tell why; upgrade it") from None
        alike = difflib.get_close_matches(name, names, n=3)
        lines = [str(error), *([f"did you mean {', '.join(alike)}?"] if alike else [])]
        raise CommandError(
            *lines, f"see them all with `{invocation.program()} get tasks -n {client.namespace}`"
        ) from None


async def _of_run(client: "Client", name: str) -> Any:
    return await client.runs.why(name)

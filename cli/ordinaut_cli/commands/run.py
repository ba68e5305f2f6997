"""``ordinaut run``, ``wait``, ``cancel``, ``retry`` and ``unpark``: start a run, follow it, end it, have it go on."""

import asyncio
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.text import Text

from ordinaut.states import FINAL_STEP_PHASES, RunPhase, StepPhase
from ordinaut_cli import asking, render, target, times
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.options import Api, InContext, Namespace, Output, OutputFormat, RunName, TaskName
from ordinaut_cli.progress import MARKS

if TYPE_CHECKING:
    from ordinaut.client import Client

_TIME: Final = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d|)")
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}


def run(
    task: TaskName,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="K=V|K:=JSON", help="A param of this run: text, or JSON."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Follow the run; status 0 only if it succeeds.")] = False,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Run a task now."""
    params = dict(parse_param(text) for text in param or ())
    console = render.console()

    async def work(client: "Client") -> Any:
        made: Any = await client.tasks.run(task, params=params)
        if output is OutputFormat.TABLE:
            print(f"run {made['metadata']['name']} created")
        return await over(client, made["metadata"]["name"], console=console, output=output) if wait else made

    found = asking.ask(target.choose(api=api, namespace=namespace, context=context), work, waits=wait)
    if output is not OutputFormat.TABLE:
        print(render.dump(found, output))
    if wait:
        finish(found, quiet=output is not OutputFormat.TABLE)


def wait(
    run: RunName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show each step as it ends.")] = False,
    timeout: Annotated[str | None, typer.Option(metavar="TIME", help="Give up after this time, such as 10m.")] = None,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Wait until a run is over; status 0 only if it succeeds."""
    seconds = None if timeout is None else parse_time(timeout)
    console = render.console() if follow else None

    async def work(client: "Client") -> Any:
        async with asyncio.timeout(seconds):
            return await over(client, run, console=console, output=output)

    try:
        found = asking.ask(target.choose(api=api, namespace=namespace, context=context), work, waits=True)
    except TimeoutError:
        raise CommandError(f"run {run} is not over after {timeout}; it goes on") from None
    if output is not OutputFormat.TABLE:
        print(render.dump(found, output))
    finish(found, quiet=output is not OutputFormat.TABLE)


def cancel(
    run: RunName,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Cancel a run that is not over, or that is parked."""
    chosen = target.choose(api=api, namespace=namespace, context=context)
    found = asking.ask(chosen, lambda client: client.runs.cancel(run))
    render.show(found, output, as_table=f"run {run} {found['status']['phase']}")


def retry(
    run: RunName,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Try a run again that did not succeed.

    A new run goes on at the first step without a result; the old one stays as it is.
    """
    chosen = target.choose(api=api, namespace=namespace, context=context)
    found = asking.ask(chosen, lambda client: client.runs.retry(run))
    render.show(found, output, as_table=f"run {found['metadata']['name']} created")


def unpark(
    run: RunName,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Let a parked run go on.

    It goes on at the first step without a result, as soon as a worker takes it.
    """
    chosen = target.choose(api=api, namespace=namespace, context=context)
    found = asking.ask(chosen, lambda client: client.runs.unpark(run))
    render.show(found, output, as_table=f"run {run} {found['status']['phase']}")


def parse_param(text: str) -> tuple[str, Any]:
    """Read ``name=text`` or ``name:=json``."""
    name, separator, value = text.partition("=")
    is_json = name.endswith(":")
    name = name.removesuffix(":")
    if not separator or not name:
        raise CommandError(f"--param: {text}: no value; write name=text or name:=json", exit_code=WRONG_INPUT)
    if not is_json:
        return name, value
    try:
        return name, orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise CommandError(
            f"--param: {text}: not JSON: {error}; write {name}=… for text, or quote it as JSON", exit_code=WRONG_INPUT
        ) from None


def parse_time(text: str, *, option: str = "--timeout") -> float:
    """Read a length of time as people write it: ``90``, ``90s``, ``10m``, ``2h``; in seconds."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise CommandError(f"{option}: {text}: not a length of time; write it like 90s or 10m", exit_code=WRONG_INPUT)
    return float(found[1]) * _UNITS[found[2]]


async def over(client: "Client", run: str, *, console: Console | None, output: OutputFormat) -> Any:
    """Return a run when it is over; where there is a console for people, tell of its steps meanwhile."""
    if console is None or output is not OutputFormat.TABLE:
        return await client.runs.wait(run)
    tell_new = news(tell=lambda step: tell(console, step))
    found: Any = None
    async for found in client.runs.follow(run):
        tell_new(found)
    return found


def news(*, tell: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return what tells of each result of a step once, given the run again and again."""
    told: set[tuple[str, int, int]] = set()

    def look(found: Any) -> None:
        for step in found["status"].get("steps", []):
            key = (step["id"], step.get("index", 0), step["attempt"])
            if step["phase"] in FINAL_STEP_PHASES | {StepPhase.WAITING} and key not in told:
                told.add(key)
                tell(step)

    return look


def tell(console: Console, step: Any) -> None:
    """Print one line about a step's result."""
    phase = StepPhase(step["phase"])
    style = render.STYLES[phase]
    line = Text.assemble((f"  {MARKS[phase]} ", style), f"{render.visible(step['id']):<14}")
    if phase is StepPhase.SUCCEEDED:
        line.append(times.duration(step["startTime"], step["completionTime"], now=times.now()), style="dim")
    elif phase is StepPhase.WAITING:
        line.append(render.visible(f"try {step['attempt']} failed: {step.get('error', '')}"), style=style)
    else:
        line.append(render.visible(f"{phase.value}  {step.get('error') or ''}".rstrip()), style=style)
    console.print(line)


def finish(over: Any, *, quiet: bool = False) -> None:
    """Say how a run ended; anything but success fails the command."""
    name, phase = over["metadata"]["name"], over["status"]["phase"]
    if phase == RunPhase.SUCCEEDED:
        if not quiet:
            print(f"run {name} {phase}")
        return
    why = over["status"].get("error") or over["status"].get("reason") or "see `ordinaut describe run`"
    raise CommandError(f"run {name} {phase}: {render.visible(why)}")

"""``ordinaut run`` and ``ordinaut cancel``: start a run of a task, follow it, end it."""

import time
from collections.abc import Callable
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.text import Text

from ordinaut.states import FINAL_RUN_PHASES, FINAL_STEP_PHASES, RunPhase, StepPhase
from ordinaut_cli import render, times
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.options import DEFAULT_API, Api, Namespace, Output, OutputFormat
from ordinaut_cli.rest import Rest

POLL: Final = 0.2
"""Seconds between looks at a run that is followed."""

MARKS: Final = {
    StepPhase.SUCCEEDED: "✓",
    StepPhase.SKIPPED: "○",
    StepPhase.WAITING: "↻",
    StepPhase.FAILED: "✗",
    StepPhase.TIMED_OUT: "✗",
    StepPhase.CANCELLED: "✗",
    StepPhase.UNKNOWN: "✗",
}


def run(
    task: Annotated[str, typer.Argument(metavar="TASK", help="The task's name.")],
    param: Annotated[
        list[str] | None,
        typer.Option("--param", "-p", metavar="K=V|K:=JSON", help="A param of this run: text, or JSON."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Follow the run; status 0 only if it succeeds.")] = False,
    namespace: Namespace = "default",
    api: Api = DEFAULT_API,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Run a task now."""
    params = dict(parse_param(text) for text in param or ())
    with Rest(api, namespace=namespace) as rest:
        made = rest.post(f"tasks/{render.segment(task)}/run", {"params": params} if params else {})
        name = made["metadata"]["name"]
        if not wait:
            render.show(made, output, as_table=f"run {name} created")
            return
        if output is OutputFormat.TABLE:
            print(f"run {name} created")
        console = render.console()
        over = follow(rest, name, tell=lambda step: None if output is not OutputFormat.TABLE else tell(console, step))
    if output is not OutputFormat.TABLE:
        print(render.dump(over, output))
    finish(over, quiet=output is not OutputFormat.TABLE)


def cancel(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")],
    namespace: Namespace = "default",
    api: Api = DEFAULT_API,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Cancel a run that is not over."""
    with Rest(api, namespace=namespace) as rest:
        found = rest.post(f"runs/{render.segment(run)}/cancel")
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


def follow(rest: Rest, name: str, *, tell: Callable[[Any], None]) -> dict[str, Any]:
    """Wait until a run is over, telling of each result of a step once; return the run."""
    told: set[tuple[str, int, int]] = set()
    while True:
        found = rest.get(f"runs/{name}")
        for step in found["status"].get("steps", []):
            key = (step["id"], step.get("index", 0), step["attempt"])
            if step["phase"] in FINAL_STEP_PHASES | {StepPhase.WAITING} and key not in told:
                told.add(key)
                tell(step)
        if found["status"]["phase"] in FINAL_RUN_PHASES:
            return found
        time.sleep(POLL)


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

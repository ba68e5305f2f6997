"""
What ``ordinaut dev`` prints: its start, where to look, and one line for each thing that happens.

On a terminal with colours and a spinner, into a pipe as plain lines. Nothing here decides anything.
"""

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from ordinaut.events.envelope import TYPE_PREFIX
from ordinaut.states import RunPhase, StepPhase, Trigger
from ordinaut_cli import render, times
from ordinaut_cli.progress import MARKS
from ordinaut_cli.target import DEFAULT_API

RUN_MARKS: Final = {
    RunPhase.SUCCEEDED: "✓",
    RunPhase.WAITING: "…",
    RunPhase.FAILED: "✗",
    RunPhase.CANCELLED: "✗",
    RunPhase.TIMED_OUT: "✗",
    RunPhase.PARKED: "✗",
}
NAME_WIDTH: Final = 14
"""Columns for the names of parts and steps."""

TAIL: Final = 6
"""Characters of a run's id that tell apart the runs on a screen; its first ones are the time."""


class DevConsole:
    """The terminal of one session."""

    def __init__(self) -> None:
        self._console = render.console()

    def heading(self, *, version: str, directory: str) -> None:
        """Say what starts."""
        self._console.print(f"[bold]ordinaut {version}[/bold]  {render.plain(directory)}\n")

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[list[str]]:
        """Show that a part starts, and in the end how long it took; the body appends what else is to be said of it."""
        notes: list[str] = []
        started = time.monotonic()
        with self._spinner(name):
            yield notes
        took = f"{time.monotonic() - started:5.1f}s"
        self._console.print(
            Text.assemble(("  ✓ ", "green"), f"{name:<{NAME_WIDTH}}", ("  ".join([took, *notes]), "dim"))
        )

    def _spinner(self, name: str) -> contextlib.AbstractContextManager[Any]:
        if not self._console.is_terminal:
            return contextlib.nullcontext()
        return self._console.status(f"[dim]starting {name}[/dim]", spinner="dots")

    def look_here(self, *, api: str, logs: str, task: str | None) -> None:
        """Say where to look next."""
        name = render.plain(task or "TASK")
        command = _program() if api == DEFAULT_API else f"ORDINAUT_API_URL={api} {_program()}"
        hints = (
            (f"{command} get tasks", "what runs when"),
            (f"{command} describe task {name}", "one task, its next times and its history"),
            (f"{command} run {name} --wait", "run it now"),
            (f"curl {api}/v1/namespaces/default/runs", "the same for programs"),
            (f"less {logs}/worker-1.log", "what the processes say"),
        )
        width = max(len(hint) for hint, _ in hints)
        self._console.print("  [bold]Where to look[/bold]")
        for hint, meaning in hints:
            self._console.print(f"    {hint:<{width}}   [dim]{meaning}[/dim]")
        self._console.print("  [dim]Manifests are watched: edit one and it counts. Ctrl-C stops everything.[/dim]\n")

    def blank(self) -> None:
        """Leave a line empty."""
        self._console.print()

    def notice(self, text: str) -> None:
        """Say something out of the ordinary."""
        self._console.print(Text(f"  ! {render.visible(text)}", style="yellow"))

    def say(self, text: str) -> None:
        """Say something ordinary."""
        self._console.print(Text(render.visible(text), style="dim"))

    def log_line(self, name: str, line: str) -> None:
        """Repeat a line of a process's log."""
        self._console.print(Text(f"{name:<{NAME_WIDTH}}| {render.visible(line)}", style="dim"))

    @property
    def rich(self) -> Console:
        """The console for tables and texts."""
        return self._console

    def event(self, event: Mapping[str, Any]) -> None:
        """Show a CloudEvent: what happened to a task, or what somebody has published."""
        time_ = (f"{_clock(event['time'])}  ", "dim")
        if not event["type"].startswith(TYPE_PREFIX):
            published = f"{render.visible(event['type'])} published by {render.visible(event['publisher'])}"
            self._console.print(Text.assemble(time_, ("▹ ", "cyan"), published))
            return
        kind = event["type"].removeprefix(TYPE_PREFIX)
        data = event["data"]
        line = Text.assemble(time_, f"{render.visible(data['task'])}  ")
        if run := data.get("run"):
            line.append(f"{run[-TAIL:]}  ", style="dim")
        told = _step(data) if kind.startswith("step.") else _run(kind, data)
        self._console.print(line.append_text(told))


def _program() -> str:
    """Return how to call the command line from here: by its name, or by its path if it is not found so."""
    called = Path(sys.argv[0])
    found = shutil.which(called.name)
    if found and Path(found).resolve() == called.resolve():
        return called.name
    return render.plain(os.path.relpath(called))


def _clock(time_: str) -> str:
    return datetime.fromisoformat(time_).astimezone().strftime("%H:%M:%S")


def _step(data: Mapping[str, Any]) -> Text:
    phase = StepPhase(data["phase"])
    style = render.STYLES[phase]
    text = Text.assemble((f"{MARKS[phase]} ", style), f"{render.visible(data['step']):<{NAME_WIDTH}}")
    if phase is StepPhase.SUCCEEDED:
        return text.append(times.measured(data["seconds"]), style="dim")
    if phase is StepPhase.SKIPPED:
        return text.append("skipped: its condition is not true", style="dim")
    tried = f"try {data['attempt']} failed" if phase is StepPhase.WAITING else phase.value
    return text.append(f"{tried}: {render.visible(data.get('error', ''))}".removesuffix(": "), style=style)


def _run(kind: str, data: Mapping[str, Any]) -> Text:
    what = kind.partition(".")[2]
    if kind == "run.created":
        scheduled = data.get("scheduledTime")
        made = "as a retry" if data["trigger"] == Trigger.RETRY else f"for {scheduled}" if scheduled else "by hand"
        made += " by a backfill" if data["trigger"] == Trigger.BACKFILL else ""
        made = f"by {render.visible(data['topic'])}" if data["trigger"] == Trigger.EVENT else made
        return Text.assemble(("▸ ", "cyan"), f"run {data['run']} created {made}")
    if kind == "task.skipped":
        return Text(f"○ {data['count']} skipped: {data['reason']}", style="yellow")
    if "phase" not in data:
        return Text(f"· {what}", style="dim")
    phase = RunPhase(data["phase"])
    text = Text(f"{RUN_MARKS.get(phase, '·')} {phase.value}", style=render.STYLES[phase])
    if phase is RunPhase.WAITING:
        return text.append(f": next try in {data['retryAfterSeconds']:g} s")
    why = data.get("error") or data.get("reason")
    return text.append(f": {render.visible(why)}") if why else text

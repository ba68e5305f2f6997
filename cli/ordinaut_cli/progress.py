"""
What a run did, as lines: its begin, each result of a step, its end.

Pure: a run as the API sends it goes in again and again, and each thing that happened comes out once. ``commands.logs``
prints the entries; ``std.log``'s messages are told as what they are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rich.text import Text

from ordinaut.states import ENDED_RUN_PHASES, FINAL_STEP_PHASES, RunPhase, StepPhase
from ordinaut_cli import render, times

Object = Mapping[str, Any]

MARKS: Final = {
    StepPhase.SUCCEEDED: "✓",
    StepPhase.SKIPPED: "○",
    StepPhase.WAITING: "↻",
    StepPhase.FAILED: "✗",
    StepPhase.TIMED_OUT: "✗",
    StepPhase.CANCELLED: "✗",
    StepPhase.UNKNOWN: "✗",
}

LOG: Final = "std.log"
_MAX_OUTPUT: Final = 200
_TOLD: Final = FINAL_STEP_PHASES | {StepPhase.WAITING}


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened in a run."""

    at: str
    run: str
    phase: str
    text: str
    step: str = ""
    index: int | None = None
    attempt: int | None = None

    def as_data(self) -> dict[str, Any]:
        """Return it for programs."""
        optional = {"step": self.step or None, "index": self.index, "attempt": self.attempt}
        known = {name: value for name, value in optional.items() if value is not None}
        return {"time": self.at, "run": self.run, **known, "phase": self.phase, "text": self.text}


class Progress:
    """Tells of a run what has not been told yet; ``tools`` are those of its steps, as far as they are known."""

    def __init__(self, tools: Mapping[str, str]) -> None:
        self._tools = tools
        self._told: set[tuple[str, int, int]] = set()
        self._begun = False

    def news(self, run: Object) -> Iterator[Entry]:
        """Yield what is new in a run."""
        name, spec, status = run["metadata"]["name"], run["spec"], run["status"]
        if not self._begun:
            self._begun = True
            of = f" for {spec['scheduledTime']}" if spec.get("scheduledTime") else ""
            text = f"run of {spec['task']}, made by {spec['trigger']}{of}"
            yield Entry(run["metadata"]["creationTimestamp"], name, RunPhase.PENDING, text)
        for step in status.get("steps", ()):
            key = (step["id"], step.get("index", 0), step["attempt"])
            if step["phase"] in _TOLD and key not in self._told:
                self._told.add(key)
                yield self._of_step(name, run, step)
        if status["phase"] in ENDED_RUN_PHASES:
            yield Entry(_ended(run), name, status["phase"], _end(run))

    def _of_step(self, name: str, run: Object, step: Object) -> Entry:
        at = step.get("completionTime") or step.get("startTime") or _ended(run)
        text = _result(step, self._tools.get(step["id"], ""))
        return Entry(at, name, step["phase"], text, step["id"], step.get("index"), step["attempt"])


def tools_of(pipeline: Object) -> dict[str, str]:
    """Return the tools of a pipeline's steps by the steps' ids."""
    return {step["id"]: step["uses"] for step in pipeline.get("steps", ()) if "uses" in step and "id" in step}


def _ended(run: Object) -> str:
    return str(run["status"].get("completionTime") or run["metadata"]["creationTimestamp"])


def _end(run: Object) -> str:
    status = run["status"]
    took = times.duration(status.get("startTime"), status.get("completionTime"), now=times.parse(_ended(run)))
    why = ": ".join(text for text in (status.get("reason"), status.get("error")) if text)
    return f"run {status['phase']} after {took}" + (f": {why}" if why else "")


def _result(step: Object, tool: str) -> str:
    if step.get("error"):
        again = f"try {step['attempt']} failed: " if step["phase"] == StepPhase.WAITING else ""
        return f"{again}{step['error']}"
    output = step.get("output")
    if output is None:
        return ""
    if tool == LOG and isinstance(output, Mapping) and "message" in output:
        output = output["message"]
    text = output if isinstance(output, str) else render.compact(output)
    return text if tool == LOG or len(text) <= _MAX_OUTPUT else text[: _MAX_OUTPUT - 1] + "…"


def line(entry: Entry, *, named: bool) -> Text:
    """Return an entry as a line for people; ``named`` says which run it is of."""
    style = render.STYLES.get(entry.phase, "")
    told = Text.assemble((f"{entry.at}  ", "dim"))
    if named:
        told.append(f"{entry.run[-12:]}  ", style="cyan")
    if not entry.step:
        return told.append(render.visible(entry.text), style=f"bold {style}".strip())
    where = entry.step if entry.index is None else f"{entry.step}[{entry.index}]"
    told.append(f"{MARKS[StepPhase(entry.phase)]} ", style=style).append(f"{render.visible(where):<14} ")
    text = entry.text or entry.phase
    return told.append(render.visible(text), style="" if entry.phase == StepPhase.SUCCEEDED else style)

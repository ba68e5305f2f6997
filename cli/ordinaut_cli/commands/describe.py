"""``ordinaut describe``: everything about one task or one run, for people."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.text import Text

from ordinaut_cli import asking, render, target, times, views
from ordinaut_cli.options import Api, InContext, Namespace, Output, OutputFormat

if TYPE_CHECKING:
    from ordinaut.client import Client

RECENT = 5
"""Runs, nominal times and events of the past that a task shows."""


class Kind(StrEnum):
    """What can be described."""

    TASK = "task"
    RUN = "run"


def describe(
    kind: Annotated[Kind, typer.Argument(metavar="task|run", show_choices=False, help="What to describe.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The task's name, or the run's id.")],
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Tell everything about one task or run."""

    async def work(client: "Client") -> dict[str, Any]:
        if kind is Kind.RUN:
            return {"run": await client.runs.get(name)}
        found: Any = await client.tasks.get(name)
        # Asked only where there may be some: an api of release 0.1 has no such list.
        has_triggers = bool(found["spec"].get("triggers"))
        return {
            "task": found,
            "runs": await asking.gathered(client.runs.list(task=name, limit=RECENT)),
            "fires": await asking.gathered(client.tasks.fires(name, limit=RECENT)),
            "eventFires": await asking.gathered(client.tasks.event_fires(name, limit=RECENT)) if has_triggers else [],
        }

    found = asking.ask(target.choose(api=api, namespace=namespace, context=context), work)
    console, now = render.console(), times.now()
    if output is not OutputFormat.TABLE:
        print(render.dump(found.get("run", found), output))
    elif kind is Kind.RUN:
        run(found["run"], console=console, now=now)
    else:
        task(found["task"], {part: found[part] for part in _PARTS}, console=console, now=now)


_PARTS: Final = {
    "runs": ("Latest runs", views.runs),
    "fires": ("Ledger", views.fires),
    "eventFires": ("Ledger of events", views.event_fires),
}
"""What is shown below a task: heading and table of each part."""


def task(found: Any, parts: Mapping[str, list[Any]], *, console: Console, now: datetime) -> None:
    """Print a task with its next times, and its latest runs and the ends of its ledgers as far as there are any."""
    metadata, spec, status = found["metadata"], found["spec"], found["status"]
    _facts(
        console,
        ("Task", f"{metadata['namespace']}/{metadata['name']}"),
        ("Phase", render.phase(status["phase"])),
        ("Schedule", status.get("schedule", "none: runs only when asked to")),
        ("Time zone", status.get("timeZone")),
        ("Events", _triggers(spec)),
        ("Jitter", spec.get("jitter") and f"up to {spec['jitter']}"),
        ("Concurrency", spec.get("concurrencyPolicy")),
        ("Keys", _keys(spec.get("concurrency"))),
        ("Priority", _number(spec.get("priority"))),
        ("Queue", spec.get("queue")),
        ("Pipeline", spec.get("pipelineRef", {}).get("name", "in the task itself")),
        ("Origin", metadata.get("origin")),
        ("Made by", status.get("creator")),
        ("Paused", _since(status.get("pause"))),
        ("Snoozed", _until(status.get("snooze"))),
        ("Active runs", str(status["active"])),
        *((one["type"], _condition(one)) for one in status["conditions"]),
        *(("Next" if place == 0 else "", _moment(time, now)) for place, time in enumerate(status.get("upcoming", []))),
    )
    for part, (heading, table) in _PARTS.items():
        if parts[part]:
            console.print(f"\n[bold]{heading}[/bold]")
            console.print(table(parts[part], now=now))


def run(found: Any, *, console: Console, now: datetime) -> None:
    """Print a run with its steps and its output."""
    spec, status = found["spec"], found["status"]
    started, ended = status.get("startTime"), status.get("completionTime")
    _facts(
        console,
        ("Run", found["metadata"]["name"]),
        ("Task", f"{found['metadata']['namespace']}/{spec['task']}"),
        ("Phase", render.phase(status["phase"])),
        ("Reason", status.get("reason")),
        ("Error", status.get("error")),
        ("Trigger", spec["trigger"]),
        ("Event", _event(spec)),
        ("Hops", _number(spec.get("hops"))),
        ("Retry of", spec.get("retryOf")),
        ("Scheduled", spec.get("scheduledTime")),
        ("Started", started),
        ("Duration", times.duration(started, ended, now=now) if started else None),
        ("Worker", status.get("worker")),
        ("Params", render.compact(spec["params"]) if spec["params"] else None),
    )
    console.print()
    console.print(views.steps(found, now=now))
    if "output" in status:
        console.print("\n[bold]Output[/bold]")
        output = status["output"]
        console.print(Text(output if isinstance(output, str) else render.dump(output, OutputFormat.YAML)))


def _triggers(spec: Any) -> str | None:
    """Return the topics that a task listens to, where the schedule in words leaves no room for them."""
    if not spec.get("schedules"):
        return None
    return ", ".join(dict.fromkeys(one["topic"] for one in spec.get("triggers", ()))) or None


def _event(spec: Any) -> str | None:
    """Return what tells the event of a run from others, or of how many it is."""
    if (event := spec.get("event")) is None:
        return None
    named = f"{event['type']} {event['id']} from {event['source']}"
    count = len(spec.get("events", ()))
    return f"{count} events, the last one {named}" if count > 1 else named


def _facts(console: Console, *facts: tuple[str, str | Text | None]) -> None:
    known = [(name, value) for name, value in facts if value is not None]
    width = max(len(name) for name, _ in known)
    for name, value in known:
        console.print(Text(f"{name:<{width}}   ", style="bold"), _one_line(value), sep="", end="\n")


def _one_line(value: str | Text) -> Text:
    return value if isinstance(value, Text) else Text(render.visible(value))


def _since(pause: Any) -> str | None:
    return pause and f"since {pause['since']} by {pause['by']}"


def _keys(entries: Any) -> str | None:
    """Return the concurrency keys of a task, as they stand in its spec, each with its limit."""
    return ", ".join(f"{one['key']} (at most {one.get('limit', 1)})" for one in entries or ()) or None


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)


def _until(snooze: Any) -> str | None:
    return snooze and f"until {snooze['until']} by {snooze['by']}"


def _condition(condition: Any) -> Text:
    holds = condition["status"] == "True"
    text = Text(condition["status"].lower(), style="green" if holds else "yellow")
    return text.append(render.visible(f"  {condition['reason']}: {condition['message']}"), style="not bold default")


def _moment(time: str, now: datetime) -> str:
    return f"{time}   {times.local(time)} here   {times.distance(time, now=now)}"

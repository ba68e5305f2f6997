"""``ordinaut pause``, ``resume`` and ``snooze``: letting a task rest, whoever owns its manifest."""

from typing import Annotated, Any

import typer

from ordinaut_cli import asking, render, target, times
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.options import Api, InContext, Namespace, Output, OutputFormat, TaskName


def pause(
    task: TaskName,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Let a task's schedules rest until it is resumed.

    Runs under way go on, and it can still be run by hand.
    """
    found = asking.ask(
        target.choose(api=api, namespace=namespace, context=context), lambda client: client.tasks.pause(task)
    )
    render.show(found, output, as_table=f"task {task} paused")


def resume(
    task: TaskName,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """End a pause and a snooze."""
    found = asking.ask(
        target.choose(api=api, namespace=namespace, context=context), lambda client: client.tasks.resume(task)
    )
    render.show(found, output, as_table=f"task {task} resumed{_next(found)}")


def snooze(
    task: TaskName,
    for_: Annotated[str | None, typer.Option("--for", metavar="DURATION", help="How long, such as 2h.")] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Until when, such as 2026-12-24T08:00:00Z.")
    ] = None,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Let nothing of a task start before a time.

    What becomes due before then is decided at that time: the latest of it runs.
    """
    if (for_ is None) == (until is None):
        raise CommandError("say --for how long or --until when, and not both", exit_code=WRONG_INPUT)
    found = asking.ask(
        target.choose(api=api, namespace=namespace, context=context),
        lambda client: client.tasks.snooze(task, until=until, for_=for_),
    )
    told = found["status"].get("snooze", {}).get("until", until)
    render.show(found, output, as_table=f"task {task} snoozed until {told}")


def _next(task: Any) -> str:
    time, now = task["status"].get("nextScheduleTime"), times.now()
    if time is None:
        return ""
    # What a snooze held back has come already.
    return f"; next run {times.distance(time, now=now)}" if times.parse(time) > now else "; it runs now"

"""``ordinaut backfill``, ``backfills`` and ``cancel-backfill``: making up for what did not fire in the past."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ordinaut.states import FINAL_BACKFILL_PHASES, BackfillPhase
from ordinaut_cli import asking, render, target, times, views
from ordinaut_cli.errors import CommandError
from ordinaut_cli.options import Api, InContext, Limit, Namespace, Output, OutputFormat, TaskName

if TYPE_CHECKING:
    from ordinaut.client import Client

MAX_ACTIVE: Final = 1000


def backfill(
    task: TaskName,
    *,
    from_: Annotated[str, typer.Option("--from", metavar="TIME", help="Where the window begins, such as 2026-11-01.")],
    to: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Where it ends; without, now.", show_default=False)
    ] = None,
    tz: Annotated[
        str, typer.Option("--tz", metavar="ZONE", help="Whose wall clock times without offset mean.")
    ] = "UTC",
    max_active: Annotated[
        int, typer.Option(min=1, max=MAX_ACTIVE, help="How many runs of it may be under way at a time.")
    ] = 5,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait until all of its runs are over.")] = False,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Make up for the nominal times of a past window that have no run.

    Each gets a run, behind everything else that is due. What has fired does not fire again.
    """
    from ordinaut_cli import windows  # noqa: PLC0415 - slow to load, and other commands need not wait for it

    since = windows.read(from_, option="--from", zone=tz)
    until = None if to is None else windows.read(to, option="--to", zone=tz, last=True)
    chosen = target.choose(api=api, namespace=namespace, context=context)
    if dry_run:
        planned = asking.ask(
            chosen,
            lambda client: client.tasks.plan_backfill(task, from_=since, to=until, max_active=max_active),
        )
        _show_plan(task, planned, output)
        return

    async def work(client: "Client") -> Any:
        found: Any = await client.tasks.backfill(task, from_=since, to=until, max_active=max_active)
        if output is OutputFormat.TABLE:
            print(_created(found))
        if wait:
            async for latest in client.backfills.follow(found["metadata"]["name"]):
                found = latest
                if output is OutputFormat.TABLE:
                    print(_progress(found))
        return found

    found = asking.ask(chosen, work, waits=wait)
    if output is not OutputFormat.TABLE:
        print(render.dump(found, output))
    if wait and found["status"]["phase"] != BackfillPhase.COMPLETED:
        raise CommandError(f"backfill {found['metadata']['name']} {found['status']['phase']}")


def backfills(
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="Only those of this task.")] = None,
    limit: Limit = 20,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """List backfills and how far they have come, the newest first."""
    items = asking.ask(
        target.choose(api=api, namespace=namespace, context=context),
        lambda client: asking.gathered(client.backfills.list(task=task, limit=limit)),
    )
    render.listed(items, output, none="no backfills", table=lambda: views.backfills(items, now=times.now()))


def cancel_backfill(
    backfill: Annotated[str, typer.Argument(metavar="BACKFILL", help="The backfill's id.")],
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Have a backfill make no more runs.

    Those under way go on; `ordinaut cancel` ends them one by one.
    """
    chosen = target.choose(api=api, namespace=namespace, context=context)
    found = asking.ask(chosen, lambda client: client.backfills.cancel(backfill))
    render.show(found, output, as_table=_progress(found))


def _show_plan(task: str, planned: Any, output: OutputFormat) -> None:
    if output is not OutputFormat.TABLE:
        print(render.dump(planned, output))
        return
    print(f"{task}, {_window(planned)}: {_counts(planned)} would be made")
    if message := planned.get("message"):
        print(render.visible(message))
    items = planned["items"]
    if items:
        render.console().print(views.nominal_times(items, now=times.now()))
    if (more := planned["toMake"] - len(items)) > 0:
        print(f"and {more} more")


def _created(found: Any) -> str:
    status = found["status"]
    lines = [f"backfill {found['metadata']['name']} created, {_window(found['spec'])}: {_counts(status)} to make"]
    if message := status.get("message"):
        lines.append(render.visible(message))
    return "\n".join(lines)


def _window(found: Any) -> str:
    return f"from {found['from']} to {found['to']}"


def _counts(found: Any) -> str:
    return f"{found['times']} nominal times, {found['alreadyFired']} have fired, {found['toMake']} runs"


def _progress(found: Any) -> str:
    status = found["status"]
    said = f"backfill {found['metadata']['name']} {status['phase']}: {status['made']} runs made"
    if status["phase"] not in FINAL_BACKFILL_PHASES:
        said += f", {max(0, status['toMake'] - status['made'])} left"
    said += f", {status['active']} under way"
    return f"{said}; {render.visible(status['message'])}" if status.get("message") else said

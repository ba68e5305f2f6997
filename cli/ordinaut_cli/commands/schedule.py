"""``ordinaut fires`` and ``ordinaut preview``: what became of nominal times and events, and which times come."""

import sys
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ordinaut_cli import asking, render, target, times, views
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.options import Api, InContext, Limit, Namespace, OptionalFiles, Output, OutputFormat, TaskName

if TYPE_CHECKING:
    from ordinaut.client import Client


def fires(
    task: TaskName,
    limit: Limit = 20,
    *,
    events: Annotated[
        bool, typer.Option("--events", help="Events that its triggers matched, instead of times.")
    ] = False,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show what became of a task's nominal times, or of the events that its triggers matched.

    Each has a run, or the reason why it was skipped.
    """

    def work(client: "Client") -> Awaitable[Any]:
        ledger = client.tasks.event_fires if events else client.tasks.fires
        return asking.gathered(ledger(task, limit=limit))

    items = asking.ask(target.choose(api=api, namespace=namespace, context=context), work)
    none = "no event has matched a trigger yet" if events else "no nominal time has come yet"
    table = views.event_fires if events else views.fires
    render.listed(items, output, none=none, table=lambda: table(items, now=times.now()))


_KINDS: Final = ("--cron", "--rrule", "--interval", "--at")
_ONE_KIND: Final = "one of --cron, --rrule, --interval and --at"


@dataclass(frozen=True, slots=True)
class _Foreseen:
    """When a task will run next, and what its times are read with."""

    name: str
    items: Sequence[datetime]
    spec: Mapping[str, Any]
    anchor: datetime

    @property
    def schedules(self) -> Sequence[Mapping[str, Any]]:
        """What its times come from."""
        written: Sequence[Mapping[str, Any]] = self.spec.get("schedules", ())
        return written


def preview(
    task: Annotated[str | None, typer.Argument(metavar="TASK", help="The task's name.")] = None,
    filename: OptionalFiles = None,
    *,
    cron: Annotated[str | None, typer.Option(metavar="EXPRESSION", help="A cron expression.")] = None,
    rrule: Annotated[str | None, typer.Option(metavar="RULE", help="A recurrence rule, without DTSTART.")] = None,
    interval: Annotated[str | None, typer.Option(metavar="DURATION", help="Time between firings, as 6h.")] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="A single time.")] = None,
    tz: Annotated[
        str | None, typer.Option("--tz", "--time-zone", metavar="ZONE", help="IANA zone of the schedule; else UTC.")
    ] = None,
    dst_gap: Annotated[
        str | None, typer.Option(metavar="Run|Skip", help="What becomes of a time that does not exist; else Run.")
    ] = None,
    dtstart: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Where the rule begins; else the minute of --after or now, the earlier."),
    ] = None,
    exdate: Annotated[
        list[str] | None, typer.Option(metavar="TIME", help="The rule leaves this time out; may be repeated.")
    ] = None,
    rdate: Annotated[
        list[str] | None, typer.Option(metavar="TIME", help="The rule has this time too; may be repeated.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Nothing before; an interval counts from it, else from --after or now."),
    ] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="Nothing after.")] = None,
    after: Annotated[str | None, typer.Option(metavar="TIME", help="Only times later than this; else now.")] = None,
    count: Annotated[int, typer.Option("--count", "-c", min=1, max=100, help="How many times to show.")] = 10,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show when a task will run.

    Either one that exists, or those in files, or a schedule that is given by flags; the last two need no API.
    """
    given = {
        "--cron": cron,
        "--rrule": rrule,
        "--interval": interval,
        "--at": at,
        "--tz": tz,
        "--dst-gap": dst_gap,
        "--dtstart": dtstart,
        "--exdate": exdate,
        "--rdate": rdate,
        "--start": start,
        "--end": end,
    }
    given = {flag: value for flag, value in given.items() if value is not None and value != []}
    _check_one_source(task, filename, given)
    if task is not None:
        _show_stored(task, after, count, output, target.choose(api=api, namespace=namespace, context=context))
    elif filename:
        _show_files(filename, after, count, output, target.namespace_of(namespace, context=context))
    else:
        _show_flags(given, after, count, output)


def _check_one_source(task: str | None, filename: Sequence[str] | None, given: Mapping[str, Any]) -> None:
    """End the command unless it is said in one way what is to run."""
    sources = [
        *([] if task is None else ["TASK"]),
        *(["-f"] if filename else []),
        *([", ".join(given)] if given else []),
    ]
    kinds = [flag for flag in given if flag in _KINDS]
    if not sources:
        wrong = f"name a TASK, or files with -f, or a schedule with {_ONE_KIND}"
    elif len(sources) > 1:
        wrong = f"{' and '.join(sources)}: not together: they are different ways to say what is to run; keep one"
    elif given and len(kinds) != 1:
        wrong = f"{' and '.join(kinds)}: not together; give" if kinds else f"{sources[0]}: of no schedule; give also"
        wrong = f"{wrong} {_ONE_KIND}"
    else:
        return
    raise CommandError(wrong, exit_code=WRONG_INPUT)


def _show_stored(task: str, after: str | None, count: int, output: OutputFormat, chosen: target.Target) -> None:
    beginning = None
    if after is not None:
        from ordinaut_cli import foresight  # noqa: PLC0415 - slow to load

        beginning = foresight.read_after(after, zone_name=None)

    async def work(client: "Client") -> tuple[Any, Any]:
        found = await client.tasks.preview(task, count=count, after=beginning)
        # Only the table tells the time on other clocks than UTC's.
        return found, await client.tasks.get(task) if output is OutputFormat.TABLE else None

    found, object_ = asking.ask(chosen, work)
    if object_ is None:
        print(render.dump({"task": task, "fires": found["items"]}, output))
        return
    items = [times.parse(text) for text in found["items"]]
    _tabulate(_Foreseen(task, items, object_["spec"], times.parse(object_["metadata"]["creationTimestamp"])), count)


def _show_files(names: Sequence[str], after: str | None, count: int, output: OutputFormat, namespace: str) -> None:
    from ordinaut_cli import foresight  # noqa: PLC0415 - slow to load, and other commands need not wait for it

    now = times.now()
    beginning = now if after is None else foresight.read_after(after, zone_name=None)
    planned = foresight.in_files(names, namespace=namespace, anchor=now)
    found = [_Foreseen(one.name, one.coming(after=beginning, count=count), one.spec, one.anchor) for one in planned]
    if output is not OutputFormat.TABLE:
        print(render.dump({"tasks": [{"task": one.name, "fires": _written(one.items)} for one in found]}, output))
        return
    for one in found:
        render.console().print(f"[bold]{render.plain(one.name)}[/bold]")
        _tabulate(one, count)


def _show_flags(given: Mapping[str, Any], after: str | None, count: int, output: OutputFormat) -> None:
    from ordinaut_cli import foresight  # noqa: PLC0415 - slow to load, and other commands need not wait for it

    now = times.now()
    # Before --after can be a wall time of the zone, the zone must be one.
    zone = foresight.checked_zone(given.get("--tz", "UTC"))
    beginning = now if after is None else foresight.read_after(after, zone_name=zone)
    planned = foresight.by_flags(given, anchor=min(now, beginning))
    items = planned.coming(after=beginning, count=count)
    if output is not OutputFormat.TABLE:
        print(render.dump({"fires": _written(items)}, output))
    else:
        _tabulate(_Foreseen("", items, planned.spec, planned.anchor), count)


def _written(items: Sequence[datetime]) -> list[str]:
    from ordinaut.resources.moment import format_instant  # noqa: PLC0415 - loaded by whoever has computed the times

    return [format_instant(item) for item in items]


def _tabulate(found: _Foreseen, count: int) -> None:
    from ordinaut_cli import wallclock  # noqa: PLC0415 - slow to load

    if not found.items:
        print(f"{found.name or 'the schedule'} will not fire: {_why_not(found)}", file=sys.stderr)
        return
    zone = wallclock.shown_zone(found.schedules)
    readings = wallclock.readings(found.items, found.schedules, anchor=found.anchor, zone_name=zone)
    render.console().print(views.preview(readings, zone=zone, now=times.now()))
    if len(found.items) < count:
        print("no further times", file=sys.stderr)


def _why_not(found: _Foreseen) -> str:
    if not found.schedules:
        from ordinaut_cli import foresight  # noqa: PLC0415 - slow to load

        return foresight.without_schedules(found.spec)
    return "it is suspended, paused, or has no times left" if found.name else "it has no times left"

"""``ordinaut calendar``: all tasks of a namespace over the days to come, and where they collide."""

import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from ordinaut_cli import asking, render, target, times
from ordinaut_cli.options import Api, InContext, Namespace, OptionalFiles, Output, OutputFormat

if TYPE_CHECKING:
    from ordinaut_cli.agenda import Agenda
    from ordinaut_cli.timeline import Collision, Company, Track

WORST: Final = 10
"""Collisions that people are told."""

NAMES: Final = 8
"""Names of tasks that are told of one collision."""


def calendar(
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="How many days to show.")] = 7,
    filename: OptionalFiles = None,
    tz: Annotated[
        str | None,
        typer.Option("--tz", "--time-zone", metavar="ZONE", help="Whose wall clock to show; else this machine's."),
    ] = None,
    namespace: Namespace = None,
    api: Api = None,
    context: InContext = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Draw the tasks of a namespace over time, and tell which ones fire at the same moment.

    Those that exist, or those in files, which needs no API.
    """
    from ordinaut_cli import foresight, timeline, wallclock  # noqa: PLC0415 - slow to load
    from ordinaut_cli.agenda import Agenda, told  # noqa: PLC0415 - as above

    zone = foresight.checked_zone(tz) if tz is not None else wallclock.machines_zone()
    chosen = target.choose(api=api, namespace=namespace, context=context)
    now = times.now().replace(microsecond=0)
    agenda = Agenda(begin=now, end=now + timedelta(days=days))
    if filename:
        tracks = agenda.planned(foresight.in_files(filename, namespace=chosen.namespace, anchor=now))
    else:
        tracks = agenda.stored(asking.ask(chosen, lambda client: asking.gathered(client.tasks.list())))
    found = timeline.collisions(tracks)
    if output is not OutputFormat.TABLE:
        print(render.dump(told(tracks, found, agenda), output))
    elif tracks:
        _draw(tracks, found, agenda, zone)
    else:
        print("no tasks in this namespace", file=sys.stderr)


def _draw(tracks: "Sequence[Track]", found: "Sequence[Collision]", agenda: "Agenda", zone_name: str) -> None:
    from ordinaut.schedule.seconds import clock, instant_of  # noqa: PLC0415 - slow to load
    from ordinaut.schedule.zone import zone  # noqa: PLC0415 - as above
    from ordinaut_cli import timeline  # noqa: PLC0415 - as above

    here, console = zone(zone_name), render.console()
    width = shutil.get_terminal_size().columns
    ink = timeline.INK if console.encoding.lower().startswith("utf") else timeline.PLAIN_INK
    firing = [track for track in tracks if track.fires]
    names = timeline.name_width(firing, width=width)
    begin, end = instant_of(agenda.begin), instant_of(agenda.end)
    axis = timeline.axis(here, begin=begin, end=end, columns=timeline.room(names, width=width))

    def wall(instant: int) -> str:
        return times.wall(clock(here.wall_at(instant)))

    print(f"{wall(begin)} to {wall(end)} in {zone_name}, a column is {times.span(axis.size)}")
    print()
    if firing:
        days, hours, *rows, together = timeline.draw(firing, found, axis, ink=ink, names=names)
        for line, style in ((days, "bold"), (hours, "dim"), *((row, "") for row in rows), (together, "yellow")):
            console.print(Text(line, style=style))
        print(f"\ntimes in a column: {timeline.legend(ink)}")
    if found:
        print(f"\nat once, the worst ({len(found):,} moment{'s' if len(found) > 1 else ''} in all):")
        console.print(_companies(timeline.worst(found, limit=WORST), wall))
    if noted := [track for track in tracks if track.note]:
        print()
        console.print(render.table("TASK", "NOTE", rows=[(track.task, track.note) for track in noted]))


def _companies(found: "Sequence[Company]", wall: Callable[[int], str]) -> Table:
    return render.table(
        "TASKS", "MOMENTS", "FIRST", "NAMES",
        rows=[(str(len(one.tasks)), str(one.times), wall(one.first), _listed(one.tasks)) for one in found],
    )  # fmt: skip


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES} more" if len(names) > NAMES else ""
    return ", ".join(names[:NAMES]) + more

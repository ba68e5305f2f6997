"""
From tasks to when they fire in the days to come: one `Track` each, for ``ordinaut calendar``.

Objects of the API bring what is needed to compute here what the clock will do: the spec, when the task was created,
and the stored next time, which knows of snoozes. Tasks in files are taken as if they were applied now. Slow to load.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from pydantic import ValidationError

from ordinaut.declaration.nominal import stored_schedules
from ordinaut.errors import Invalid
from ordinaut.resources.moment import format_instant
from ordinaut.schedule import Schedule, iter_fires
from ordinaut.schedule.seconds import instant_of, utc
from ordinaut_cli import times
from ordinaut_cli.foresight import Planned, without_schedules
from ordinaut_cli.timeline import Collision, Track

MOST: Final = 7 * 24 * 60
"""Times that are computed of one task: those of each minute in the week that is shown by default."""

MOST_COLLISIONS: Final = 10_000
"""Instants at which tasks collide that a program is told, those of the most tasks."""

Object = Mapping[str, Any]


class Agenda:
    """The time from ``begin`` (excluded) to ``end``; tasks of the same schedules are computed once."""

    def __init__(self, *, begin: datetime, end: datetime) -> None:
        self.begin = begin
        self.end = end
        self._known: dict[tuple[tuple[Schedule, ...], datetime], tuple[list[int], bool]] = {}

    def planned(self, tasks: Sequence[Planned]) -> list[Track]:
        """Return the tracks of tasks in files; those of several namespaces are named with theirs."""
        several = len({task.namespace for task in tasks}) > 1
        return [
            self._track(f"{task.namespace}/{task.name}" if several else task.name, *self._of_planned(task))
            for task in tasks
        ]

    def stored(self, tasks: Iterable[Object]) -> list[Track]:
        """Return the tracks of tasks as the API sent them."""
        return [self._track(task["metadata"]["name"], *self._of_stored(task)) for task in tasks]

    def _track(self, name: str, instants: Sequence[int], truncated: bool, note: str) -> Track:
        if truncated:
            until = format_instant(utc(instants[-1]))
            note = "; ".join([*([note] if note else []), f"more than {MOST:,} times, of which those to {until} count"])
        return Track(name, instants, truncated, note)

    def _of_planned(self, task: Planned) -> tuple[Sequence[int], bool, str]:
        if task.spec.get("suspend"):
            return (), False, "spec.suspend is true"
        if not task.schedules:
            return (), False, without_schedules(task.spec)
        return self._computed(stored_schedules(task.schedules, anchor=task.anchor), None)

    def _of_stored(self, task: Object) -> tuple[Sequence[int], bool, str]:
        status = task["status"]
        if (following := status.get("nextScheduleTime")) is None:
            return (), False, _message(status, "Scheduled")
        anchor = times.parse(task["metadata"]["creationTimestamp"])
        try:
            schedules = stored_schedules(task["spec"]["schedules"], anchor=anchor)
        except (Invalid, ValidationError):
            return (), False, "its schedules are of a newer release than this program"
        instants, truncated, later = self._computed(schedules, times.parse(following))
        return instants, truncated, "; ".join(text for text in (later, *_held(status)) if text)

    def _computed(self, schedules: tuple[Schedule, ...], following: datetime | None) -> tuple[Sequence[int], bool, str]:
        """Return the instants, whether there are more, and when it fires at last if it does not in this time."""
        key = (schedules, following or self.begin)
        if key not in self._known:
            found = [*islice(self._instants(schedules, following), MOST + 1)]
            self._known[key] = (found[:MOST], len(found) > MOST)
        instants, truncated = self._known[key]
        return instants, truncated, "" if instants else self._later(schedules, following)

    def _instants(self, schedules: tuple[Schedule, ...], following: datetime | None) -> Iterator[int]:
        """Yield those in this time: the stored next one, whatever the schedules say, and those that come after it."""
        if following is not None and self.begin < following <= self.end:
            yield instant_of(following)
        last = instant_of(self.end)
        for time in iter_fires(schedules, after=max(self.begin, following or self.begin)):
            if (instant := instant_of(time)) > last:
                return
            yield instant

    def _later(self, schedules: tuple[Schedule, ...], following: datetime | None) -> str:
        found = following if following is not None and following > self.end else None
        found = found or next(iter_fires(schedules, after=self.end), None)
        if found is None:
            return "the schedules have no time left"
        return f"its next time is {format_instant(found)}"


def _held(status: Object) -> Iterator[str]:
    """Say what keeps a task from running at its times."""
    if "snooze" in status:
        yield f"{status['snooze']['by']} snoozed it until {status['snooze']['until']}"
    for type_ in ("Ready", "Authorized"):
        if any(one["type"] == type_ and one["status"] == "False" for one in status["conditions"]):
            yield f"its times are skipped while it is not {type_.lower()}: {_message(status, type_)}"


def _message(status: Object, type_: str) -> str:
    return next((str(one["message"]) for one in status["conditions"] if one["type"] == type_), "-")


def told(tracks: Sequence[Track], found: Sequence[Collision], agenda: Agenda) -> dict[str, Any]:
    """Return a calendar for programs."""
    kept = found
    if len(found) > MOST_COLLISIONS:
        kept = sorted(sorted(found, key=lambda one: -len(one.tasks))[:MOST_COLLISIONS])
    return {
        "from": format_instant(agenda.begin),
        "to": format_instant(agenda.end),
        "tasks": [
            {
                "task": track.task,
                "fires": [format_instant(utc(instant)) for instant in track.fires],
                "truncated": track.truncated,
                **({"note": track.note} if track.note else {}),
            }
            for track in tracks
        ],
        "collisions": [{"time": format_instant(utc(one.instant)), "tasks": [*one.tasks]} for one in kept],
        "truncated": len(kept) < len(found) or any(track.truncated for track in tracks),
    }

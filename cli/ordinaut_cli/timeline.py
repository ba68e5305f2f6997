"""
Many tasks over time, for ``ordinaut calendar``: where they fire at the same instant, and all of it as lines of text.

``agenda`` hands over one `Track` a task. Pure. Instants are whole seconds, as in ``ordinaut.schedule``: a calendar may
hold millions. Columns follow the wall clock of one zone: on the days on which the clocks change, the hour that comes
twice shares its columns, and those of the hour that does not exist stay empty.
"""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from ordinaut.schedule.seconds import DAY, HOUR, MINUTE, clock
from ordinaut.schedule.zone import Zone

SIZES: Final = (
    *(minutes * MINUTE for minutes in (5, 10, 15, 30)),
    *(hours * HOUR for hours in (1, 2, 3, 4, 6, 8, 12)),
    *(days * DAY for days in (1, 2, 7, 14)),
)
"""Seconds that a column may stand for; each is a part of a day, or whole days."""

_MONDAY: Final = 4 * DAY
"""A wall time at which a week begins, so that columns of a week begin with Monday."""

_LONGEST_NAME: Final = 30
_NARROWEST: Final = 40


@dataclass(frozen=True, slots=True)
class Track:
    """When one task fires, in order, and what else has to be said of it."""

    task: str
    fires: Sequence[int] = ()
    truncated: bool = False
    """Whether it fires later too, up to the end of the calendar, and that was left out."""
    note: str = ""


class Collision(NamedTuple):
    """Tasks that fire at the same instant."""

    instant: int
    tasks: tuple[str, ...]


class Company(NamedTuple):
    """Tasks that fire together, how often, and when for the first time."""

    tasks: tuple[str, ...]
    times: int
    first: int


def collisions(tracks: Sequence[Track]) -> list[Collision]:
    """Return the instants at which two or more tasks fire, in order."""
    found: dict[int, list[str]] = defaultdict(list)
    for track in tracks:
        for instant in track.fires:
            found[instant].append(track.task)
    return [Collision(instant, tuple(tasks)) for instant, tasks in sorted(found.items()) if len(tasks) > 1]


def worst(found: Sequence[Collision], *, limit: int) -> list[Company]:
    """Return who fires together, the most tasks first, then those that do so most often."""
    times: Counter[tuple[str, ...]] = Counter()
    first: dict[tuple[str, ...], int] = {}
    for instant, tasks in found:
        times[tasks] += 1
        first.setdefault(tasks, instant)
    companies = [Company(tasks, count, first[tasks]) for tasks, count in times.items()]
    return sorted(companies, key=lambda one: (-len(one.tasks), -one.times, one.first))[:limit]


@dataclass(frozen=True, slots=True)
class Axis:
    """What the columns stand for: ``size`` seconds each, on the wall clock of ``zone``, from ``begin`` to ``end``."""

    zone: Zone
    begin: int
    end: int
    size: int

    @property
    def columns(self) -> int:
        """How many there are."""
        return self._place(self.zone.wall_at(self.end)) - self._first + 1

    @property
    def _first(self) -> int:
        return self._place(self.zone.wall_at(self.begin))

    def _place(self, wall: int) -> int:
        return (wall - _MONDAY) // self.size

    def starts(self) -> list[datetime]:
        """Return what the wall clock shows where each column begins."""
        return [clock((self._first + column) * self.size + _MONDAY) for column in range(self.columns)]

    def placed(self, instants: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Yield each of some ordered instants with its column."""
        first = self._first
        for start, end, offset in self.zone.periods(self.begin, self.end):
            shift = offset - _MONDAY
            for instant in instants[bisect_left(instants, start) : bisect_left(instants, end)]:
                yield instant, (instant + shift) // self.size - first


def axis(zone: Zone, *, begin: int, end: int, columns: int) -> Axis:
    """Return the axis from ``begin`` to ``end`` with the finest columns of which so many are enough."""
    made = (Axis(zone, begin, end, size) for size in SIZES)
    return next((one for one in made if one.columns <= columns), Axis(zone, begin, end, SIZES[-1]))


@dataclass(frozen=True, slots=True)
class Ink:
    """What a calendar is drawn with."""

    levels: Mapping[int, str]
    """The character for so many firings or more in one column."""
    grid: str


INK: Final = Ink({1: "·", 2: "▂", 10: "▅", 60: "█"}, "│")
PLAIN_INK: Final = Ink({1: ".", 2: "-", 10: "=", 60: "#"}, "|")
"""For terminals that can show ASCII only."""


def draw(tracks: Sequence[Track], found: Sequence[Collision], axis: Axis, *, ink: Ink, names: int) -> list[str]:
    """Return the lines of a calendar: two of dates, one for each task, one of how many tasks fire at once."""
    starts = axis.starts()
    lines = [" " * names + line for line in _dates(starts, axis.size)]
    grid = [ink.grid if _opens(starts, column, axis.size) else " " for column in range(len(starts))]
    drawn: dict[int, str] = {}  # tasks of one schedule share the list of their times
    for track in tracks:
        if id(track.fires) not in drawn:
            counts = Counter(column for _, column in axis.placed(track.fires))
            drawn[id(track.fires)] = _row(grid, {at: _level(count, ink) for at, count in counts.items()})
        lines.append(_fitted(track.task, names) + drawn[id(track.fires)])
    most: dict[int, int] = {}
    sizes = {collision.instant: len(collision.tasks) for collision in found}
    for instant, column in axis.placed([*sizes]):
        most[column] = max(most.get(column, 0), sizes[instant])
    together = {column: str(size) if size < 10 else "+" for column, size in most.items()}  # noqa: PLR2004 - digits
    return [*lines, _fitted("at once", names) + _row(grid, together)]


def name_width(tracks: Sequence[Track], *, width: int) -> int:
    """Return how many columns of a terminal the names of tasks get."""
    longest = max((len(track.task) for track in tracks), default=0)
    return min(max(longest, len("at once")), _LONGEST_NAME, max(width, _NARROWEST) // 3) + 2


def room(names: int, *, width: int) -> int:
    """Return how many columns of a terminal are left for time."""
    return max(width, _NARROWEST) - names


def legend(ink: Ink) -> str:
    """Return what the characters mean."""
    above = [*ink.levels][1:]
    bounds = [
        f"{low}" if low + 1 == high else f"{low}-{high - 1}" for low, high in zip(ink.levels, above, strict=False)
    ]
    bounds.append(f"{[*ink.levels][-1]} or more")
    return "   ".join(f"{char} {bound}" for char, bound in zip(ink.levels.values(), bounds, strict=True))


def _level(count: int, ink: Ink) -> str:
    bounds = [*ink.levels]
    return ink.levels[bounds[bisect_right(bounds, count) - 1]]


def _row(grid: Sequence[str], marks: Mapping[int, str]) -> str:
    return "".join(marks.get(column, blank) for column, blank in enumerate(grid)).rstrip()


def _fitted(name: str, width: int) -> str:
    cut = name if len(name) <= width - 2 else f"{name[: width - 3]}…"
    return cut.ljust(width)


def _opens(starts: Sequence[datetime], column: int, size: int) -> bool:
    """Whether a day begins with a column or, where columns are days, a month."""
    if column == 0:
        return False
    now, before = starts[column], starts[column - 1]
    return now.date() != before.date() if size < DAY else now.month != before.month


def _dates(starts: Sequence[datetime], size: int) -> tuple[str, str]:
    """Return a line with the days and one with the hours; where a day is too short for hours, with months and days."""
    if len("00 ") * size <= DAY:
        opening = [column == 0 or _opens(starts, column, size) for column in range(len(starts))]
        every = next(hours for hours in (1, 2, 3, 4, 6, 8, 12, 24) if hours * HOUR >= len("00 ") * size)
        coarse = "%a %d" if len("Mon 00 ") * size <= DAY else "%d"
        lower = [start.strftime("%H") if start.minute == 0 and start.hour % every == 0 else "" for start in starts]
    else:
        opening = [column == 0 or _opens(starts, column, DAY) for column in range(len(starts))]
        coarse = "%b"
        lower = [start.strftime("%d") if start.hour == 0 else "" for start in starts]
    upper = [start.strftime(coarse) if opens else "" for start, opens in zip(starts, opening, strict=True)]
    return _labels(upper), _labels(lower)


def _labels(labels: Sequence[str]) -> str:
    """Return labels, each where its column is; one that would run into the one before or over the end is left out."""
    places = [column for column, label in enumerate(labels) if label]
    if len(places) > 1 and len(labels[places[0]]) >= places[1]:
        places = places[1:]  # of a day that is nearly over
    line = ""
    for column in places:
        if (not line or len(line) < column) and column + len(labels[column]) <= len(labels):
            line = line.ljust(column) + labels[column]
    return line

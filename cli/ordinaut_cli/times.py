"""Times as people read them: ages, distances and durations. Pure; the caller says what time it is."""

from datetime import UTC, datetime, tzinfo
from typing import Final

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_COARSE: Final = 10
"""From this many of a unit on, the next smaller one is left out: 3h20m, but 12h."""


def parse(text: str) -> datetime:
    """Read an RFC 3339 time as the API writes it."""
    return datetime.fromisoformat(text)


def span(seconds: float) -> str:
    """Return a length of time in its one or two largest units: ``45s``, ``3h20m``, ``12d``."""
    left = int(abs(seconds))
    for place, (unit, size) in enumerate(_UNITS):
        count, rest = divmod(left, size)
        if count:
            smaller_unit, smaller = _UNITS[place + 1] if place + 1 < len(_UNITS) else ("", 1)
            detail = rest // smaller if smaller_unit and count < _COARSE else 0
            return f"{count}{unit}{detail}{smaller_unit}" if detail else f"{count}{unit}"
    return "0s"


def distance(text: str | None, *, now: datetime) -> str:
    """Return how far a time is from now: ``in 5m``, ``2h ago``; a dash for no time."""
    if text is None:
        return "-"
    seconds = (parse(text) - now).total_seconds()
    return f"in {span(seconds)}" if seconds > 0 else f"{span(seconds)} ago"


def age(text: str | None, *, now: datetime) -> str:
    """Return how long ago a time was, as kubectl's AGE."""
    return "-" if text is None else span((now - parse(text)).total_seconds())


def duration(start: str | None, end: str | None, *, now: datetime) -> str:
    """Return how long something took, or has taken so far."""
    if start is None:
        return "-"
    return measured(((parse(end) if end else now) - parse(start)).total_seconds())


def measured(seconds: float) -> str:
    """Return a measured duration: ``12ms``, ``1.25s``, ``3m5s``."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f}ms"
    return f"{seconds:.2f}s" if seconds < 60 else span(seconds)  # noqa: PLR2004


def local(text: str, zone: tzinfo | None = None) -> str:
    """Return a time as a clock on the wall shows it, in ``zone`` or else on this machine."""
    return wall(parse(text).astimezone(zone))


def wall(moment: datetime) -> str:
    """Return the date and time that a clock shows."""
    return moment.strftime("%a %Y-%m-%d %H:%M:%S")


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)

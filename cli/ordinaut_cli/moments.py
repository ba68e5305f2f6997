"""Moments as a user writes them in an option: how long ago, or when."""

from datetime import UTC, datetime

from ordinaut_cli.errors import WRONG_INPUT, CommandError


def before_now(text: str, *, option: str = "--since") -> datetime:
    """Return the moment that a user means, by a distance from now or a time."""
    from ordinaut.errors import Invalid, shown  # noqa: PLC0415 - slow to load
    from ordinaut.resources.duration import parse_duration  # noqa: PLC0415 - as above

    try:
        return datetime.now(UTC) - parse_duration(text)
    except (Invalid, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise CommandError(
            f"{option}: {shown(text)}: neither a duration nor a time",
            "write it like 2h, 1d12h or 2026-11-23T08:00:00Z",
            exit_code=WRONG_INPUT,
        )
    return moment

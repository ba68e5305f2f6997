"""
Printing: tables for people, JSON and YAML for programs.

Tables are plain columns as kubectl's, never cut. On a terminal phases have colours.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ordinaut_cli.options import OutputFormat

WIDE: Final = 10_000
"""Columns, more than anything needs: a terminal wraps long lines by itself, and the id of a run must be whole."""

STYLES: Final = {
    "Succeeded": "green",
    "Fired": "green",
    "Completed": "green",
    "Active": "cyan",
    "Running": "cyan",
    "Scheduled": "cyan",
    "Listening": "cyan",
    "Gathered": "cyan",
    "Pending": "dim",
    "Idle": "dim",
    "Skipped": "dim",
    "Waiting": "yellow",
    "Suspended": "yellow",
    "Paused": "yellow",
    "Snoozed": "yellow",
    "Allowed": "green",
    "Denied": "red",
    "Cancelled": "yellow",
    "ScheduleChanged": "yellow",
    "TaskDeleted": "yellow",
    "Failed": "red",
    "TimedOut": "red",
    "Parked": "red",
    "Unknown": "red",
    "NotReady": "red",
}
"""Colours of phases and outcomes."""


def console(*, stderr: bool = False) -> Console:
    """Return a console for the stream as it is now."""
    return Console(stderr=stderr, width=WIDE, highlight=False, soft_wrap=True)


def phase(name: str | None) -> Text:
    """Return a phase in its colour."""
    return Text(name or "-", style=STYLES.get(name or "", ""))


def table(*headers: str, rows: Iterable[Sequence[str | Text]]) -> Table:
    """Return plain columns; the cells are text, never markup."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for header in headers:
        made.add_column(header, no_wrap=True)
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(visible(cell)) for cell in row))
    return made


def visible(text: str) -> str:
    """Return text on one line and without terminal codes, whoever wrote it."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def plain(text: str) -> str:
    """Return text that rich prints as it is."""
    return escape(visible(text))


def dump(value: Any, output: OutputFormat) -> str:
    """Return a value as JSON or YAML, without a final line break."""
    if output is OutputFormat.JSON:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    import yaml  # noqa: PLC0415 - slow to load, and seldom needed

    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip("\n")


def compact(value: Any) -> str:
    """Return a value as JSON on one line."""
    return orjson.dumps(value).decode()


def show(value: Any, output: OutputFormat, *, as_table: Table | str) -> None:
    """Print a value in the format that was asked for."""
    if output is not OutputFormat.TABLE:
        print(dump(value, output))
    elif isinstance(as_table, str):
        print(as_table)
    else:
        console().print(as_table)


def listed(items: list[Any], output: OutputFormat, *, none: str, table: Callable[[], Table]) -> None:
    """Print a list; for people, an empty one is told in words on stderr."""
    if items or output is not OutputFormat.TABLE:
        show({"items": items}, output, as_table=table() if output is OutputFormat.TABLE else "")
    else:
        console(stderr=True).print(none, style="dim")

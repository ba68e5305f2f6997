"""
Printing: tables for people, JSON and YAML for programs.

Tables are plain columns as kubectl's, never cut. On a terminal phases have colours.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import quote

import orjson
import yaml
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
    "Running": "cyan",
    "Scheduled": "cyan",
    "Pending": "dim",
    "Idle": "dim",
    "Skipped": "dim",
    "Waiting": "yellow",
    "Suspended": "yellow",
    "Cancelled": "yellow",
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
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip("\n")


def compact(value: Any) -> str:
    """Return a value as JSON on one line."""
    return orjson.dumps(value).decode()


def segment(name: str) -> str:
    """Return a name as one segment of a path, whatever somebody typed."""
    return quote(name, safe="")


def show(value: Any, output: OutputFormat, *, as_table: Table | str) -> None:
    """Print a value in the format that was asked for."""
    if output is not OutputFormat.TABLE:
        print(dump(value, output))
    elif isinstance(as_table, str):
        print(as_table)
    else:
        console().print(as_table)

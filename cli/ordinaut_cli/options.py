"""Options that several commands share, so that they read and mean the same everywhere."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_API = "http://127.0.0.1:8080"


class OutputFormat(StrEnum):
    """How a command prints what it has found."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Namespace = Annotated[
    str, typer.Option("--namespace", "-n", envvar="ORDINAUT_NAMESPACE", help="Namespace of the objects.")
]
Api = Annotated[str, typer.Option("--api", envvar="ORDINAUT_API_URL", metavar="URL", help="Where the API is.")]
Output = Annotated[OutputFormat, typer.Option("--output", "-o", help="How to print.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many to show, the newest first.")]
_FILES = typer.Option("--filename", "-f", metavar="FILE|DIR|-", help="Manifests: a file, a directory, or - for stdin.")
Files = Annotated[list[str], _FILES]
OptionalFiles = Annotated[list[str] | None, _FILES]
Folder = Annotated[Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, resolve_path=True)]

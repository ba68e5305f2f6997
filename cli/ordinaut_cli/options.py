"""Options that several commands share, so that they read and mean the same everywhere."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class OutputFormat(StrEnum):
    """How a command prints what it has found."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


# The environment is read by `target`, which knows what counts more: a named context does.
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", metavar="NAME", help="Namespace of the objects.", show_default=False)
]
Api = Annotated[str | None, typer.Option("--api", metavar="URL", help="Where the API is.", show_default=False)]
InContext = Annotated[
    str | None,
    typer.Option("--context", metavar="NAME", help="Use this context of `ordinaut config`.", show_default=False),
]
KubeContext = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Context of kubectl; by default its current one.", show_default=False),
]
# Of commands that look at the cluster itself, these are kubectl's own flags.
ClusterNamespace = Annotated[
    str | None,
    typer.Option(
        "--namespace", "-n", metavar="NAME", help="Namespace of the installation; else it is found.", show_default=False
    ),
]
KubectlContext = Annotated[
    str | None, typer.Option("--context", metavar="NAME", help="Context of kubectl.", show_default=False)
]
KubeConfig = Annotated[
    str | None, typer.Option("--kubeconfig", metavar="FILE", help="The kubeconfig to use.", show_default=False)
]
Output = Annotated[OutputFormat, typer.Option("--output", "-o", help="How to print.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many to show, the newest first.")]
_FILES = typer.Option("--filename", "-f", metavar="FILE|DIR|-", help="Manifests: a file, a directory, or - for stdin.")
Files = Annotated[list[str], _FILES]
OptionalFiles = Annotated[list[str] | None, _FILES]
Folder = Annotated[Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, resolve_path=True)]
TaskName = Annotated[str, typer.Argument(metavar="TASK", help="The task's name.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.")]

"""``ordinaut version``: what is installed."""

import platform
from importlib import metadata

import ordinaut
from ordinaut_cli import render
from ordinaut_cli.options import Output, OutputFormat


def version(output: Output = OutputFormat.TABLE) -> None:
    """Print the version."""
    found = {
        "ordinaut": ordinaut.__version__,
        "python": platform.python_version(),
        "tzdata": metadata.version("tzdata"),
    }
    render.show(found, output, as_table=", ".join(f"{name} {number}" for name, number in found.items()))

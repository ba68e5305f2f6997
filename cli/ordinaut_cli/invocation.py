"""
How the program was called: as ``ordinaut``, or by kubectl as its plugin ``kubectl ordinaut``.

The plugin's surroundings are those of kubectl, and what it tells people to type begins with ``kubectl``.
"""

import sys
from pathlib import Path


def program_name(argument: str) -> str:
    """Return how the program was called, for the usage line: kubectl runs ``kubectl-NAME`` for ``kubectl NAME``."""
    name = Path(argument).name
    return "kubectl ordinaut" if name.startswith("kubectl") else "ordinaut"


def program() -> str:
    """Return how the program was called now."""
    return program_name(sys.argv[0])


def is_plugin() -> bool:
    """Whether kubectl has called."""
    return program() != "ordinaut"

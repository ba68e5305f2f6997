"""
How a command fails: with lines for people on stderr and an exit status for scripts, never with a traceback.

Status 1 is a failure (a run that failed, an API that is away), 2 a mistake in what was typed or in a file; of `status`
it says that the health could not be told.
"""

from typing import Final

FAILED: Final = 1
WRONG_INPUT: Final = 2
CANNOT_TELL: Final = 2


class CommandError(Exception):
    """Ends the command; each line names what is wrong and what to do about it."""

    def __init__(self, *lines: str, exit_code: int = FAILED) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.exit_code = exit_code

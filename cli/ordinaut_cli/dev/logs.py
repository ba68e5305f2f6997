"""The log files of the processes of one session: begun anew at its start, and followed with ``-v``."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TextIO

POLL: Final = 0.2
"""Seconds between looks at the files."""


def begin(log: Path) -> None:
    """Start a log file; that of the session before stays beside it as ``….old``."""
    if log.exists():
        log.replace(log.with_suffix(".log.old"))
    log.touch()


async def follow(logs: Sequence[Path], *, show: Callable[[str, str], None]) -> None:
    """Call ``show(name, line)`` for each line that the processes write, until cancelled."""
    opened: list[tuple[str, TextIO]] = [(log.stem, log.open(errors="replace")) for log in logs]
    try:
        while True:
            for name, file in opened:
                for line in file:
                    show(name, line.rstrip("\n"))
            await asyncio.sleep(POLL)
    finally:
        for _, file in opened:
            file.close()

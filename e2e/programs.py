"""Runs the programs that a person would type: docker, kind, helm, kubectl; each command is shown before it is run."""

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


class StepFailed(Exception):
    """A command did not do what it should; the message holds the command and what it said."""


def run(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float = 900,
    stdin: str = "",
) -> str:
    """
    Run a command and return what it wrote to stdout.

    Args:
        command: the program and its arguments.
        environment: all variables that it gets; by default those of this process.
        timeout: seconds.
        stdin: what it reads.

    Raises:
        StepFailed: it ended with another status than 0, did not end in time, or is not installed.
    """
    words = [str(word) for word in command]
    line = shlex.join([Path(words[0]).name, *words[1:]])
    sys.stdout.write(f"    $ {line}\n")
    sys.stdout.flush()
    try:
        done = subprocess.run(
            words, env=environment, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
    except FileNotFoundError:
        raise StepFailed(f"{words[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise StepFailed(f"{line}: not done after {timeout:.0f} s") from None
    if done.returncode:
        said = "\n".join(part for part in (done.stdout.strip(), done.stderr.strip()) if part)
        raise StepFailed(f"{line}: status {done.returncode}\n{said}")
    return done.stdout

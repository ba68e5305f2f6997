"""
Running kubectl: for one answer, or as a server for as long as a command works.

``forward`` and ``apiserver`` keep a serving one, ``login`` and ``target`` ask short questions. What kubectl says about
a failure is passed on in its own words, since people know them.
"""

import contextlib
import queue
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Final

from ordinaut_cli.errors import CommandError

ANSWER_WITHIN: Final = 10.0
"""Seconds for a short question; a program that makes credentials may have to ask a server."""

SERVE_WITHIN: Final = 20.0
"""Seconds until a serving kubectl must be ready."""

_STOP_WITHIN: Final = 3.0
_KILLED: Final = 128
"""Added to the number of the signal that ended a program, as shells do."""

_MAX_WORDS: Final = 500
_PREFIX: Final = re.compile(r"^(error: |Error from server \(\w+\): |[EF]\d{4} .*?\] )")


@dataclass(frozen=True, slots=True)
class Access:
    """Which cluster, by kubectl's own flags; without them whichever kubectl takes."""

    context: str | None = None
    kubeconfig: str | None = None

    def command(self, *arguments: str) -> list[str]:
        """Return a command line of kubectl."""
        named = (("--context", self.context), ("--kubeconfig", self.kubeconfig))
        return ["kubectl", *arguments, *(f"{flag}={value}" for flag, value in named if value)]


class KubectlError(CommandError):
    """kubectl could not do it; ends the command with what kubectl said."""


def ask(access: Access, *arguments: str) -> str:
    """Return what kubectl prints; raises `KubectlError`."""
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and every part of the line is an argument of its own
            access.command(*arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ANSWER_WITHIN,
            check=False,
        )
    except OSError as error:
        raise KubectlError(*_missing(error)) from None
    except subprocess.TimeoutExpired:
        raise KubectlError(f"kubectl {arguments[0]}: no answer within {ANSWER_WITHIN:g} s") from None
    if done.returncode:
        raise KubectlError(f"kubectl {arguments[0]}: {words(done.stderr) or f'status {done.returncode}'}")
    return done.stdout


def current_context() -> str | None:
    """Return the name of kubectl's current context, None if there is none."""
    try:
        return ask(Access(), "config", "current-context").strip() or None
    except KubectlError:
        return None


def current_namespace(access: Access) -> str | None:
    """Return the namespace of kubectl's context, None if it names none or there is no context."""
    try:
        return ask(access, "config", "view", "--minify", "--output=jsonpath={..namespace}").strip() or None
    except KubectlError:
        return None


def words(text: str) -> str:
    """Return the last line of what kubectl has said, without its prefixes."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (
        re.sub(r"^(error: |Error from server \(\w+\): |E\d{4}\S* .*?\] )", "", lines[-1])[:_MAX_WORDS] if lines else ""
    )


class Serving:
    """A kubectl that serves until it is closed, such as ``kubectl proxy``."""

    def __init__(self, command: Sequence[str], *, announces: str) -> None:
        """
        Start it, and return when it has announced on its stdout that it is ready.

        Args:
            command: the command line.
            announces: a pattern of the line that says so; `said` is its match.
        """
        _end_cleanly()
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        try:
            self._process = subprocess.Popen(  # noqa: S603 - as above
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors, text=True
            )
        except OSError as error:
            self._errors.close()
            raise KubectlError(*_missing(error)) from None
        found: queue.SimpleQueue[re.Match[str] | None] = queue.SimpleQueue()
        # It has to be read to the end: a full pipe would halt kubectl.
        threading.Thread(target=self._read, args=(re.compile(announces), found), daemon=True).start()
        try:
            said = found.get(timeout=SERVE_WITHIN)
        except queue.Empty:
            said = None
        except BaseException:
            self.close()
            raise
        if said is None:
            why = self.complaint or f"it was not ready within {SERVE_WITHIN:g} s"
            self.close()
            raise KubectlError(f"kubectl {command[1]}: {why}")
        self.said = said

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    @property
    def complaint(self) -> str:
        """The last line that it wrote to its stderr."""
        if self._errors.closed:
            return ""
        self._errors.seek(0)
        return words(self._errors.read().decode(errors="replace"))

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def _read(self, pattern: re.Pattern[str], found: "queue.SimpleQueue[re.Match[str] | None]") -> None:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        with self._process.stdout as lines, contextlib.suppress(ValueError):
            for line in lines:
                if match := pattern.search(line):
                    found.put(match)
        found.put(None)


def _end_cleanly() -> None:
    """Have SIGTERM end this program by an exception: kubectl, which would stay behind, is ended on the way out."""

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(_KILLED + number)

    alone = threading.current_thread() is threading.main_thread()
    if alone and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, leave)


def _missing(error: OSError) -> tuple[str, str]:
    return (
        f"cannot run kubectl: {error.strerror}",
        "install it, or put it on PATH: https://kubernetes.io/docs/tasks/tools/",
    )

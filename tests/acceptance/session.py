"""``ordinaut dev`` and the demo as people start them: a command, its output, signals, and what is left behind."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil

from tests.cluster.processes import free_port
from tests.running import until

ROOT = Path(__file__).parents[2]
ORDINAUT = Path(sys.executable).with_name("ordinaut")
PROMPT = "Where to look"
"""Shown when everything is up and, if it was asked for, the first run is over."""


def example(folder: Path) -> Path:
    """Copy the examples, with the tools on a free port instead of their fixed one; returns the copy."""
    copied = folder / "examples"
    shutil.copytree(ROOT / "examples", copied)
    port = str(free_port())
    for file in (copied / "toolserver.py", *copied.glob("*/tools.yaml")):
        text = file.read_text(encoding="utf-8")
        assert "8081" in text
        file.write_text(text.replace("8081", port), encoding="utf-8")
    return copied


class Session:
    """A started command. Its standard output and errors are in one file, as on a terminal."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path, port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}/v1/namespaces/default"
        self._output = output

    @property
    def text(self) -> str:
        """What it has printed so far."""
        return self._output.read_text(encoding="utf-8")

    @property
    def lines(self) -> list[str]:
        """The lines that it has printed so far."""
        return self.text.splitlines()

    def until_says(self, words: str, *, seconds: float = 90) -> None:
        """Wait until it has printed some words."""
        until(
            lambda: words in self.text or self.process.poll() is not None,
            what=lambda: f"{words!r} in:\n{self.text}",
            seconds=seconds,
        )
        assert words in self.text, self.text

    def end(self, *, seconds: float = 90) -> int:
        """Wait until it has ended; returns its status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still there after {seconds} s:\n{self.text}") from None

    def descendants(self) -> list[psutil.Process]:
        """Return its child processes and theirs."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, module: str) -> psutil.Process:
        """Return the child that runs a module of Ordinaut."""
        return next(one for one in self.descendants() if module in " ".join(one.cmdline()))

    def get(self, path: str) -> httpx2.Response:
        """Ask the API."""
        return httpx2.get(f"{self.url}/{path}", trust_env=False, timeout=30)


@contextmanager
def session(*command: str | Path, port: int, cwd: Path, **environment: str) -> Iterator[Session]:
    """Start a command in a folder; whatever it leaves behind is ended afterwards."""
    output = cwd / f"output-{port}-{len(list(cwd.glob('output-*')))}"
    with output.open("wb") as file:
        process = subprocess.Popen(
            list(command),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
            start_new_session=True,
        )
    started = Session(process, output, port)
    seen: list[psutil.Process] = []
    try:
        yield started
        if process.poll() is None:
            seen = started.descendants()
    finally:
        if process.poll() is None:
            seen = seen or started.descendants()
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for left in psutil.wait_procs(seen, timeout=5)[1]:
            left.kill()


@contextmanager
def dev(directory: Path, *options: str, cwd: Path, **environment: str) -> Iterator[Session]:
    """Start ``ordinaut dev`` with its data in ``cwd``."""
    port = free_port()
    with session(
        ORDINAUT, "dev", directory, "--port", str(port), *options, port=port, cwd=cwd, **environment
    ) as started:
        yield started

"""
The child processes of ``ordinaut dev``: started, watched, restarted, stopped.

They are the very same programs as in the chart's Deployments, told by their environment where everything is. A child
that ends by itself is started again after a pause; one that ends three times right after its start ends the session
with its last words.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ordinaut_cli.dev.servers import last_lines
from ordinaut_cli.errors import CommandError

QUICK: Final = 30.0
"""Seconds; a child that ends sooner after its start has died quickly."""

MOST_QUICK_DEATHS: Final = 3
FIRST_PAUSE: Final = 0.5
LAST_PAUSE: Final = 10.0
"""Seconds before a restart, doubled with each quick death."""


@dataclass(frozen=True, slots=True)
class Program:
    """A process to run: ``module`` as ``python -m`` takes it, and where it says whether it is ready."""

    name: str
    module: str
    environment: Mapping[str, str]
    log: Path
    probe_port: int


Tell = Callable[[str], None]


class Supervisor:
    """Keeps programs running. ``tell`` gets a line when a child ended unasked."""

    def __init__(self, *, tell: Tell) -> None:
        self._tell = tell
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lifeline, self._lifeline_held = os.pipe()

    async def start(self, programs: Iterable[Program]) -> None:
        """Start programs and keep them running."""
        for program in programs:
            child = await self._spawn(program)
            self._watches[program.name] = asyncio.create_task(self._watch(program, child), name=program.name)

    async def failure(self) -> None:
        """Wait until a program can't be kept running, and raise the `CommandError`; does not return otherwise."""
        await asyncio.shield(self._failed)

    async def stop(self, names: Sequence[str], *, grace: float) -> None:
        """Stop children by SIGTERM, and after ``grace`` seconds by SIGKILL; returns when they are gone."""
        for name in names:
            if watch := self._watches.pop(name, None):
                watch.cancel()
        children = [self._children.pop(name) for name in names if name in self._children]
        for child in children:
            _signal(child, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await asyncio.gather(*(child.wait() for child in children))
        for child in children:
            _signal(child, signal.SIGKILL)
        await asyncio.gather(*(child.wait() for child in children))

    def kill(self) -> None:
        """Stop all children at once."""
        for child in self._children.values():
            _signal(child, signal.SIGKILL)

    def close(self) -> None:
        """Let go of the lifeline, when all children are gone."""
        os.close(self._lifeline_held)
        os.close(self._lifeline)
        self._failed.cancel()

    @property
    def names(self) -> list[str]:
        """The programs that are to run."""
        return list(self._watches)

    async def _spawn(self, program: Program) -> asyncio.subprocess.Process:
        with program.log.open("ab") as log:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "ordinaut_cli.dev.lifeline",
                program.module,
                stdin=self._lifeline,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **program.environment},
                start_new_session=True,  # Ctrl-C is for us; children are stopped in order
            )
        self._children[program.name] = child
        return child

    async def _watch(self, program: Program, child: asyncio.subprocess.Process) -> None:
        quick_deaths = 0
        while True:
            started = time.monotonic()
            status = await child.wait()
            lived = time.monotonic() - started
            quick_deaths = quick_deaths + 1 if lived < QUICK else 1
            if quick_deaths >= MOST_QUICK_DEATHS:
                words = last_lines(program.log)
                self._fail(CommandError(f"{program.name} ended {quick_deaths} times right after its start:", *words))
                return
            pause = min(FIRST_PAUSE * 2 ** (quick_deaths - 1), LAST_PAUSE)
            self._tell(f"{program.name} {describe_exit(status)}; starting it again in {pause:g} s")
            await asyncio.sleep(pause)
            child = await self._spawn(program)

    def _fail(self, failure: CommandError) -> None:
        if not self._failed.done():
            self._failed.set_exception(failure)


def _signal(child: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(number)


def describe_exit(status: int) -> str:
    """Return how a process ended, from its status as ``subprocess`` gives it."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def free_port() -> int:
    """Return a port of the loopback interface that nobody uses at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether a port of the loopback interface can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True

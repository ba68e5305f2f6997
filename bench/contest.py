"""
The contestants of the benchmarks with peers, and how one of their programs is run and measured.

Each has a database of its own on the server of the benchmark; :mod:`bench.peers.protocol` says what the programs do.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bench import environment
from bench.system import Meter, Reading

PATIENCE = 120.0
"""Seconds after which a program that says nothing is given up."""

LINE_LIMIT = 1 << 24
"""Longest line that a program may say, in bytes."""


@dataclass(frozen=True)
class Contestant:
    """
    A queue under test.

    ``jobs`` are done in a round: so many that it takes some seconds. ``warm`` jobs are done before, so that everything
    is compiled, connected and cached.
    """

    name: str
    program: Callable[[], list[str | Path]]
    jobs: int
    warm: int = 2_000
    variant: str = ""


@dataclass(frozen=True)
class Drained:
    """What draining took."""

    jobs: int
    seconds: float
    used: Reading

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return self.jobs / self.seconds


class Broken(Exception):
    """A contestant has ended early or not done each job exactly once; the message says what it said."""


def _ours(module: str) -> Callable[[], list[str | Path]]:
    return lambda: [sys.executable, "-m", f"bench.peers.{module}"]


def _python(module: str) -> Callable[[], list[str | Path]]:
    return lambda: [environment.python(), "-m", f"bench.peers.{module}"]


def _node(program: str) -> Callable[[], list[str | Path]]:
    return lambda: [environment.node(), environment.script(program)]


OURS = Contestant("Ordinaut, the queue alone", _ours("ours"), jobs=80_000)
RAW_ONE = Contestant("raw loop, lease 1 + delete 1, 16 connections", _ours("raw"), jobs=4_000, warm=200, variant="one")
RAW_BATCH = Contestant("raw loop, batches of 100, two statements", _ours("raw"), jobs=40_000, variant="batch")
RAW = Contestant("raw loop, batches of 500, one statement", _ours("raw"), jobs=80_000, variant="fused")
GRAPHILE = Contestant("graphile-worker", _node("graphile-worker.mjs"), jobs=50_000)
PGBOSS = Contestant("pg-boss", _node("pg-boss.mjs"), jobs=40_000)
PGQUEUER = Contestant("pgqueuer", _python("pgqueuer"), jobs=15_000, warm=500)
DBOS = Contestant("dbos", _python("dbos"), jobs=1_000, warm=50)
PROCRASTINATE = Contestant("procrastinate", _python("procrastinate"), jobs=500, warm=50)

WHOLE = Contestant("Ordinaut, the whole product", _ours("ours"), jobs=0)
BY_HAND = Contestant("Ordinaut, the whole product, run by hand", _ours("ours"), jobs=0, variant="task")
"""Only the senders of these two are used: workers of the product do the work."""

PEERS = (GRAPHILE, PGBOSS, PGQUEUER, DBOS, PROCRASTINATE)


def installed(wanted: Sequence[Contestant]) -> tuple[list[Contestant], list[tuple[str, str]]]:
    """Install what is needed; return who can take part, and who can't and why."""
    there, missing = [], []
    for one in wanted:
        try:
            one.program()
        except environment.Missing as error:
            missing.append((one.name, f"left out: {error}"))
        else:
            there.append(one)
    return there, missing


class Program:
    """A running program of a contestant."""

    def __init__(self, contestant: Contestant, process: Process) -> None:
        self._contestant = contestant
        self._process = process

    @classmethod
    async def start(cls, contestant: Contestant, url: str, mode: str, *, count: int, warm: int) -> "Program":
        """Start it; it is not ready yet."""
        given = [url, mode, str(count), str(warm), *([contestant.variant] if contestant.variant else [])]
        process = await asyncio.create_subprocess_exec(
            *contestant.program(), *given, cwd=environment.ROOT, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=LINE_LIMIT
        )
        return cls(contestant, process)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    async def said(self) -> dict[str, Any]:
        """Return the next line that it says; what other lines a library prints are passed over."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE):
                while line := await self._process.stdout.readline():
                    if line.startswith(b"{"):
                        return dict(json.loads(line))
        except TimeoutError:
            self._process.kill()
        assert self._process.stderr is not None
        errors = (await self._process.stderr.read()).decode(errors="replace")
        raise Broken(f"{self._contestant.name} has ended:\n{errors[-4000:]}")

    def go(self) -> None:
        """Let it go on."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")

    async def end(self) -> None:
        """Wait until it has ended, or end it."""
        try:
            await asyncio.wait_for(self._process.communicate(), 10)
        except TimeoutError:
            self._process.kill()
            await self._process.communicate()


async def drain(contestant: Contestant, url: str, *, scale: float) -> Drained:
    """Have a contestant drain a queue that was filled before; each job must be done exactly once."""
    count, warm = max(1, int(contestant.jobs * scale)), max(1, int(contestant.warm * min(1, scale)))
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        # Not in the middle of what is measured.
        await connection.execute(b"CHECKPOINT")
        program = await Program.start(contestant, url, "drain", count=count, warm=warm)
        try:
            await program.said()
            await connection.execute(b"VACUUM (ANALYZE)")
            meter = Meter(connection, pids={"client": [program.pid]})
            before = await meter.read()
            program.go()
            said = await program.said()
            used = (await meter.read()).since(before)
            program.go()
            left = (await program.said())["left"]
        finally:
            await program.end()
    check(contestant, said | {"left": left}, count=count)
    return Drained(count, said["seconds"], used)


def check(contestant: Contestant, said: Mapping[str, Any], *, count: int) -> None:
    """Raise unless a contestant has done the jobs 0 to ``count`` - 1, each exactly once, and none is left."""
    expected = {"calls": count, "distinct": count, "sum": count * (count - 1) // 2, "left": 0}
    found = {name: said[name] for name in expected}
    if found != expected:
        raise Broken(f"{contestant.name} has not done each job exactly once: {found} instead of {expected}")


async def pick_up(sender: Contestant, url: str, *, count: int, warm: int, worker: Program) -> list[float]:
    """
    Send jobs one by one to a worker that is ready, and return the seconds of each.

    They count from before the call that enqueues to the handler's first instruction.
    """
    sending = await Program.start(sender, url, "send", count=count, warm=warm)
    try:
        await sending.said()
        sending.go()
        sent = (await sending.said())["at"]
        began = (await worker.said())["at"]
    finally:
        await sending.end()
    return [began[number] - at for number, at in sent.items() if int(number) >= 0]

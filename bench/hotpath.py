"""
Where a worker's time goes: a profile of one worker that drains runs of one step, as text.

``python -m bench profile`` samples the Python stacks of the worker with py-spy, from outside: it is not slowed down by
more than a few per cent and nothing in it knows. What it tells: which functions the samples were in (self), which
were on the stack (total), and the tree of calls. Native code (libpq, orjson) counts for the Python function that calls
it; a sample is taken only while a thread does something.
"""

import asyncio
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import backlog, environment
from bench.report import Options, Report
from bench.system import Meter, System, system
from tests.running import Running

RUNS = 30_000
WARM = 2_000
SLOTS = 500
RATE = 250
"""Samples a second."""

SHOWN = 40
"""Functions in each list."""

LEAST = 0.01
"""Branches of the tree with a smaller part of all samples are left out."""

WAITING = ("Condition.wait (threading.py)",)
"""Where a thread waits although it looks busy to py-spy."""

Stacks = Mapping[tuple[str, ...], int]
"""Samples of each stack, from the outermost function to the innermost."""


async def measure(options: Options) -> Report:
    """Sample a worker while it drains a backlog."""
    count = options.scaled(RUNS, least=backlog.CHUNK)
    async with system() as it:
        it.operator()
        worker = it.worker(worker_slots=SLOTS, log_level="WARNING")
        await backlog.prepare(it)
        async with it.pool.connection() as connection:
            await backlog.add(connection, count=WARM)
            await backlog.drain(it)
            meter = Meter(connection, pids={"worker": [worker.process.pid]})
            before = await meter.read()
            stacks = await _sampled(it, worker, count=count)
            used = (await meter.read()).since(before).cpu
    samples = sum(stacks.values())
    return Report(
        f"Profile of one worker of {SLOTS} slots, {count} runs of one step: {samples} samples, {RATE} a second",
        "python -m bench profile",
        [
            *((f"CPU µs a run, {part}", f"{seconds / count * 1e6:.0f}") for part, seconds in used.items()),
            *_list("self", _selves(stacks), samples),
            *_list("total", _totals(stacks), samples),
            ("", ""),
            *(("tree", line) for line in tree(stacks)),
        ],
    )


async def _sampled(it: System, worker: Running, *, count: int) -> Stacks:
    """Let the worker drain runs under the eyes of py-spy; return what that has seen."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "stacks"
        command = ["record", "--pid", str(worker.process.pid), "--rate", str(RATE), "--format", "raw", "--output", raw]
        profiler = await asyncio.create_subprocess_exec(
            environment.profiler(), *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        async with it.pool.connection() as connection:
            await backlog.add(connection, count=count)
        await backlog.drain(it)
        if profiler.returncode is None:
            profiler.send_signal(signal.SIGINT)
        _, said = await profiler.communicate()
        if not raw.exists():
            remedy = "as root, or with kernel.yama.ptrace_scope=0, it can"
            raise environment.Missing(f"py-spy can't look into a process here; {remedy}: {said.decode().strip()}")
        return read(raw.read_text())


def read(text: str) -> Stacks:
    """Read folded stacks: ``outer (file:line);inner (file:line) samples``; lines of one function count as one."""
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in text.splitlines():
        names, _, samples = line.rpartition(" ")
        stack = tuple(_function(frame) for frame in names.split(";"))
        if stack[-1] not in WAITING:
            stacks[stack] += int(samples)
    return stacks


def _function(frame: str) -> str:
    """Return a frame without its line and without the folders above the package."""
    name, _, place = frame.partition(" (")
    path = place.rstrip(")").rpartition(":")[0] or place.rstrip(")")
    return f"{name} ({path.rpartition('site-packages/')[2]})" if path else name


def _selves(stacks: Stacks) -> Counter[str]:
    selves: Counter[str] = Counter()
    for stack, samples in stacks.items():
        selves[stack[-1]] += samples
    return selves


def _totals(stacks: Stacks) -> Counter[str]:
    totals: Counter[str] = Counter()
    for stack, samples in stacks.items():
        for name in set(stack):
            totals[name] += samples
    return totals


def _list(title: str, counted: Counter[str], samples: int) -> Iterator[tuple[str, str]]:
    yield "", ""
    for name, found in counted.most_common(SHOWN):
        yield title, f"{found / samples:6.1%}  {name}"


@dataclass
class _Node:
    samples: int = 0
    children: dict[str, "_Node"] = field(default_factory=dict)


def tree(stacks: Stacks) -> Iterator[str]:
    """Yield the calls as an indented tree, the most frequent first, without small branches."""
    root = _Node()
    for stack, samples in stacks.items():
        node = root
        node.samples += samples
        for name in stack:
            node = node.children.setdefault(name, _Node())
            node.samples += samples
    yield from _lines(root, of=root.samples, depth=0)


def _lines(node: _Node, *, of: int, depth: int) -> Iterator[str]:
    for name, child in sorted(node.children.items(), key=lambda one: -one[1].samples):
        if child.samples >= LEAST * of:
            yield f"{child.samples / of:6.1%}  {'  ' * depth}{name}"
            yield from _lines(child, of=of, depth=depth + 1)

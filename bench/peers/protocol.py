"""
What every program here does, for Python; ``protocol.mjs`` is the same for Node.js.

``PROGRAM DATABASE_URL MODE COUNT WARM [VARIANT]``: jobs are numbers. Modes:

- ``drain``: enqueue and do ``WARM`` jobs, enqueue ``COUNT``, say ``{"ready": true}``, wait for a line, do them, and say
  how often the handler was called, with how many different jobs, their sum, and the seconds from the first call to
  the last settlement. After another line, say how many jobs the database still holds as not done.
- ``work``: say that it is ready, do jobs as they come until ``WARM + COUNT`` different ones are done, and say when the
  handler began with each.
- ``send``: say that it is ready, wait for a line, enqueue ``WARM + COUNT`` jobs one by one with pauses, and say when it
  began with each.

Times are of the monotonic clock, which all processes of a machine share. Nothing but the standard library is used here,
since every peer has an environment of its own.
"""

import asyncio
import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

PAUSE = (0.015, 0.025)
"""Seconds between two jobs that are sent, at least and at most."""

ENQUEUED_AT_ONCE = 1000

Handle = Callable[[int], None]
"""Called with each job's number, first of all."""


class Queue(Protocol):
    """A queue under test."""

    async def open(self) -> None:
        """Connect, and install the queue if it is not there."""

    async def enqueue(self, numbers: Sequence[int]) -> None:
        """Put jobs into the queue."""

    async def drain(self, handle: Handle, *, until: Callable[[], bool]) -> None:
        """Do jobs until the queue says that it is empty, or else ``until`` is true; return when all are settled."""

    async def work(self, handle: Handle) -> None:
        """Do jobs as they come, until cancelled."""

    async def left(self) -> int:
        """Return how many jobs are not done."""

    async def close(self) -> None:
        """Disconnect."""


class Tally:
    """Counts what the handler was called with."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.calls = 0
        self.seen: set[int] = set()
        self.first = 0.0

    def handle(self, number: int) -> None:
        """Take one job."""
        if not self.calls:
            self.first = time.monotonic()
        self.calls += 1
        self.seen.add(number)

    def complete(self) -> bool:
        """Whether each job has been there."""
        return len(self.seen) >= self.expected

    def said(self) -> dict[str, Any]:
        """Return what was counted, at the end of it."""
        seconds = time.monotonic() - self.first
        return {"calls": self.calls, "distinct": len(self.seen), "sum": sum(self.seen), "seconds": seconds}


def main(make: Callable[[str, str], Queue], *, run: Callable[[Any], Any] = asyncio.run) -> None:
    """Do what the command line asks for; ``make`` gets the database's URL and the variant."""
    url, mode, count, warm, *variant = sys.argv[1:]
    _end_with_parent()
    run(_carry_out(make(url, variant[0] if variant else ""), mode, count=int(count), warm=int(warm)))


def _end_with_parent() -> None:
    """See to it that this process is gone soon after the one that has started it, however that ended."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


async def _carry_out(queue: Queue, mode: str, *, count: int, warm: int) -> None:
    await queue.open()
    await {"drain": _drain, "work": _work, "send": _send}[mode](queue, count=count, warm=warm)
    await queue.close()


async def _drain(queue: Queue, *, count: int, warm: int) -> None:
    if warm:
        await _enqueue(queue, range(-warm, 0))
        first = Tally(warm)
        await queue.drain(first.handle, until=first.complete)
    await _enqueue(queue, range(count))
    await _say_and_wait({"ready": True})
    tally = Tally(count)
    await queue.drain(tally.handle, until=tally.complete)
    await _say_and_wait(tally.said())
    _say({"left": await queue.left()})


async def _enqueue(queue: Queue, numbers: range) -> None:
    for start in range(0, len(numbers), ENQUEUED_AT_ONCE):
        await queue.enqueue(numbers[start : start + ENQUEUED_AT_ONCE])


async def _work(queue: Queue, *, count: int, warm: int) -> None:
    began: dict[int, float] = {}
    done = asyncio.Event()
    loop = asyncio.get_running_loop()

    def handle(number: int) -> None:
        began.setdefault(number, time.monotonic())
        if len(began) == count + warm:
            # A queue may call it in a thread of its own.
            loop.call_soon_threadsafe(done.set)

    working = asyncio.create_task(queue.work(handle))
    _say({"ready": True})
    waiting = asyncio.create_task(done.wait())
    await asyncio.wait([working, waiting], return_when=asyncio.FIRST_COMPLETED)
    if not done.is_set():
        waiting.cancel()
        working.result()
        raise RuntimeError("it has stopped working")
    _say({"at": began})
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working


async def _send(queue: Queue, *, count: int, warm: int) -> None:
    await _say_and_wait({"ready": True})
    began: dict[int, float] = {}
    for number in range(-warm, count):
        await asyncio.sleep(random.uniform(*PAUSE))
        began[number] = time.monotonic()
        await queue.enqueue([number])
    _say({"at": began})


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


async def _say_and_wait(what: dict[str, Any]) -> None:
    _say(what)
    await asyncio.to_thread(sys.stdin.readline)

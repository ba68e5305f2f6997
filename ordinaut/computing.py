"""
CPU work beside the event loop: reading bodies, checking manifests and params, looking far ahead, writing long pages.

Whatever may take more than a few milliseconds goes through :func:`compute`, in the api and in the declaration layer.
There is one thread and no more: Python runs one at a time, so a second one would do nothing faster, and the event loop
would wait for both whenever it has let go of the interpreter.
"""

import asyncio
import gc
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")

SWITCH_INTERVAL: Final = 0.001
"""
Seconds that the computing thread keeps the interpreter from the event loop at most; Python's default is five times as
long.
"""

TIDY_EVERY: Final = 5.0
"""Seconds between looks through all objects for garbage, while nothing is computed."""

TIDY_AT_LAST: Final = 60.0
"""Seconds after which it is done all the same."""

_NEVER: Final = 1_000_000_000

_thread = ThreadPoolExecutor(1, thread_name_prefix="compute")
_under_way: list[None] = []


def share_the_interpreter() -> None:
    """
    Make the thread that computes let the event loop in soon; for the whole process.

    Python itself no longer looks through all objects: in the middle of a large request there are a million of them, and
    everybody else would wait. What it finds is made by errors mostly, and can wait for :func:`tidy`.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)


async def tidy() -> None:
    """Look through all objects for garbage when few are there, until cancelled."""
    last = time.monotonic()
    while True:
        await asyncio.sleep(TIDY_EVERY)
        if not _under_way or time.monotonic() - last > TIDY_AT_LAST:
            gc.collect()
            last = time.monotonic()


async def compute(function: Callable[Given, Result], /, *arguments: Given.args, **more: Given.kwargs) -> Result:
    """Return what a function returns that takes its time on the CPU, without holding up the event loop."""
    work = partial(function, *arguments, **more)
    _under_way.append(None)
    try:
        return await asyncio.get_running_loop().run_in_executor(_thread, work)
    finally:
        _under_way.pop()

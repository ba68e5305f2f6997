"""
CPU work beside the event loop: reading bodies, checking manifests and params, looking far ahead, writing long pages.

Whatever may take more than a few milliseconds goes through :func:`compute`, in the api and in the declaration layer.
There are two threads and no more: Python runs one thread at a time, so more of them would only make the event loop wait
for more.
"""

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")

THREADS: Final = 2

SWITCH_INTERVAL: Final = 0.001
"""
Seconds that a computing thread keeps the interpreter from the event loop at most; Python's default is five times that.

With two threads that compute all the time, a wake-up of the loop is late by some 2 ms instead of 10.
"""

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="compute")


def share_the_interpreter() -> None:
    """Make threads that compute let the event loop in soon; for the whole process."""
    sys.setswitchinterval(SWITCH_INTERVAL)


async def compute(function: Callable[Given, Result], /, *arguments: Given.args, **more: Given.kwargs) -> Result:
    """Return what a function returns that takes its time on the CPU, without holding up the event loop."""
    work = partial(function, *arguments, **more)
    return await asyncio.get_running_loop().run_in_executor(_threads, work)

"""
CPU work beside the event loop: reading bodies, checking manifests and params, looking far ahead, writing long pages.

Whatever may take more than a few milliseconds goes through :func:`compute`, in the api and in the declaration layer.
There is one thread and no more: Python runs one at a time, so a second one would do nothing faster, and the event loop
would wait for both whenever it has let go of the interpreter.
"""

import asyncio
import sys
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

_thread = ThreadPoolExecutor(1, thread_name_prefix="compute")


def share_the_interpreter() -> None:
    """Make the thread that computes let the event loop in soon; for the whole process."""
    sys.setswitchinterval(SWITCH_INTERVAL)


async def compute(function: Callable[Given, Result], /, *arguments: Given.args, **more: Given.kwargs) -> Result:
    """Return what a function returns that takes its time on the CPU, without holding up the event loop."""
    work = partial(function, *arguments, **more)
    return await asyncio.get_running_loop().run_in_executor(_thread, work)

"""
The api process with a meter in its event loop: ``python -m tests.security.metered``, in place of the module of the api.

The meter wakes up every millisecond. What stands between two wake-ups is told in the CPU that was burnt meanwhile, by
the loop's own thread and by the whole process: that is how long somebody else's request would have waited on a machine
with nothing else to do. Seconds on the wall are noted beside them; they depend on who else uses the machine.
"""

import asyncio
import json
import os
import time
from pathlib import Path

from ordinaut import process
from ordinaut_api import server
from ordinaut_api.settings import ApiSettings

FILE = "ORDINAUT_TEST_METER"
"""The variable that names the file for the gaps."""

NOTED = 0.005
"""Seconds; shorter gaps are not worth a line."""

_TICK = 0.001


async def measure(path: Path) -> None:
    """Write one line for each gap."""
    with path.open("a", buffering=1) as out:
        before = _now()
        while True:
            await asyncio.sleep(_TICK)
            now = _now()
            thread, whole, wall = (later - earlier for later, earlier in zip(now, before, strict=True))
            if max(thread, whole) > NOTED:
                out.write(json.dumps({"thread": thread, "process": whole, "wall": wall}) + "\n")
            before = _now()


def _now() -> tuple[float, float, float]:
    return time.thread_time(), time.process_time(), time.perf_counter()


async def run(configured: ApiSettings) -> None:
    """Serve with the meter beside."""
    meter = asyncio.create_task(measure(Path(os.environ[FILE])))
    try:
        await server.run(configured)
    finally:
        await process.stop(meter)


if __name__ == "__main__":
    process.start("api", ApiSettings, run)

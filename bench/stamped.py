"""
``python -m bench.stamped``: a worker as it is, but that ``std.log`` notes when it was called.

The line for the log is what the step is for and stays; the time is that of the monotonic clock, with the message,
which is a job's number. They go to the file that BENCH_STAMPS names.
"""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ordinaut_worker.app import main
from ordinaut_worker.tools import Call, std


def _stamp() -> None:
    log = std.BUILT_IN["std.log"]
    stamps = Path(os.environ["BENCH_STAMPS"]).open("a", buffering=1)  # noqa: SIM115 - open as long as the process

    def stamped(call: Call) -> Any:
        began = time.monotonic()
        stamps.write(f"{call.arguments['message']} {began}\n")
        return log.call(call)

    std.BUILT_IN["std.log"] = replace(log, call=stamped)


if __name__ == "__main__":
    _stamp()
    main()

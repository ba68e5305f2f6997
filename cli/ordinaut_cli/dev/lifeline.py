"""
``python -m ordinaut_cli.dev.lifeline MODULE``: runs a process that ends when ``ordinaut dev`` is gone.

``processes`` starts every child through this. The child's stdin is a pipe whose other end only ``ordinaut dev``
holds; when that was killed, the pipe ends and the child stops as at SIGTERM, so that nothing is left behind to
disturb the next start.
"""

import os
import runpy
import signal
import sys
import threading


def _stop_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run the module that the command line names."""
    module = sys.argv[1]
    sys.argv = sys.argv[1:]
    threading.Thread(target=_stop_with_parent, name="lifeline", daemon=True).start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

"""
The demo: the tools of the examples and ``ordinaut dev``, started and stopped together.

``make demo`` runs it as ``python examples/demo.py DIR [option of ordinaut dev …]``. Ctrl-C stops both: ``ordinaut dev``
gets it from the terminal as well and ends in order, and only then do the tools that its last steps may call.
"""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import toolserver


def main() -> int:
    """Return the exit status of ``ordinaut dev``."""
    try:
        tools = toolserver.server()
    except OSError as error:
        print(f"port {toolserver.PORT} of the example's tools: {error.strerror}; stop what uses it", file=sys.stderr)
        return 1
    dev = subprocess.Popen([Path(sys.executable).with_name("ordinaut"), "dev", *sys.argv[1:]])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: dev.terminate())
    threading.Thread(target=tools.serve_forever, name="tools", daemon=True).start()
    return dev.wait()


if __name__ == "__main__":
    sys.exit(main())

"""
The demo: the example's tool server and ``ordinaut dev``, started and stopped together.

``make demo`` runs it as ``python examples/demo.py DIR [option of ordinaut dev …]``.
"""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    """Return the exit status of ``ordinaut dev``."""
    tools = subprocess.Popen([sys.executable, str(HERE / "toolserver.py")])
    dev = subprocess.Popen([Path(sys.executable).with_name("ordinaut"), "dev", *sys.argv[1:]])
    try:
        return dev.wait()
    except KeyboardInterrupt:
        # The terminal has sent the interrupt to it as well; it stops its processes and says so.
        return dev.wait()
    finally:
        tools.terminate()
        tools.wait()


if __name__ == "__main__":
    sys.exit(main())

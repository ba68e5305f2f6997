"""
`python -m tests.cluster` (`make cluster`): a control plane in the foreground, to try things with kubectl by hand.

Prints the line that points kubectl at it and stays until Ctrl-C. With `--fetch` it only makes sure that the programs
of all tests are in the cache, which is what a CI job does first: a build counts against no test's time limit then.
"""

import argparse
import contextlib
import logging
import signal
import sys

from tests.cluster import binaries, foreigncrds, gobuild
from tests.cluster.controlplane import ControlPlane
from tests.cluster.errors import MissingProgramError


def main() -> int:
    """Run the command; the exit status is 1 if the programs cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__.splitlines()[1])
    parser.add_argument("--fetch", action="store_true", help="download or build the programs, start nothing")
    parser.add_argument("--controller-manager", action="store_true", help="also run kube-controller-manager")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    try:
        if options.fetch:
            for path in binaries.provide(gobuild.PROGRAMS).values():
                print(path)
            print(foreigncrds.provide())
        else:
            _serve(ControlPlane(controller_manager=options.controller_manager))
    except MissingProgramError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _serve(control_plane: ControlPlane) -> None:
    for stop in (signal.SIGINT, signal.SIGTERM):  # both end it in order, also where a shell's `&` ignores Ctrl-C
        signal.signal(stop, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), control_plane:
        print(f"export KUBECONFIG={control_plane.kubeconfig}", flush=True)
        while True:
            signal.pause()


if __name__ == "__main__":
    sys.exit(main())

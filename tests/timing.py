"""
How strictly tests hold times.

Exactly on a machine with nothing else to do (``ORDINAUT_TEST_TIMED=1``, as `make faults` sets it); otherwise, where
other tests run beside them, only so far that nothing hangs. Figures belong to the benches.
"""

import os

PATIENCE = 1 if os.environ.get("ORDINAUT_TEST_TIMED") else 10


def at_most(seconds: float) -> float:
    """Return the seconds that something may take here which must take at most ``seconds`` on a quiet machine."""
    return seconds * PATIENCE

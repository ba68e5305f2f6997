"""
How many faults each test makes, and which random choices it takes.

``make test`` makes a few of each, `make faults` all of them: ``ORDINAUT_TEST_FAULTS`` is the share of the full counts.
``ORDINAUT_TEST_SEED`` repeats the choices of an earlier test, which has printed its seed.
"""

import os
import random
import time

_COUNTS = {
    "F1": (3, 1000),
    "F2": (3, 500),
    "F3": (3, 300),
    "F4": (2, 100),
    "F5": (200, 2000),
    "F6": (100, 3000),
    "F9": (20, 100),
    "F12": (2, 20),
    "F13": (1, 20),
    "F15": (1, 1),
}
"""By fault: how many in ``make test``, how many in `make faults`."""

_SHARE = float(os.environ.get("ORDINAUT_TEST_FAULTS", "0"))
_SEED = int(os.environ.get("ORDINAUT_TEST_SEED", time.time_ns() % 1_000_000))


def count(fault: str) -> int:
    """Return how many times a fault is made."""
    short, full = _COUNTS[fault]
    return max(short, round(full * _SHARE))


def seconds(fault: str) -> float:
    """Return the time limit of a fault's test: none of them may hang, on a busy machine neither."""
    return 180 + 30 * count(fault)


def choices(fault: str) -> random.Random:
    """Return the source of a fault's random choices."""
    print(f"{fault}: ORDINAUT_TEST_SEED={_SEED}")
    return random.Random(f"{fault}/{_SEED}")

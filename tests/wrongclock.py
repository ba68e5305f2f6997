"""
``python -m tests.wrongclock``: one of Ordinaut's processes whose clock is wrong, by the seconds that a file says.

``ORDINAUT_TEST_PROGRAM`` is the module to run, ``ORDINAUT_TEST_CLOCK_FILE`` the file; a test that writes it anew sets
the clock of the running process. What Python code reads as the time of day is wrong: ``datetime.now``, ``time.time``.
The monotonic clock is right, as it is when an administrator or NTP sets the other one, and so is the database's.
"""

import datetime
import os
import runpy
import time
from pathlib import Path
from typing import Any

_right_time = time.time
_right = datetime.datetime
_file = Path(os.environ.get("ORDINAUT_TEST_CLOCK_FILE", os.devnull))


def _time() -> float:
    return _right_time() + float(_file.read_text() or 0)


class _Instances(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _right)


class _Wrong(_right, metaclass=_Instances):
    """Makes right datetimes, of wrong times."""

    def __new__(cls, *args: Any, **kwargs: Any) -> datetime.datetime:  # type: ignore[misc]
        return _right(*args, **kwargs)

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
        return _right.fromtimestamp(_time(), tz)


if __name__ == "__main__":
    time.time = _time
    datetime.datetime = _Wrong  # type: ignore[misc]
    runpy.run_module(os.environ["ORDINAUT_TEST_PROGRAM"], run_name="__main__")

"""
No input costs more than it may.

Work is counted in calls of functions, Python's and C's, with every cache cold: a number that is the same on any machine
and under any load. A million calls take far longer than 20 ms; the budget here is what 20 ms allow on a slow machine.
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import pytest

from ordinaut.errors import Invalid
from ordinaut.schedule import Cron, Gap, RRule, Written, next_fires, parse_cron, parse_rrule, parse_schedule, parse_zone
from ordinaut.schedule import fires as fires_function  # noqa: F401

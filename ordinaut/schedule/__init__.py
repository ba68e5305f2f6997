"""
Schedules: pure answers to "when does this fire?" and "what becomes of what was missed?".

``parse_schedule`` checks what a user wrote, ``next_fires`` lists instants, ``decide_missed`` decides the fate of those
that are due, ``jitter`` how much later their runs start. Time is always passed in, and nothing here does I/O beyond
reading the pinned time zone data::

    admission ──> spec ──> fires ──> missed        what the rest of the program calls
                             │
              cron   rrule   interval              one module per kind of rule
                │      ├── rrule_daily             on the wall clock
                │      └── rrule_elapsed           in elapsed time
                └── days, times, zone ──┘          which days, which times of day, which instants
"""

from ordinaut.schedule.admission import (
    DEFAULT_MIN_INTERVAL,
    Written,
    parse_at,
    parse_cron,
    parse_interval,
    parse_rrule,
    parse_schedule,
)
from ordinaut.schedule.fires import HORIZON_YEARS, MAX_LIMIT, iter_fires, next_fires
from ordinaut.schedule.jitter import jitter, jitter_of
from ordinaut.schedule.missed import (
    CatchUp,
    CatchUpPolicy,
    Decision,
    Outcome,
    Progress,
    decide_missed,
)
from ordinaut.schedule.spec import At, Bounded, Cron, Gap, Interval, RRule, Schedule
from ordinaut.schedule.zone import parse_zone, tzdata_version

__all__ = [
    "DEFAULT_MIN_INTERVAL",
    "HORIZON_YEARS",
    "MAX_LIMIT",
    "At",
    "Bounded",
    "CatchUp",
    "CatchUpPolicy",
    "Cron",
    "Decision",
    "Gap",
    "Interval",
    "Outcome",
    "Progress",
    "RRule",
    "Schedule",
    "Written",
    "decide_missed",
    "iter_fires",
    "jitter",
    "jitter_of",
    "next_fires",
    "parse_at",
    "parse_cron",
    "parse_interval",
    "parse_rrule",
    "parse_schedule",
    "parse_zone",
    "tzdata_version",
]

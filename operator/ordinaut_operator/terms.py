"""
What the spec of a task says about its firing, read once for all tasks that say the same.

A task's :mod:`verdict` is given by it; thousands of tasks that are due together hardly differ in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import orjson

from ordinaut.declaration.nominal import is_anchored
from ordinaut.remembering import remembered
from ordinaut.resources.duration import parse_duration
from ordinaut.schedule import CatchUp, CatchUpPolicy

DEFAULT_PRIORITY = 5


@dataclass(frozen=True, slots=True)
class Terms:
    """When a task fires and what becomes of its times; ``schedules`` are as written."""

    schedules: Sequence[Mapping[str, Any]]
    is_anchored: bool
    catch_up: CatchUp
    starting_deadline: timedelta | None
    policy: str
    priority: int
    jitter: timedelta | None


@remembered(entries=16_384)
def read_terms(spec: str) -> Terms:
    """Return the terms of a stored, valid spec, of which parts that don't matter here may be left out."""
    written = orjson.loads(spec)
    schedules = written.get("schedules", ())
    return Terms(
        schedules,
        is_anchored(schedules),
        _catch_up(written.get("catchUp", {})),
        _seconds(written.get("startingDeadlineSeconds")),
        written.get("concurrencyPolicy", "Allow"),
        written.get("priority", DEFAULT_PRIORITY),
        _jitter(written.get("jitter")),
    )


def _catch_up(written: Mapping[str, Any]) -> CatchUp:
    default = CatchUp()
    return CatchUp(CatchUpPolicy(written.get("policy", default.policy)), written.get("max", default.max))


def _seconds(count: int | None) -> timedelta | None:
    return None if count is None else timedelta(seconds=count)


def _jitter(written: str | None) -> timedelta | None:
    return None if written is None else parse_duration(written)

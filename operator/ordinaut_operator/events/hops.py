"""
How many runs of events stand one behind the other: what ends tasks that set each other off for ever.

A run of an event has one hop more than the run that caused the event. Ordinaut's own events say which run that was;
publishers say it with the extension attribute `RUN`. Pure; :mod:`react` knows the hops of runs.
"""

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from ordinaut.events.attributes import RUN
from ordinaut.events.envelope import TYPE_PREFIX

SKIPPED: Final = f"{TYPE_PREFIX}task.skipped"


def cause_of(event: Mapping[str, Any]) -> UUID | None:
    """Return the run that has caused a CloudEvent, as far as it says so."""
    text = _data(event).get("run") if event["type"].startswith(TYPE_PREFIX) else event.get(RUN)
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None


def hops_after(event: Mapping[str, Any], known: Mapping[UUID, int]) -> int:
    """
    Return the hops of a run that a CloudEvent makes; ``known`` are those of runs that have caused events.

    What tells of skipped events was caused by no run, and says itself how far it has come: or tasks that are triggered
    by it could go round in a circle.
    """
    if event["type"] == SKIPPED:
        told = _data(event).get("hops", 0)
        return 1 + int(told)
    cause = cause_of(event)
    return 1 if cause is None else 1 + known.get(cause, 0)


def _data(event: Mapping[str, Any]) -> Mapping[str, Any]:
    data = event.get("data")
    return data if isinstance(data, dict) else {}

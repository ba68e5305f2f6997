"""
The Event that tells of skipped times, as Kubernetes has it.

Pure; the recorder posts what is made here. It is the Event of the core group: only there may the message of one that is
there change, which names the latest time (of `events.k8s.io/v1` nothing but the series may), and its count and
timestamps are what ``kubectl get events`` sorts by and other tools read.
"""

import hashlib
from datetime import datetime
from typing import Any, Final

from ordinaut.resources.manifest import API_VERSION
from ordinaut.resources.moment import format_instant
from ordinaut.states import WHY_EVENT_SKIPPED, WHY_SKIPPED, EventSkipReason, SkipReason
from ordinaut_operator.skips.series import Notice

COMPONENT: Final = "ordinaut-operator"

ACTION: Final = "Skip"
"""What was done; the reason of an Event is why."""

_LONGEST_NAME: Final = 253 - 17


def name_of(notice: Notice) -> str:
    """Return the Event's name: the same whenever it is tried, and another one for each series."""
    series = f"{notice.task_id} {notice.reason} {notice.began.isoformat()}{' events' if notice.of_events else ''}"
    digest = hashlib.blake2b(series.encode(), digest_size=8).hexdigest()
    return f"{notice.name[:_LONGEST_NAME].rstrip('-.')}.{digest}"


def message_of(notice: Notice) -> str:
    """Return what happened, why, and where to look."""
    first, last = format_instant(notice.first), format_instant(notice.last)
    name = notice.name
    if notice.of_events:
        events = f"an event of {first}" if notice.count == 1 else f"{notice.count} events from {first} to {last}"
        why = WHY_EVENT_SKIPPED[EventSkipReason(notice.reason)]
        return f"Skipped {events}: {why}. `ordinaut why {name}` says more, `ordinaut fires {name} --events` lists them"
    times = first if notice.count == 1 else f"{notice.count} times from {first} to {last}"
    why = WHY_SKIPPED[SkipReason(notice.reason)]
    return f"Skipped {times}: {why}. `ordinaut why {name}` says more, `ordinaut fires {name}` lists all times"


def event_of(notice: Notice, *, instance: str) -> dict[str, Any]:
    """Return the whole Event; ``instance`` is the replica that posts it."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name_of(notice), "namespace": notice.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": "Task",
            "namespace": notice.namespace,
            "name": notice.name,
            "uid": notice.uid,
        },
        "type": "Warning",
        "reason": notice.reason,
        "action": ACTION,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": instance,
        "firstTimestamp": _second(notice.began),
        **change_of(notice),
    }


def change_of(notice: Notice) -> dict[str, Any]:
    """Return what changes of an Event when more times are skipped, as a merge patch."""
    return {"message": message_of(notice), "count": notice.count, "lastTimestamp": _second(notice.latest)}


def _second(moment: datetime) -> str:
    return format_instant(moment.replace(microsecond=0))

"""
Which statuses are not what they should be.

Pure: the status writer reads rows, asks here what to write, and writes it. Objects that the watch has not seen, or
has seen as another incarnation than PostgreSQL knows, are left for later: both will be heard of again.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ordinaut.states import Origin
from ordinaut.store.declared import Key
from ordinaut.store.status import HookStatus, PipelineStatus, TaskRow, ToolStatus
from ordinaut_operator.status import desired
from ordinaut_operator.status.observed import Observed, Statuses, digest_of


@dataclass(frozen=True, slots=True)
class Write:
    """A whole status to be written to one incarnation of an object."""

    key: Key
    uid: str
    status: Mapping[str, Any]


def of_task(row: TaskRow, *, statuses: Statuses) -> Write | None:
    """Return what is to be written for a task, None if nothing is."""
    key = Key("Task", row.namespace, row.name)
    observed = statuses.get(key)
    if row.origin != Origin.KUBERNETES or observed is None or observed.uid != row.uid:
        return None
    return _write(key, observed, desired.task_status(row, observed=observed))


def of_declared(
    pipelines: Iterable[PipelineStatus],
    tools: Iterable[ToolStatus],
    hooks: Iterable[HookStatus],
    *,
    statuses: Statuses,
    now: datetime,
) -> Iterator[Write]:
    """Yield what is to be written for pipelines, tools and hooks, and for objects whose name another origin owns."""
    for pipeline in pipelines:
        key = Key("Pipeline", pipeline.namespace, pipeline.name)
        if (observed := statuses.get(key)) is not None and observed.uid == pipeline.uid:
            yield from _some(_write(key, observed, desired.pipeline_status(pipeline, observed=observed, now=now)))
    for tool in tools:
        key = Key("Tool", tool.namespace, tool.name)
        if (observed := statuses.get(key)) is not None and observed.uid == tool.uid:
            yield from _some(_write(key, observed, desired.tool_status(tool, observed=observed, now=now)))
    for hook in hooks:
        key = Key("Hook", hook.namespace, hook.name)
        if (observed := statuses.get(key)) is not None and observed.uid == hook.uid:
            yield from _some(_write(key, observed, desired.hook_status(hook, observed=observed, now=now)))
    for key, owner in statuses.taken.items():
        if (observed := statuses.get(key)) is not None:
            yield from _some(_write(key, observed, desired.taken_status(key.kind, owner, observed=observed, now=now)))


def _write(key: Key, observed: Observed, status: Mapping[str, Any]) -> Write | None:
    return None if digest_of(status) == observed.digest else Write(key, observed.uid, status)


def _some(write: Write | None) -> Iterator[Write]:
    if write is not None:
        yield write

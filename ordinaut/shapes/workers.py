"""Workers that live, and what they hold."""

from ordinaut.shapes.base import Instant, NominalTime, Shape


class WorkerRun(Shape):
    """A run that a worker holds."""

    id: str
    task: str
    since: NominalTime
    """Since when this worker holds it."""


class Worker(Shape):
    """A worker that lives. It works for all namespaces; of others it is only told how many runs it holds."""

    name: str
    queues: list[str]
    """The queues that it takes runs from; ``*`` is all."""
    slots: int
    """Runs that it holds at once at most."""
    busy: int
    """Runs that it holds, whatever their namespace."""
    version: str
    start_time: Instant
    seen_time: Instant
    """Its last sign of life."""
    draining: bool
    """Whether it takes no more runs, since it has been told to end."""
    held: int
    """Runs of this namespace that it holds."""
    runs: list[WorkerRun]
    """Those that it has held longest, at most 100."""

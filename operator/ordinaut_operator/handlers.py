"""
What kopf calls: one thin handler for the events of all our kinds, and kopf's settings.

kopf watches and reconnects; everything else it can do is switched off, because it would write to users' objects
(progress and diff annotations, finalizers) or lose things (errors of event handlers are logged and dropped). The
handler therefore only hands each event on to a :data:`Sink`; :mod:`ordinaut_operator.watch` makes the two ends meet.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

import kopf

from ordinaut.resources.manifest import GROUP, VERSION
from ordinaut_operator.kube import PLURALS

Sink = Callable[[str | None, Mapping[str, Any]], None]
"""Takes the type of an event (None: listed) and the object."""

_INACTIVITY: Final = 70.0
"""Seconds without an event or a bookmark (one comes every 60) after which a stream is dead and opened anew."""


class _NoDiff(kopf.DiffBaseStorage):
    """Stores nothing: event handlers need no difference to an earlier state."""

    def build(self, **_: Any) -> Any:
        return {}

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        pass


class _NoProgress(kopf.ProgressStorage):
    """Stores nothing: retries are the queue's, and users' objects are not written to."""

    def fetch(self, **_: Any) -> Any:
        return None

    def store(self, **_: Any) -> None:
        pass

    def purge(self, **_: Any) -> None:
        pass

    def touch(self, **_: Any) -> None:
        pass

    def clear(self, *, essence: Any) -> Any:
        return essence

    def flush(self) -> None:
        pass


class _Forever:
    """
    Pauses between tries of a request, without end: kopf gives up with the last one. Iterated anew for each request.
    """

    def __iter__(self) -> Iterator[float]:
        yield from (0.5, 1, 2)
        while True:
            yield 3


def kopf_settings() -> kopf.OperatorSettings:
    """Return the settings of a kopf that only watches."""
    settings = kopf.OperatorSettings()
    settings.process.ultimate_exiting_timeout = None  # it would kill the process, which does more than watch
    settings.persistence.diffbase_storage = _NoDiff()
    settings.persistence.progress_storage = _NoProgress()
    settings.watching.chunk_size = 500
    settings.watching.inactivity_timeout = _INACTIVITY
    settings.watching.connect_timeout = 5
    settings.networking.connect_timeout = 5
    settings.networking.request_timeout = 30  # a page of a list; a server that hangs is asked again
    settings.networking.error_backoffs = _Forever()
    settings.queueing.idle_timeout = 0.01  # of the task that kopf keeps for each object
    settings.posting.enabled = False
    settings.scanning.disabled = True
    return settings


def registry_for(sink: Sink, *, log_in: Callable[[], Awaitable[kopf.AiohttpSession]]) -> kopf.OperatorRegistry:
    """Return the handlers that feed ``sink``; ``log_in`` opens kopf's session."""
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)  # an INFO line for each event
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def authenticate(**_: Any) -> kopf.AiohttpSession:
        return await log_in()

    async def seen(event: kopf.RawEvent, **_: Any) -> None:
        sink(event["type"], event["object"])

    for plural in PLURALS.values():
        kopf.on.event(GROUP, VERSION, plural, registry=registry)(seen)
    return registry

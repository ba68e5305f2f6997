"""
Sends spans to an OpenTelemetry collector, as OTLP over HTTP.

:mod:`ordinaut.process` calls :func:`exporting` where the environment names a collector, and imports this module only
then. Spans wait in a bounded queue for a thread that sends them; those that find it full are dropped and counted. A
collector that is away is noticed in the log once a minute, and by nobody else. Everything that OpenTelemetry's standard
variables say about exporter, sampler and resource counts.
"""

import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from ordinaut import __version__, metrics, spans
from ordinaut.logging import get_logger
from ordinaut.spans import Span

WAITING: Final = 8192
"""Spans that wait at most, some 10 MB."""

BATCH: Final = 512
"""Spans sent at once."""

PAUSE: Final = 1.0
"""Seconds between sendings, in which spans gather."""

FLUSH: Final = 2.0
"""Seconds that the end of the process waits for what has gathered."""

COMPLAIN_EVERY: Final = 60.0
"""Seconds between two lines of the log about a collector that takes nothing."""

_PROTOCOL: Final = "http/protobuf"
_NANOSECONDS: Final = 1_000_000_000
_SCOPE: Final = InstrumentationScope("ordinaut", __version__)

log = get_logger(__name__)


@contextmanager
def exporting(process: str) -> Iterator[None]:
    """Send the spans of a process as long as the context lasts."""
    if (protocol := _protocol()) != _PROTOCOL:
        log.warning("no traces are sent: only one protocol is known", wanted=protocol, known=_PROTOCOL)
        yield
        return
    with _last_words() as words:
        try:
            collector = _collector(process, words)
        except ValueError as error:
            log.warning("no traces are sent: OpenTelemetry refuses a setting", reason=str(error))
            yield
            return
        spans.receiver = collector
        log.info("traces are sent")
        try:
            yield
        finally:
            spans.receiver = None
            collector.close()


def _collector(process: str, words: "_LastWords") -> "Collector":
    """Return what the environment's variables describe; raises ``ValueError`` for some that are wrong."""
    resource = _resource(process)
    # The provider is asked for nothing but the sampler that the environment names.
    sampler = TracerProvider(resource=resource, shutdown_on_exit=False).sampler
    if words.text:
        log.warning("a setting of the traces is left out", reason=words.take())
    return Collector(OTLPSpanExporter(), resource=resource, sampler=sampler, words=words)


class Collector:
    """Takes spans at once and sends them later; the :class:`~ordinaut.spans.Receiver` of a process."""

    def __init__(
        self, exporter: SpanExporter, *, resource: Resource, sampler: Sampler, words: "_LastWords | None" = None
    ) -> None:
        self._exporter = exporter
        self._resource = resource
        self._words = words or _LastWords()
        self._waiting: deque[Span] = deque()
        self._news = threading.Event()
        self._closing = False
        self._offset = 0.0
        self._lost = 0
        self._complained = float("-inf")
        self._sampler = sampler
        self._sampled = lru_cache(1024)(self._decide)
        self._thread = threading.Thread(target=self._send_all, name="traces", daemon=True)
        self._thread.start()

    def record(self, ended: Iterable[Span]) -> None:
        """Take spans of things that have ended."""
        for span in ended:
            if not self._sampled(span.run):
                continue
            if len(self._waiting) >= WAITING:
                metrics.SPANS_DROPPED.inc()
                continue
            self._waiting.append(span)
        if len(self._waiting) >= BATCH:
            self._news.set()

    def is_sampled(self, run: str) -> bool:
        """Whether the trace of a run is kept: by its id alone, so that all processes decide alike."""
        return self._sampled(run)

    def _decide(self, run: str) -> bool:
        decision: Decision = self._sampler.should_sample(None, spans.trace_id(run), "run").decision
        return decision is Decision.RECORD_AND_SAMPLE

    def synchronize(self, database_now: datetime) -> None:
        """Put in what the database's clock says at this moment."""
        self._offset = database_now.timestamp() - time.time()

    def now(self) -> float:
        """Return what the database's clock says, as far as is known."""
        return time.time() + self._offset

    def at(self, reading: float) -> float:
        """Return what it said at a reading of ``time.monotonic()``."""
        return self.now() - (time.monotonic() - reading)

    def close(self) -> None:
        """Send what waits, but not for long."""
        self._closing = True
        self._news.set()
        self._thread.join(FLUSH)
        self._exporter.shutdown()

    def _send_all(self) -> None:
        closing = False
        while not closing:
            self._news.wait(PAUSE)
            self._news.clear()
            closing = self._closing  # asked before sending: what came in until then is sent
            while self._waiting:
                self._send([self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))])

    def _send(self, batch: Sequence[Span]) -> None:
        try:
            sent = self._exporter.export([self._readable(span) for span in batch]) is SpanExportResult.SUCCESS
        except Exception:
            log.exception("spans can't be sent", spans=len(batch))
            sent = False
        if not sent:
            metrics.SPANS_DROPPED.inc(len(batch))
            self._lost += len(batch)
            self._complain()

    def _complain(self) -> None:
        if time.monotonic() - self._complained >= COMPLAIN_EVERY:
            reason = self._words.take()
            log.warning("traces are lost: the collector does not take them", spans=self._lost, reason=reason)
            self._complained = time.monotonic()
            self._lost = 0

    def _readable(self, span: Span) -> ReadableSpan:
        """Return a span as the exporter takes it."""
        return ReadableSpan(
            name=span.name,
            context=_context(span.run, span.role),
            parent=None if span.parent is None else _context(span.run, span.parent),
            resource=self._resource,
            attributes=span.attributes,
            kind=SpanKind.CLIENT if span.calls else SpanKind.INTERNAL,
            status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
            start_time=int(span.started * _NANOSECONDS),
            end_time=int(span.ended * _NANOSECONDS),
            instrumentation_scope=_SCOPE,
        )


class _LastWords(logging.Handler):
    """Keeps the last thing that OpenTelemetry's own loggers said; they would repeat it for each batch."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line."""
        self.text = record.getMessage()

    def take(self) -> str:
        """Return the line, and forget it."""
        text, self.text = self.text, ""
        return text


@contextmanager
def _last_words() -> Iterator[_LastWords]:
    """Have OpenTelemetry's loggers tell nobody else as long as the context lasts."""
    words = _LastWords()
    library = logging.getLogger("opentelemetry")
    library.addHandler(words)
    library.propagate = False
    try:
        yield words
    finally:
        library.removeHandler(words)
        library.propagate = True


def _protocol() -> str:
    names = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    return next((value for name in names if (value := os.environ.get(name))), _PROTOCOL)


def _context(run: str, role: str) -> SpanContext:
    return SpanContext(
        spans.trace_id(run), spans.span_id(run, role), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )


def _resource(process: str) -> Resource:
    """Return what the spans say of this process; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES count more."""
    ours = {
        "service.name": f"ordinaut-{process}",
        "service.namespace": "ordinaut",
        "service.version": __version__,
        "service.instance.id": os.environ.get("POD_NAME") or f"{socket.gethostname()}-{os.getpid()}",
    }
    return Resource.create(ours).merge(OTELResourceDetector().detect())

"""A collector of traces for tests: takes OTLP over HTTP as a real one does, and keeps what it was sent."""

import gzip
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Received:
    """A span as it came over the wire; ids are in hexadecimal digits, empty where there is none."""

    service: str
    trace: str
    id: str
    parent: str
    name: str
    kind: int
    started: int
    ended: int
    attributes: dict[str, Any]
    failed: bool
    message: str


class Collector:
    """Serves ``POST /v1/traces`` as long as the context lasts."""

    def __init__(self) -> None:
        self.spans: list[Received] = []
        self.raw: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def trace(self, run: str) -> dict[str, Received]:
        """The spans of a run so far, by their names."""
        return {one.name: one for one in self.of(run)}

    def of(self, run: str) -> list[Received]:
        """All spans of the trace that the root or any other span of a run is in."""
        traces = {one.trace for one in self.spans if one.attributes.get("ordinaut.run.id") == run}
        return [one for one in self.spans if one.trace in traces]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.headers.append({name.lower(): value for name, value in self.headers.items()})
                collector.raw.append(body)
                collector.spans += _decoded(body) if self.path == "/v1/traces" else []
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                pass

        return Handler


def _decoded(body: bytes) -> list[Received]:
    return [
        Received(
            service=_plain(part.resource.attributes)["service.name"],
            trace=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            name=span.name,
            kind=span.kind,
            started=span.start_time_unix_nano,
            ended=span.end_time_unix_nano,
            attributes=_plain(span.attributes),
            failed=span.status.code == 2,
            message=span.status.message,
        )
        for part in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in part.scope_spans
        for span in scope.spans
    ]


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}

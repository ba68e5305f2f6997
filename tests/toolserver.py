"""A server of HTTP tools for tests: answers as the test says, and remembers every call as the ``effects`` log."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Effect:
    """One call: which tool, with what, under which key, and when it came, as ``time.time()``."""

    tool: str
    key: str
    input: Any
    headers: dict[str, str]
    at: float


@dataclass(frozen=True)
class Answer:
    """What to answer. ``raw`` replaces the JSON of ``body``."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Say nothing: the caller is gone, which some tests are about."""


class ToolServer:
    """Serves ``POST /<tool>``; a tool without an answer of its own echoes its input."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self.answers: dict[str, Callable[[Effect], Answer]] = {}
        self.gates: dict[str, threading.Event] = {}
        """A tool with a gate does not answer before the gate is set."""
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def url(self) -> str:
        """The base of all tools' addresses."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def calls(self, tool: str) -> list[Effect]:
        """Return the calls of one tool so far."""
        with self._lock:
            return [effect for effect in self.effects if effect.tool == tool]

    def gate(self, tool: str) -> threading.Event:
        """Hold a tool's answers back until the returned event is set."""
        return self.gates.setdefault(tool, threading.Event())

    def __enter__(self) -> "ToolServer":
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        for gate in self.gates.values():
            gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, effect: Effect) -> Answer:
        with self._lock:
            self.effects.append(effect)
        if gate := self.gates.get(effect.tool):
            gate.wait(60)
        return self.answers[effect.tool](effect) if effect.tool in self.answers else Answer(effect.input)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        tools = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                if len(body) == length:  # else the caller is gone, and has called nothing
                    self._serve(json.loads(body or b"null"))

            def do_GET(self) -> None:
                self._serve(dict(parse_qsl(urlsplit(self.path).query)))

            def _serve(self, given: Any) -> None:
                tool = urlsplit(self.path).path.strip("/")
                key = self.headers.get("Idempotency-Key", "")
                answer = tools._answer(Effect(tool, key, given, dict(self.headers), time.time()))
                body = answer.raw if answer.raw is not None else json.dumps(answer.body).encode()
                try:
                    self.send_response(answer.status)
                    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **answer.headers}
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # the caller is gone, which some tests are about

            def log_message(self, *_: object) -> None:
                pass

        return Handler

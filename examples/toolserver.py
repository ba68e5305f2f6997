"""
The tools of the examples: a small HTTP server with believable content, on this machine only.

`make demo` runs it beside Ordinaut; by hand it is `python examples/toolserver.py`. It needs nothing but Python. Each
tool is a POST of JSON to its own path. Two habits of real services are shown: the mail server is too busy for the very
first request, so the first run shows a retry, and `notify` sends one message for each Idempotency-Key, however often it
is called. `mailbox` takes its time.
"""

import argparse
import contextlib
import json
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PORT = 8081

LIKELY = 0.5
"""Probability of rain from which on an umbrella is advised."""

EVENTS = [
    {"start": "09:00", "end": "09:20", "title": "Stand-up", "where": "room Dniester"},
    {"start": "11:00", "end": "12:00", "title": "Contract review with Elena", "where": "Strada Puskin 22"},
    {"start": "16:30", "end": "17:00", "title": "Call with the Iasi office", "where": "online"},
]
FORECASTS = {
    "Chisinau": {"summary": "light rain until noon, then clear", "low": 7, "high": 14, "rain": 0.7},
    "Lisbon": {"summary": "sunny", "low": 13, "high": 21, "rain": 0.05},
}
MESSAGES = [
    {"from": "Elena Rusu", "subject": "Contract: two open points", "priority": "high"},
    {"from": "Build server", "subject": "Nightly build succeeded", "priority": "low"},
    {"from": "Andrei Munteanu", "subject": "Tickets for Thursday?", "priority": "normal"},
]


class Busy(Exception):
    """The tool can't answer now; asking again in `seconds` may help."""

    def __init__(self, message: str, *, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class Tools:
    """What the server offers; each method takes a call's input and Idempotency-Key and returns its answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._mail_calls = 0
        self._sent: dict[str, str] = {}

    def calendar(self, _input: dict[str, Any], _key: str) -> dict[str, Any]:
        """Return what is on today."""
        return {"events": EVENTS}

    def weather(self, given: dict[str, Any], _key: str) -> dict[str, Any]:
        """Return the forecast for a city."""
        city = str(given.get("city", "Chisinau"))
        return {"city": city, **FORECASTS.get(city, {"summary": "no forecast", "low": 0, "high": 0, "rain": 0.5})}

    def mail(self, given: dict[str, Any], _key: str) -> dict[str, Any]:
        """Return the unread messages of some priorities."""
        with self._lock:
            self._mail_calls += 1
            if self._mail_calls == 1:
                raise Busy("the mail server is too busy", seconds=1)
        wanted = given.get("priorities", ["high", "normal"])
        return {"messages": [message for message in MESSAGES if message["priority"] in wanted]}

    def plan(self, given: dict[str, Any], _key: str) -> dict[str, Any]:
        """Return the briefing, as items and as text."""
        items = [f"{event['start']}  {event['title']}, {event['where']}" for event in given["events"]]
        forecast = given["forecast"]
        weather = f"{forecast['city']}: {forecast['summary']}, {forecast['low']} to {forecast['high']} degrees"
        advice = "take an umbrella" if forecast["rain"] > LIKELY else "leave the umbrella at home"
        mail = [f"{message['from']}: {message['subject']}" for message in given["messages"]]
        text = "\n".join(["Good morning!", "", weather, f"Advice: {advice}.", "", *items, "", "Mail to answer:", *mail])
        return {"items": items, "text": text}

    def triage(self, given: dict[str, Any], _key: str) -> dict[str, Any]:
        """Say what to do about a message; one without a subject is wrong input."""
        if not given["subject"]:
            raise TypeError("a message without a subject")
        return {"text": f"Answer {given['sender']}: {given['subject']}"}

    def notify(self, given: dict[str, Any], key: str) -> dict[str, Any]:
        """Send a text to somebody, once for each key."""
        with self._lock:
            message = self._sent.setdefault(key, f"msg-{len(self._sent) + 1}")
        return {"message": message, "to": given["to"], "characters": len(given["text"])}

    def mailbox(self, given: dict[str, Any], _key: str) -> dict[str, Any]:
        """Work in a mailbox for some seconds."""
        time.sleep(given.get("seconds", 1))
        return {"account": given["account"], "done": given["work"]}


def server(port: int = PORT) -> ThreadingHTTPServer:
    """Return a server of the tools that listens on the loopback interface; port 0 lets the system choose."""
    tools = Tools()
    routes: dict[str, Callable[[dict[str, Any], str], dict[str, Any]]] = {
        f"/{name}": getattr(tools, name)
        for name in ("calendar", "weather", "mail", "plan", "triage", "notify", "mailbox")
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Call the tool that the path names."""
            given = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
            try:
                if (tool := routes.get(self.path)) is None:
                    self._answer(HTTPStatus.NOT_FOUND, f"no tool at {self.path}")
                else:
                    self._answer(HTTPStatus.OK, tool(given, self.headers.get("Idempotency-Key", "")))
            except Busy as busy:
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, str(busy), **{"Retry-After": str(busy.seconds)})
            except (KeyError, TypeError) as error:
                self._answer(HTTPStatus.UNPROCESSABLE_ENTITY, f"wrong input: {error}")

        def _answer(self, status: HTTPStatus, body: dict[str, Any] | str, **headers: str) -> None:
            content = (body if isinstance(body, str) else json.dumps(body)).encode()
            kind = "text/plain; charset=utf-8" if isinstance(body, str) else "application/json"
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing: Ordinaut shows each step already."""

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Serves the tools of the examples on this machine.")
    parser.add_argument("--port", type=int, default=PORT)
    port = parser.parse_args().port
    print(f"tools at http://127.0.0.1:{port}/calendar, /weather, /mail, /plan, /triage, /notify, /mailbox", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server(port).serve_forever()


if __name__ == "__main__":
    main()

"""
A small tool server for the examples: calendar, weather, mail, plan and notify over HTTP, on this machine only.

Run it with ``python examples/toolserver.py [PORT]`` (default 8081); it needs nothing but Python. What it says is made up, but it
behaves like real tools do: mail is away at its first call and answers 503 with Retry-After, so that a retry can be
seen, and notify keeps what it has sent by Idempotency-Key, so that a repeated call sends nothing twice.
"""

import datetime
import json
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DEFAULT_PORT = 8081

Answer = tuple[int, dict[str, str], Any]
"""Status, headers, and the JSON to send."""

sent: dict[str, Any] = {}
"""What notify has sent, by Idempotency-Key."""

mail_calls = 0


def calendar(asked: dict[str, Any]) -> Answer:
    """Return the day's events."""
    day = asked.get("day") or datetime.date.today().isoformat()
    events = [
        {"at": "09:30", "title": "Stand-up with the platform team", "minutes": 15},
        {"at": "11:00", "title": "Design review: durable agents", "minutes": 60},
        {"at": "16:00", "title": "Call with the Chisinau office", "minutes": 30},
    ]
    return 200, {}, {"day": day, "events": events}


def weather(asked: dict[str, Any]) -> Answer:
    """Return a forecast; it is always a fine day."""
    return 200, {}, {"city": asked["city"], "celsius": 7.5, "sky": "clearing", "rain_percent": 20}


def mail(_asked: dict[str, Any]) -> Answer:
    """Return unread mail; the very first call finds the server busy."""
    global mail_calls  # noqa: PLW0603 - one counter for one server
    mail_calls += 1
    if mail_calls == 1:
        return 503, {"Retry-After": "1"}, {"error": "the mailbox is being compacted, come back in a second"}
    messages = [
        {"from": "ana@example.com", "subject": "Budget: your approval is needed today", "urgent": True},
        {"from": "build@example.com", "subject": "Nightly build passed", "urgent": False},
    ]
    return 200, {}, {"messages": messages}


def plan(asked: dict[str, Any]) -> Answer:
    """Return the day in a few lines: what a language model would be asked for."""
    weather_now, events = asked["weather"], asked["events"]
    lines = [f"{weather_now['celsius']:g} °C and {weather_now['sky']} in {weather_now['city']}."]
    lines += [f"{event['at']} {event['title']} ({event['minutes']} min)" for event in events]
    lines += [f"Mail: {message['subject']} ({message['from']})" for message in asked["urgent"]]
    return 200, {}, {"title": f"{len(events)} events, {len(asked['urgent'])} urgent mail", "lines": lines}


def notify(asked: dict[str, Any], key: str = "") -> Answer:
    """Send a message, once for each key."""
    sent.setdefault(key, asked)
    return 200, {}, {"delivered": True, "to": asked["to"]}


TOOLS: dict[str, Callable[..., Answer]] = {
    "calendar": calendar,
    "weather": weather,
    "mail": mail,
    "plan": plan,
    "notify": notify,
}


class Handler(BaseHTTPRequestHandler):
    """Answers ``POST /<tool>`` with JSON."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Call the tool that the path names."""
        asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        name = self.path.strip("/")
        if name not in TOOLS:
            self._send(404, {}, {"error": f"there is no tool {name}; there are {', '.join(TOOLS)}"})
        elif name == "notify":
            self._send(*notify(asked, self.headers.get("Idempotency-Key", "")))
        else:
            self._send(*TOOLS[name](asked))

    def _send(self, status: int, headers: dict[str, str], value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for header, text in {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}.items():
            self.send_header(header, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
        """Say nothing; the steps are seen in Ordinaut."""


def main() -> None:
    """Serve until interrupted."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_PORT
    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
